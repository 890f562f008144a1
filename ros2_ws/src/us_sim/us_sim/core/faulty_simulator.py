# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""A simulator with fault injection: nominal poses in; frames, contact and force of the actual poses out.

The node's stream and the replay of a recording both render here, so that they show the same bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from us_sim.core.contact.contact import Contact
from us_sim.core.contact.touch import Touch
from us_sim.core.faults import FaultSettings, actual_pose, delay, element_mask, is_lost, mirrored, without_gel
from us_sim.core.frame import Frame, Views
from us_sim.core.geometry.transforms import Matrix
from us_sim.core.simulator import Simulator

if TYPE_CHECKING:
    from typing_extensions import Unpack


@dataclass(frozen=True)
class FaultySimulator:
    """A simulator with injected faults; every fault follows from the simulator's seed and the stamp.

    Attributes:
        simulator: without faults.
        faults: to inject.
    """

    simulator: Simulator
    faults: FaultSettings

    def is_lost(self, stamp: int) -> bool:
        """Return whether the frame of a stamp, ns, is lost."""
        return is_lost(self.faults, self.simulator.seed, stamp)

    def delay(self, stamp: int) -> float:
        """Return the delay, s, of the frame of a stamp, ns."""
        return delay(self.faults, self.simulator.seed, stamp)

    def touch(self, nominal: Matrix) -> Touch:
        """Return how the probe touches the patient at a nominal pose, (4, 4) mm; at rest.

        Raises:
            PoseError: the pose is not finite and rigid.
        """
        return self.touches(np.asarray(nominal)[None])[0]

    def touches(self, nominal: Matrix) -> list[Touch]:
        """Return the same at each of (B, 4, 4) nominal poses, in one pass.

        Raises:
            PoseError: a pose is not finite and rigid.
        """
        found = self.simulator.touches(np.stack([self._actual(pose) for pose in nominal]))
        if self.faults.fault_gel == 0:
            return found
        seed = self.simulator.seed
        return [replace(one, contact=without_gel(one.contact, self.faults, seed)) for one in found]

    def render(self, nominal: Matrix, stamp: int, *, touch: Touch | None = None, **views: Unpack[Views]) -> Frame:
        """Return the frame of one pose; arguments as for `render_batch`."""
        touches = None if touch is None else [touch]
        return self.render_batch(np.asarray(nominal)[None], [stamp], touches=touches, **views)[0]

    def render_batch(
        self, nominal: Matrix, stamps: Sequence[int], *, touches: Sequence[Touch] | None = None, **views: Unpack[Views]
    ) -> list[Frame]:
        """Return the frames of poses; a lost one is rendered all the same.

        Args:
            nominal: (B, 4, 4) poses, mm; the frames keep them.
            stamps: (B,) ns.
            touches: (B,) from `touch`, if already computed.
            views: outputs and renderer.

        Raises:
            PoseError, ConfigError, DeviceError: as `Simulator.render_batch`.
        """
        if touches is None:
            touches = self.touches(nominal)
        simulator = self.simulator
        frames = simulator.render_batch(
            np.stack([self._actual(pose) for pose in nominal]),
            times=[stamp * 1e-9 for stamp in stamps],
            coupling=self._alive(),
            touches=touches,
            **views,
        )
        return [
            replace(frame, ct_from_probe=pose, image=mirrored(frame.image, self.faults))
            for frame, pose in zip(frames, nominal, strict=True)
        ]

    def image_coupling(self, contact: Contact) -> NDArray[np.float32]:
        """Return (L,) the coupling in the image: that of the contact, without scan lines with dead elements."""
        alive = self._alive()
        return contact.line_coupling if alive is None else contact.line_coupling * alive

    def _alive(self) -> NDArray[np.float32] | None:
        return element_mask(self.faults, self.simulator.seed, self.simulator.probe.scan_lines)

    def _actual(self, nominal: Matrix) -> Matrix:
        return actual_pose(self.faults, self.simulator.seed, nominal)
