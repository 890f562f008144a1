"""A trajectory rendered pose by pose, as the node would have shown it: breath by stamp, faults by seed and stamp."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from us_sim.core.contact.force import Wrench, wrench
from us_sim.core.contact.indentation import Indentation
from us_sim.core.errors import DeviceError
from us_sim.core.faults import FaultSettings, dried, flipped, is_lost, lines_left, misplaced
from us_sim.core.geometry.transforms import Matrix
from us_sim.core.simulator import Frame, Simulator
from us_sim.poses.trajectory import Trajectory


@dataclass(frozen=True, eq=False)
class Shot:
    """What one pose of a trajectory gives.

    Attributes:
        number: of the pose, from 0.
        stamp: ns.
        frame: with the pose as it was told.
        device: that rendered it, and what ran the generator on it.
    """

    number: int
    stamp: int
    frame: Frame
    device: str


class Replay:
    """A simulator along a trajectory. A GPU that fails is left for the CPU; `say` tells so.

    Args:
        simulator: what renders.
        trajectory: poses and stamps.
        faults: what goes wrong, as in the node; nothing comes late, for there is nobody to wait.
        say: for one line of text.
    """

    def __init__(
        self, simulator: Simulator, trajectory: Trajectory, faults: FaultSettings, say: Callable[[str], None]
    ) -> None:
        self.simulator, self.trajectory, self.faults, self._say = simulator, trajectory, faults, say
        self._pressed: tuple[int, Indentation] | None = None

    def shots(self, first: int, last: int, batch: int = 1, *, ct_slice: bool = True) -> Iterator[Shot]:
        """Yield the frames of poses first to last − 1, in batches; those that a fault loses are left out."""
        seed, stamps = self.simulator.seed, self.trajectory.stamps
        numbers = [n for n in range(first, last) if not is_lost(self.faults, seed, int(stamps[n]))]
        for start in range(0, len(numbers), batch):
            part = numbers[start : start + batch]
            frames = self._frames(part, batch, ct_slice)
            for number, frame in zip(part, frames, strict=True):
                contact = dried(frame.contact, self.faults, seed)
                image = flipped(frame.image, self.faults)
                told = replace(frame, ct_from_probe=self.trajectory.poses[number], image=image, contact=contact)
                yield Shot(number, int(stamps[number]), told, self._device())

    def wrench(self, number: int) -> Wrench:
        """Return the wrench at a pose; the pose before gives its speed, as in the node."""
        stamps, mechanics = self.trajectory.stamps, self.simulator.mechanics
        before = self._indentation(number - 1) if number else None
        now = self._indentation(number)
        seconds = int(stamps[number] - stamps[number - 1]) * 1e-9 if number else 0.0
        return wrench(now, mechanics, before, seconds)

    def _indentation(self, number: int) -> Indentation:
        """Of a pose; the last one is kept, for poses are asked for in their order."""
        if self._pressed is None or self._pressed[0] != number:
            self._pressed = (number, self.simulator.indentation(self._actual(number)))
        return self._pressed[1]

    def _device(self) -> str:
        simulator, generator = self.simulator, self.simulator.generator
        if simulator.renderer != "generator" or generator is None:
            return simulator.device
        return f"{simulator.device}, {generator.backend.name}"

    def _actual(self, number: int) -> Matrix:
        return misplaced(self.faults, self.simulator.seed, self.trajectory.poses[number])

    def _frames(self, numbers: list[int], batch: int, ct_slice: bool) -> list[Frame]:
        try:
            return self._rendered(numbers, batch, ct_slice)
        except DeviceError as error:
            self._say(f"{error}; going on with the CPU")
            self.simulator = self.simulator.on_cpu(str(error))
            return self._rendered(numbers, batch, ct_slice)

    def _rendered(self, numbers: list[int], batch: int, ct_slice: bool) -> list[Frame]:
        """One by one on a CPU, where a frame keeps all cores busy and sums in a batch may round otherwise.

        On a GPU the last batch is filled up with its last pose: a frame does not depend on where the batch ends.
        """
        simulator, stamps = self.simulator, self.trajectory.stamps
        size = 1 if simulator.device == "cpu" else batch
        frames: list[Frame] = []
        for start in range(0, len(numbers), size):
            part = numbers[start : start + size]
            filled = part + part[-1:] * (size - len(part))
            frames += simulator.render_batch(
                np.stack([self._actual(n) for n in filled]), times=[int(stamps[n]) * 1e-9 for n in filled],
                coupling=lines_left(self.faults, simulator.seed, simulator.probe.scan_lines), ct_slice=ct_slice,
            )[: len(part)]  # fmt: skip
        return frames
