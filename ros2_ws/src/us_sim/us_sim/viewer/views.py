# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Standard views: where the probe is put, and how it is turned, to see an organ along its axis or across it.

The organ's middle and long axis come from its mesh; candidates on the skin look at the middle, and their frames decide.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from us_sim.core.geometry.probe import PRESSED
from us_sim.core.geometry.transforms import rigid
from us_sim.viewer.finding import FAR, candidates
from us_sim.viewer.placement import Placement
from us_sim.viewer.skin_mesh import Array, SkinMesh

STEEPEST = 0.8  # cosine between beam and skin's normal: beyond 37° half the face is in air
BESIDE = 35.0  # mm, left of the middle, within which the aorta runs
SLAB = 10.0  # mm, half of the height in which a long vessel's middle is taken where it is cut across
ABOVE = 10.0  # mm over the liver's middle, below which its hilum and the gallbladder lie
BESIDE_LIVER = {  # mm from the liver, mm to the right of the body's middle, share of the liver's extent from its back
    "gallbladder": (15.0, 10.0, 0.5),
    "portal": (8.0, -10.0, 0.35),  # the porta hepatis, where the portal vein parts
}
TOUCHING = 20.0  # mm between two organs whose border is looked at
PELVIS = 55.0  # mm beside the middle, where the hip bones lie on both sides of the bladder, and no vertebra
COMPACT = 3.0  # longest by shortest extent of a bladder: bowel is longer
HEART = 25.0  # mm, the least extent of the blood above the liver that is taken for a heart: a vessel is narrower
UPWARDS = 0.5  # the same where the probe is tilted out of the image plane, flat on the skin, which lifts no scan line
SMALL = 0.05  # of the largest part's vertices: below, a part is a crumb
ABSENT = {  # by the part that is not found
    "right": "no kidney on the right, or none beside the other organ",
    "left": "no kidney on the left, or none beside the other organ",
    "gallbladder": "no fluid at the liver's lower face",
    "portal": "no vessel at the liver's hilum",
    "aorta": "no vessel left of the spine",
    "bladder": "no fluid between hip bones: the CT ends above, or the bladder is not labelled",
    "heart": "no blood above the liver: the CT ends below, or the heart is not labelled",
}
TO_THE_LEFT, CRANIAL = np.array([-1.0, 0.0, 0.0]), np.array([0.0, 0.0, 1.0])


@dataclass(frozen=True)
class View:
    """One view.

    Attributes:
        mesh: that holds the organ, by name.
        part: which of the mesh's parts it is: `right`, `left`, `aorta`, `gallbladder`, `portal`, `bladder`, `heart`,
            or `all`.
        along: the image plane holds the organ's long axis, its cranial end at the image's left; if not, it is cut
            across, the patient's right at the image's left.
        beside: mesh of the organ that is to be seen beside it, where free fluid would part them; empty for none.
    """

    mesh: str
    part: str
    along: bool
    beside: str = ""


FAST: dict[str, dict[str, View]] = {
    "RUQ": {"Morison's pouch": View("kidney", "right", True, "liver")},
    "LUQ": {"splenorenal": View("kidney", "left", True, "spleen")},
    "Pelvis": {"suprapubic": View("fluid", "bladder", False)},
    "Heart": {"subcostal, 4 chambers": View("vessel", "heart", False)},
}
VIEWS: dict[str, dict[str, View]] = {
    "Right kidney": {"long": View("kidney", "right", True), "transverse": View("kidney", "right", False)},
    "Left kidney": {"long": View("kidney", "left", True), "transverse": View("kidney", "left", False)},
    "Liver": {"long": View("liver", "all", True), "transverse": View("liver", "all", False)},
    "Spleen": {"long": View("spleen", "all", True), "transverse": View("spleen", "all", False)},
    "Gallbladder": {"long": View("fluid", "gallbladder", True), "transverse": View("fluid", "gallbladder", False)},
    "Portal vein": {"bifurcation": View("vessel", "portal", False)},
    "Aorta": {"long": View("vessel", "aorta", True), "transverse": View("vessel", "aorta", False)},
    **FAST,
}


