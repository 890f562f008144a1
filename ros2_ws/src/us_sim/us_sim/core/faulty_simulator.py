"""A simulator with its faults: poses come in as they are told, and frames, contact and force go out as they are shown.

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
from us_sim.core.faults import FaultSettings, delay, dried, flipped, is_lost, lines_alive, misplaced
from us_sim.core.geometry.transforms import Matrix
from us_sim.core.simulator import Frame, Simulator, Views

if TYPE_CHECKING:
    from typing_extensions import Unpack


@dataclass(frozen=True)
class FaultySimulator:
    """A simulator and what goes wrong with it; every fault follows from the simulator's seed and the stamp.

    Attributes:
        simulator: what would be shown without faults.
        faults: to inject.
    """

    simulator: Simulator
    faults: FaultSettings

    def is_lost(self, stamp: int) -> bool:
        """Return whether the frame of a stamp, ns, is lost."""
        return is_lost(self.faults, self.simulator.seed, stamp)

    def delay(self, stamp: int) -> float:
        """Return by how much the frame of a stamp, ns, comes late, s."""
        return delay(self.faults, self.simulator.seed, stamp)

    def touch(self, told: Matrix) -> Touch:
        """Return how the probe touches the patient at a pose, (4, 4) mm, as it is told; at rest.

        Raises:
            PoseError: the pose is not finite and rigid.
        """
        touch = self.simulator.touch(self._actual(told))
        return replace(touch, contact=dried(touch.contact, self.faults, self.simulator.seed))

    def render(self, told: Matrix, stamp: int, *, touch: Touch | None = None, **views: Unpack[Views]) -> Frame:
        """Return the frame of one pose; arguments as for `render_batch`."""
        touches = None if touch is None else [touch]
        return self.render_batch(np.asarray(told)[None], [stamp], touches=touches, **views)[0]

    def render_batch(
        self, told: Matrix, stamps: Sequence[int], *, touches: Sequence[Touch] | None = None, **views: Unpack[Views]
    ) -> list[Frame]:
        """Return the frames of poses; a lost one is rendered all the same.

        Args:
            told: (B, 4, 4) mm, where the poses say that the probe is; the frames keep them.
            stamps: (B,) ns.
            touches: (B,) from `touch`, where they are known already.
            views: what to make, and what draws it.

        Raises:
            PoseError, ConfigError, DeviceError: as `Simulator.render_batch`.
        """
        if touches is None:
            touches = [self.touch(pose) for pose in told]
        simulator = self.simulator
        frames = simulator.render_batch(
            np.stack([self._actual(pose) for pose in told]),
            times=[stamp * 1e-9 for stamp in stamps],
            coupling=self._alive(),
            touches=touches,
            **views,
        )
        return [
            replace(frame, ct_from_probe=pose, image=flipped(frame.image, self.faults))
            for frame, pose in zip(frames, told, strict=True)
        ]

    def shown_coupling(self, contact: Contact) -> NDArray[np.float32]:
        """Return (L,) share of every scan line that reaches the image: dead elements are left out of the contact."""
        alive = self._alive()
        return contact.line_coupling if alive is None else contact.line_coupling * alive

    def _alive(self) -> NDArray[np.float32] | None:
        return lines_alive(self.faults, self.simulator.seed, self.simulator.probe.scan_lines)

    def _actual(self, told: Matrix) -> Matrix:
        return misplaced(self.faults, self.simulator.seed, told)
