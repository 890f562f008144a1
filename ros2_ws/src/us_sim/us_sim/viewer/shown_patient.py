# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""What is known of the patient that the simulator shows: its probe info, its meshes, and where a probe begins on it."""

from __future__ import annotations

from typing import Any

import numpy as np
from us_sim_msgs.msg import FrameInfo, ProbeInfo
from visualization_msgs.msg import Marker, MarkerArray

from us_sim.core.geometry.transforms import Matrix
from us_sim.ros.conversions import point_array
from us_sim.viewer.scene import RGB
from us_sim.viewer.skin_mesh import SkinMesh


class ShownPatient:
    """Messages of the simulator come one by one: what belongs to the patient before goes when the first is of another.

    Attributes:
        info: the newest; None before the first.
        meshes: skin and organs with their colours, by name; empty until those of this patient come.
        home: (4, 4) `ct_from_probe` to start from, mm; None until it comes.
        astray: the probe's pose is of the patient before.
    """

    def __init__(self) -> None:
        self.info: ProbeInfo | None = None
        self.meshes: dict[str, tuple[SkinMesh, RGB]] = {}
        self.home: Matrix | None = None
        self.astray = False
        self._since = 0  # config_id with which the patient came
        self._shape_of = ""  # SHA-256 of the patient whose the meshes are; empty where the simulator does not tell

    @property
    def skin(self) -> SkinMesh | None:
        """Its skin; None until it comes."""
        return self.meshes["skin"][0] if "skin" in self.meshes else None

    @property
    def shapes(self) -> dict[str, SkinMesh]:
        """Skin and organs by name."""
        return {name: mesh for name, (mesh, _) in self.meshes.items()}

    def inform(self, info: ProbeInfo) -> bool:
        """Take the simulator's probe info; return whether its patient is the first, or another than before."""
        before, self.info = self.info, info
        if before is not None and before.patient_sha256 == info.patient_sha256:
            return False
        self._since = info.config_id
        if self._shape_of not in ("", info.patient_sha256):
            self.meshes, self._shape_of = {}, ""
        if before is not None:
            self.home, self.astray = None, True
        return True

    def take_shape(self, message: MarkerArray) -> bool:
        """Take skin and organs; return False where there is no skin among them."""
        triangles = [m for m in message.markers if m.type == Marker.TRIANGLE_LIST and m.points]
        skin = next((m for m in triangles if m.ns == "skin"), None)
        if skin is None:
            return False
        self.meshes = {m.ns: (SkinMesh(point_array(m.points)), _rgb(m.color)) for m in triangles}
        self._shape_of = skin.text
        return True

    def shows(self, told: FrameInfo) -> bool:
        """Whether a frame is of this patient, not of the one before."""
        return bool(told.config_id >= self._since)

    def arrived(self, ct_from_probe: Matrix) -> None:
        """Take the pose of a frame, mm: one at home is a place on this patient."""
        if self.home is not None and np.allclose(ct_from_probe, self.home, atol=1e-3):
            self.astray = False


def _rgb(color: Any) -> RGB:
    red, green, blue = (round(255 * channel) for channel in (color.r, color.g, color.b))
    return red, green, blue