def organ_points(view: View, meshes: Mapping[str, SkinMesh]) -> Array | None:
    """Return the (V, 3) points of a view's organ, mm in `ct`; None if the patient has none.

    Of an organ that is seen beside another, those near the other.
    """
    if view.mesh not in meshes or "skin" not in meshes or (view.beside and view.beside not in meshes):
        return None
    points = _part(view, meshes)
    if points is None or not view.beside:
        return points
    distance, _ = cKDTree(meshes[view.beside].vertices).query(points)
    return points[distance < TOUCHING] if (distance < TOUCHING).any() else None


def absent(meshes: Mapping[str, SkinMesh]) -> dict[str, str]:
    """Return the rows of VIEWS that a patient has not, with the reason."""
    whys = {organ: missing(next(iter(ways.values())), meshes) for organ, ways in VIEWS.items()}
    return {organ: why for organ, why in whys.items() if why}


def missing(view: View, meshes: Mapping[str, SkinMesh]) -> str:
    """Return why a patient has no such view; empty if there is one."""
    if organ_points(view, meshes) is not None:
        return ""
    absent = [name for name in filter(None, (view.mesh, view.beside)) if name not in meshes]
    return f"no {' and no '.join(absent)} in this patient" if absent else ABSENT[view.part]


def _part(view: View, meshes: Mapping[str, SkinMesh]) -> Array | None:
    found = parts(meshes[view.mesh])
    middle = float(meshes["skin"].vertices[:, 0].mean())
    x = np.array([part[:, 0].mean() for part in found]) - middle
    if view.part == "all":
        return np.concatenate(found)
    if view.part in ("right", "left"):
        side = [part for part, place in zip(found, x, strict=True) if (place > 0) == (view.part == "right")]
        return max(side, key=len, default=None)
    if view.part in BESIDE_LIVER:
        return _beside_liver(np.concatenate(found), middle, meshes, *BESIDE_LIVER[view.part])
    if view.part == "bladder":
        return _bladder(found, middle, meshes)
    if view.part == "heart":
        return _heart(np.concatenate(found), meshes)
    return _abdominal_aorta(np.concatenate(found), middle, meshes)


def _beside_liver(
    points: Array, middle: float, meshes: Mapping[str, SkinMesh], near: float, off: float, front: float
) -> Array | None:
    """Points of a class near the liver in its caudal half, to the right and to the front: all fluid is one mesh."""
    if "liver" not in meshes:
        return None
    liver = meshes["liver"].vertices
    low, high = liver.min(axis=0), liver.max(axis=0)
    distance, _ = cKDTree(liver).query(points)
    chosen = (distance < near) & (points[:, 0] > middle + off) & (points[:, 2] < 0.5 * (low[2] + high[2]) + ABOVE)
    chosen &= points[:, 1] > low[1] + front * (high[1] - low[1])
    return points[chosen] if chosen.any() else None


def _bladder(fluid: list[Array], middle: float, meshes: Mapping[str, SkinMesh]) -> Array | None:
    """The compact part of the fluid between the hip bones."""
    bone = meshes["bone"].vertices if "bone" in meshes else np.zeros((0, 3))
    kidneys = meshes["kidney"].vertices[:, 2].mean() if "kidney" in meshes else np.inf
    for part in fluid:
        extent = np.ptp(part, axis=0)
        level = part[:, 2].mean()
        if extent.max() > COMPACT * extent.min() or level > kidneys:
            continue
        beside = bone[np.abs(bone[:, 2] - level) < SLAB, 0] - middle
        if (beside < -PELVIS).any() and (beside > PELVIS).any():
            return part
    return None


def _heart(vessels: Array, meshes: Mapping[str, SkinMesh]) -> Array | None:
    """The blood above the middle of the liver's dome, in the front half of the body."""
    if "liver" not in meshes:
        return None
    skin, liver = meshes["skin"].vertices, meshes["liver"].vertices
    blood = vessels[(vessels[:, 2] > np.quantile(liver[:, 2], 0.9)) & (vessels[:, 1] > skin[:, 1].mean())]
    return blood if len(blood) and np.ptp(blood, axis=0).min() > HEART else None


