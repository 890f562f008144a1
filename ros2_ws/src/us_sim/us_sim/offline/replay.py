# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""A trajectory rendered pose by pose as in the node: respiration by stamp, faults by seed and stamp."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache

from us_sim.core.compute.device import with_fall_back
from us_sim.core.contact.force import Wrench
from us_sim.core.contact.touch import Touch
from us_sim.core.errors import DeviceError
from us_sim.core.faults import FaultSettings
from us_sim.core.faulty_simulator import FaultySimulator
from us_sim.core.frame import Frame
from us_sim.core.simulator import Simulator
from us_sim.poses.trajectory import Trajectory

KEPT = 4096  # touches, of some kB each: a film asks for the forces of all poses before it shows the first


@dataclass(frozen=True, eq=False)
class Shot:
    """What one pose of a trajectory gives.

    Attributes:
        number: of the pose, from 0.
        stamp: ns.
        frame: with the nominal pose, and the wrench of a probe that moves from the pose before.
        device: that rendered it, and what ran the generator on it.
    """

    number: int
    stamp: int
    frame: Frame
    device: str


class Replay:
    """A simulator along a trajectory. If the GPU fails, the CPU continues; `say` reports it.

    Args:
        simulator: what renders.
        trajectory: poses and stamps.
        faults: injected, as in the node; without delays, which have no effect offline.
        say: for one line of text.
    """

    def __init__(
        self, simulator: Simulator, trajectory: Trajectory, faults: FaultSettings, say: Callable[[str], None]
    ) -> None:
        self.simulator, self.trajectory, self.faults, self._say = simulator, trajectory, faults, say
        touches = FaultySimulator(simulator, faults)  # they do not depend on the device
        self._at_rest = lru_cache(KEPT)(lambda number: touches.touch(trajectory.poses[number]))

    def shots(self, first: int, last: int, batch: int = 1, *, ct_slice: bool = True) -> Iterator[Shot]:
        """Yield the frames of poses first to last − 1, in batches; those dropped by a fault are left out."""
        stamps, faulty = self.trajectory.stamps, FaultySimulator(self.simulator, self.faults)
        numbers = [n for n in range(first, last) if not faulty.is_lost(int(stamps[n]))]
        for start in range(0, len(numbers), batch):
            part = numbers[start : start + batch]
            for number, frame in zip(part, self._frames(part, batch, ct_slice), strict=True):
                yield Shot(number, int(stamps[number]), frame, self._device())

    def wrench(self, number: int) -> Wrench:
        """Return the wrench at a pose; the pose before gives its speed, as in the node."""
        return self._touch(number).wrench

    def _touch(self, number: int) -> Touch:
        stamps, touch = self.trajectory.stamps, self._at_rest(number)
        if number == 0:
            return touch
        return touch.after(self._at_rest(number - 1), int(stamps[number] - stamps[number - 1]) * 1e-9)

    def _device(self) -> str:
        simulator, generator = self.simulator, self.simulator.generator
        if simulator.renderer != "generator" or generator is None:
            return simulator.device.name
        return f"{simulator.device.name}, {generator.backend.name}"

    def _frames(self, numbers: list[int], batch: int, ct_slice: bool) -> list[Frame]:
        def on_cpu(error: DeviceError) -> Simulator:
            self._say(f"{error}; going on with the CPU")
            return self.simulator.on_cpu(str(error))

        def render(simulator: Simulator) -> list[Frame]:
            return self._rendered(simulator, numbers, batch, ct_slice)

        frames, self.simulator = with_fall_back(render, self.simulator, on_cpu)
        return frames

    def _rendered(self, simulator: Simulator, numbers: list[int], batch: int, ct_slice: bool) -> list[Frame]:
        """One by one on a CPU, where a frame keeps all cores busy and sums in a batch may round otherwise.

        On a GPU the last batch is filled up with its last pose: a frame does not depend on where the batch ends.
        """
        trajectory, size = self.trajectory, 1 if simulator.device.is_cpu else batch
        faulty, frames = FaultySimulator(simulator, self.faults), list[Frame]()
        for start in range(0, len(numbers), size):
            part = numbers[start : start + size]
            filled = part + part[-1:] * (size - len(part))
            frames += faulty.render_batch(
                trajectory.poses[filled], [int(trajectory.stamps[n]) for n in filled],
                touches=[self._touch(n) for n in filled], ct_slice=ct_slice,
            )[: len(part)]  # fmt: skip
        return frames
