# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""What a simulator returns for a pose, and the keywords that choose it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

from us_sim.core.contact.contact import Contact
from us_sim.core.contact.force import Wrench
from us_sim.core.contact.touch import Touch
from us_sim.core.geometry.transforms import Matrix


@dataclass(frozen=True, eq=False)
class Frame:
    """The outputs at one pose; those not requested are None.

    Attributes:
        image: (H, W) uint8 B-mode, exactly 0 outside the fan.
        ct_slice: (H, W) int16 HU of the whole plane.
        labels: (H, W) uint8 classes of the whole plane.
        contact: of the probe with the skin.
        wrench: of the patient on the probe; of a probe at rest, unless its touch has a velocity.
        ct_from_probe: (4, 4) the pose, mm.
        renderer: of the image.
        deformed: whether tissue is deformed by the probe.
        phase: respiratory, 0 to 1; 0 in breath-hold.
        unknown_fraction: fraction of the fan beyond the CT, 0 to 1.
        ood_score: how unlike the generator's training the slice is that it drew: above 1 it is out of distribution;
            None where this is not known, as for another renderer.
        uncertainty: (H, W) uint8, grey levels of the image within which the physics frame lies in 68 % of pixels, at
            the training's gain and dynamic range; None if not asked for or not known.
    """

    image: NDArray[np.uint8] | None
    ct_slice: NDArray[np.int16] | None
    labels: NDArray[np.uint8] | None
    contact: Contact
    wrench: Wrench
    ct_from_probe: Matrix
    renderer: str
    deformed: bool = False
    phase: float = 0.0
    unknown_fraction: float = 0.0
    ood_score: float | None = None
    uncertainty: NDArray[np.uint8] | None = None

    @property
    def out_of_distribution(self) -> bool:
        """Whether the slice is known to be unlike what the generator was trained on."""
        return self.ood_score is not None and self.ood_score > 1


class Views(TypedDict, total=False):
    """Outputs of `Simulator.render_batch`, and their renderer."""

    image: bool
    ct_slice: bool
    labels: bool
    uncertainty: bool
    renderer: str | None


class RenderOptions(Views, total=False):
    """All keywords of `Simulator.render_batch`."""

    times: Sequence[float] | None
    coupling: NDArray[np.float32] | None
    touches: Sequence[Touch] | None