def _abdominal_aorta(vessels: Array, middle: float, meshes: Mapping[str, SkinMesh]) -> Array | None:
    """The vessels' points beside the spine on the left, below the liver's middle: all vessels are one mesh."""
    left = vessels[(vessels[:, 0] < middle) & (vessels[:, 0] > middle - BESIDE)]
    if "liver" in meshes:
        left = left[left[:, 2] < meshes["liver"].vertices[:, 2].mean()]
    if len(left):
        left = left[left[:, 1] < np.quantile(left[:, 1], 0.5)]  # the posterior ones
    return left if len(left) else None


def parts(mesh: SkinMesh) -> list[Array]:
    """Return the (V, 3) vertices of each connected part of a mesh, the largest first, without crumbs."""
    faces, count = mesh.faces, len(mesh.vertices)
    edges = np.concatenate([faces[:, :2], faces[:, 1:]])
    graph = coo_array((np.ones(len(edges)), (edges[:, 0], edges[:, 1])), shape=(count, count))
    number, label = connected_components(graph, directed=False)
    sizes = np.bincount(label, minlength=number)
    order = [part for part in np.argsort(-sizes, kind="stable") if sizes[part] >= SMALL * sizes.max()]
    return [mesh.vertices[label == part] for part in order]


def long_axis(points: Array) -> Array:
    """Return the (3,) unit vector along which (V, 3) points extend most, pointing cranial."""
    _, _, axes = np.linalg.svd(points - points.mean(axis=0), full_matrices=False)
    return np.asarray(axes[0] * (-1.0 if axes[0] @ CRANIAL < 0 else 1.0))


def placements(view: View, points: Array, skin: SkinMesh) -> list[Placement]:
    """Return placements from which a view of an organ, (V, 3) points in mm, may succeed."""
    middle = 0.5 * (points.min(axis=0) + points.max(axis=0))
    axis = CRANIAL if view.beside or view.part in ("all", "aorta", "portal", "bladder", "heart") else long_axis(points)
    upwards = view.part == "heart"
    turned = []
    for candidate in _epigastric(skin, middle) if upwards else candidates(skin, middle):
        near = points[np.abs(points[:, 2] - candidate.point[2]) < SLAB]
        target = near.mean(axis=0) if view.part == "aorta" and not view.along and len(near) else middle
        steepest = UPWARDS if upwards else STEEPEST
        turned.append(looking(candidate.point, target, axis, view.along, skin, steepest))
    return [placement for placement in turned if placement is not None]


def _epigastric(skin: SkinMesh, heart: Array) -> list[Placement]:
    """Return placements on the skin between the costal arches, below a heart, (3,) mm."""
    middle = float(skin.vertices[:, 0].mean())
    hits = (
        skin.hit(np.array([middle + across, FAR, heart[2] - below]), np.array([0.0, -1.0, 0.0]))
        for below in (60.0, 80.0, 100.0, 120.0) for across in (-45.0, -30.0, -15.0, 0.0, 15.0, 30.0, 45.0)
    )  # fmt: skip
    return [Placement(point) for point in hits if point is not None]


def looking(
    point: Array, middle: Array, axis: Array, along: bool, skin: SkinMesh, steepest: float = STEEPEST
) -> Placement | None:
    """Return the placement at a point of the skin whose beam meets an organ's middle; None if it were too oblique.

    Args:
        point: (3,) on the skin, mm in `ct`.
        middle, axis: (3,) of the organ, mm and unit, cranial.
        along: whether the image plane holds the axis; if not, it is as square to it as can be.
        skin: of the patient.
        steepest: least cosine between beam and skin's normal.
    """
    beam = (middle - point) / np.linalg.norm(middle - point)
    if -beam @ skin.normal(point) < steepest:
        return None
    if along:
        lateral = -axis
    else:
        lateral = np.cross(axis, beam)
        lateral = lateral if lateral @ TO_THE_LEFT > 0 else -lateral
    lateral = lateral - (lateral @ beam) * beam
    if np.linalg.norm(lateral) < 0.2:
        return None  # the beam runs along the organ
    lateral = lateral / np.linalg.norm(lateral)
    turn = np.stack([lateral, np.cross(beam, lateral), beam], axis=-1)
    return replace(Placement.of_pose(rigid(turn, point), skin), press=PRESSED)
