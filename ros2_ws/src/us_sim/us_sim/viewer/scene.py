# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""The patient, the probe and its fan in space. Lengths in the scene are mm, its axes are those of `ct`."""

from __future__ import annotations

import math

import numpy as np
import trimesh
import viser
from numpy.typing import ArrayLike
from PIL import Image
from trimesh.visual.material import PBRMaterial

from us_sim.core.geometry.probe import ProbeGeometry
from us_sim.core.geometry.transforms import Matrix, quaternion_from_rotation
from us_sim.ros.housing import NECK, housing
from us_sim.ros.markers import fan_outline
from us_sim.viewer.arm_shape import ArmShape
from us_sim.viewer.orientation import around
from us_sim.viewer.pictures import MARKER, Pixels, see_through
from us_sim.viewer.skin_mesh import SkinMesh

OPACITY = {"skin": 0.2, "organs": 0.55}
# See-through things are drawn in the order of the middles of their boxes, farthest first. A corner far below the table
# has the patient drawn before the frame in the fan.
BELOW = (0.0, -10_000.0, 0.0)
SEEN = 176  # rows of the frame in the fan
BODY = (225, 228, 235)
FAN = (80, 220, 120)

RGB = tuple[int, int, int]


class Scene:
    """The contents of the 3-D view; the page's other parts are the panel's."""

    def __init__(self, server: viser.ViserServer) -> None:
        self._server = server
        server.scene.set_up_direction("+z")
        server.scene.world_axes.visible = False
        # Shadows and a lit room would cost seconds of a picture where no graphics card draws it.
        server.scene.configure_default_lights(cast_shadow=False)
        server.scene.configure_environment_map(None)
        self._patient: dict[str, viser.GlbHandle] = {}
        self._sides: list[viser.LabelHandle] = []
        self._visible = dict.fromkeys(OPACITY, True)
        self.probe = server.scene.add_frame("/probe", show_axes=False, visible=False)
        self._plane = server.scene.add_frame("/plane", show_axes=False, visible=False)
        self.body: viser.MeshHandle | None = None
        self._picture: viser.ImageHandle | None = None
        self._links: dict[str, viser.FrameHandle] = {}  # of an arm

    def show_patient(self, meshes: dict[str, tuple[SkinMesh, RGB]]) -> None:
        """Put a patient in place of the one that is there, skin and organs see-through, its sides named."""
        organs = {name: mesh for name, mesh in meshes.items() if name != "skin"}
        self.forget_patient()
        for what, parts in (("skin", {"skin": meshes["skin"]}), ("organs", organs)):
            glass = trimesh.Scene([_glass(mesh, color, OPACITY[what]) for mesh, color in parts.values()])
            self._patient[what] = self._server.scene.add_glb(
                f"/patient/{what}",
                glass.export(file_type="glb"),
                visible=self._visible[what],
                cast_shadow=False,
                receive_shadow=False,
            )
        self._sides = [
            self._server.scene.add_label(f"/patient/sides/{side}", side, position=place, anchor="center-center")
            for side, place in around(meshes["skin"][0]).items()
        ]

    def forget_patient(self) -> None:
        """Take the patient away."""
        for shape in (*self._patient.values(), *self._sides):
            shape.remove()
        self._patient, self._sides = {}, []

    def show(self, what: str, visible: bool) -> None:
        """Show or hide `skin` or `organs`."""
        self._visible[what] = visible
        if what in self._patient:
            self._patient[what].visible = visible

    def look_at(self, skin: SkinMesh) -> None:
        """Set the camera of present and future browsers on the patient: from the feet, a little above."""
        low, high = skin.vertices.min(axis=0), skin.vertices.max(axis=0)
        middle, size = 0.5 * (low + high), float(np.linalg.norm(high - low))
        place = middle + size * np.array([0.25, 0.80, -0.45])
        first = self._server.initial_camera
        first.position, first.look_at, first.up = tuple(place), tuple(middle), (0.0, 0.0, 1.0)
        first.near, first.far = 1.0, 20.0 * size
        for client in self._server.get_clients().values():
            with client.atomic():
                client.camera.up_direction = (0.0, 0.0, 1.0)
                client.camera.position, client.camera.look_at = place, middle
                client.camera.near, client.camera.far = 1.0, 20.0 * size

    def show_probe(self, probe: ProbeGeometry) -> viser.MeshHandle:
        """Draw a probe's housing and fan; return the housing, which can be grabbed."""
        scene = self._server.scene
        body = housing(probe)
        self.body = scene.add_mesh_simple(
            "/probe/body", body.vertices, body.faces, color=BODY, cast_shadow=False, receive_shadow=False
        )
        side = float(body.vertices[:, 0].min())
        scene.add_icosphere(
            "/probe/marker", 4.0, color=MARKER, position=(0.85 * side, 0.0, NECK + 6.0), cast_shadow=False
        )
        outline = fan_outline(probe)
        segments = np.stack([outline[:-1], outline[1:]], axis=1)
        scene.add_line_segments("/plane/fan", segments, FAN, thickness=2.0)
        (dx, dz), (x0, z0) = probe.pixel_spacing, probe.first_pixel
        middle = (x0 + (probe.width - 1) * dx / 2, 0.0, z0 + (probe.height - 1) * dz / 2)
        turn = (math.cos(math.pi / 4), math.sin(math.pi / 4), 0.0, 0.0)  # the picture's y is the probe's z
        blank = np.zeros((probe.height, probe.width, 4), dtype=np.uint8)
        self._picture = scene.add_image(
            "/plane/frame",
            blank,
            probe.width * dx,
            probe.height * dz,
            format="png",
            position=middle,
            wxyz=turn,
            cast_shadow=False,
            receive_shadow=False,
        )
        return self.body

    def place(self, ct_from_probe: Matrix) -> None:
        """Move the probe."""
        self._move(self.probe, ct_from_probe)

    def place_plane(self, ct_from_probe: Matrix) -> None:
        """Move the fan with the frame in it."""
        self._move(self._plane, ct_from_probe)

    def _move(self, what: viser.FrameHandle, pose: Matrix) -> None:
        x, y, z, w = quaternion_from_rotation(pose[:3, :3])
        with self._server.atomic():
            what.position, what.wxyz = pose[:3, 3], (w, x, y, z)
            what.visible = True

    def show_arm(self, arm: ArmShape, ct_from_base: Matrix, angles: ArrayLike) -> None:
        """Draw an arm at (J,) joint angles, rad, its base at a (4, 4) pose, mm."""
        if not self._links:
            for link, bodies in arm.shapes().items():
                self._links[link] = self._server.scene.add_frame(f"/arm/{link}", show_axes=False)
                for number, (body, color) in enumerate(bodies):
                    self._server.scene.add_mesh_simple(
                        f"/arm/{link}/{number}", body.vertices, body.faces, color=color, flat_shading=True,
                        cast_shadow=False, receive_shadow=False,
                    )  # fmt: skip
        for link, frame in zip(arm.links, arm.frames(angles), strict=True):
            if link in self._links:
                self._move(self._links[link], ct_from_base @ frame)

    def show_frame(self, image: Pixels) -> None:
        """Lay an (H, W) frame into the fan: no finer than it is seen there, for every pixel is encoded as PNG."""
        if self._picture is not None:
            size = (max(1, SEEN * image.shape[1] // image.shape[0]), SEEN)
            self._picture.image = see_through(
                np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BILINEAR))
            )


def _glass(mesh: SkinMesh, color: RGB, opacity: float) -> trimesh.Trimesh:
    """The mesh of a material that hides nothing, for glTF blends without writing depth; BELOW belongs to no face."""
    shape = trimesh.Trimesh(np.append(mesh.vertices, [BELOW], axis=0), mesh.faces, process=False)
    shape.visual = trimesh.visual.TextureVisuals(
        material=PBRMaterial(
            baseColorFactor=[*color, round(255 * opacity)], alphaMode="BLEND", metallicFactor=0.0, roughnessFactor=0.7
        )
    )
    return shape
