# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Finds an organ or a standard view: asks the simulator what is seen from many places, and takes the best."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

import numpy as np
from us_sim_msgs.msg import ProbeInfo

from us_sim.core.geometry.transforms import Matrix
from us_sim.ros.conversions import probe_geometry
from us_sim.viewer.finding import Box, candidates, share_seen
from us_sim.viewer.placement import Placement
from us_sim.viewer.remote import Remote, Seen
from us_sim.viewer.skin_mesh import Array, SkinMesh
from us_sim.viewer.views import TOUCHING, VIEWS, missing, organ_points, parts, placements

ROOM = 3.0  # mm around an organ's points
MOST_PARTS = 2  # of an organ, whose middles are tried: two kidneys


class Shown(Protocol):
    """Where progress is told."""

    busy: str


class Search:
    """`found(placement)` is called with the best, `failed(text)` if there is none."""

    def __init__(
        self, remote: Remote, shown: Shown, found: Callable[[Placement], None], failed: Callable[[str], None]
    ) -> None:
        self._remote, self._shown, self._found, self._failed = remote, shown, found, failed

    def find(self, organ: str, meshes: Mapping[str, SkinMesh], info: ProbeInfo | None) -> None:
        """Look for the place that shows most of an organ, by the name of its mesh."""
        if organ not in meshes or "skin" not in meshes:
            return
        middles = [part.mean(axis=0) for part in parts(meshes[organ])[:MOST_PARTS]]
        tried = [one for middle in middles for one in candidates(meshes["skin"], middle)]
        self._try(organ, [organ], tried, None, meshes, info)

    def view(self, organ: str, way: str, meshes: Mapping[str, SkinMesh], info: ProbeInfo | None) -> None:
        """Look for a standard view, by its names in VIEWS."""
        wanted = VIEWS.get(organ, {}).get(way)
        if "skin" not in meshes:
            self._failed(f"{organ}, {way}: the patient's skin and organs have not come yet; try again in a moment")
            return
        points = organ_points(wanted, meshes) if wanted is not None else None
        if wanted is None or points is None:
            why = missing(wanted, meshes) if wanted is not None else "there is no such view"
            self._failed(f"{organ}, {way}: {why}")
            return
        tried = placements(wanted, points, meshes["skin"])
        organs = [name for name in (wanted.mesh, wanted.beside) if name]
        self._try(f"{organ}, {way}", organs, tried, points, meshes, info)

    def _try(
        self,
        what: str,
        organs: list[str],
        tried: list[Placement],
        points: Array | None,
        meshes: Mapping[str, SkinMesh],
        info: ProbeInfo | None,
    ) -> None:
        """Look from placements at organs, all of which are to be seen, or at what of them lies around (V, 3) points."""
        known = dict(zip(info.class_names, map(int, info.class_ids), strict=False)) if info is not None else {}
        if info is None or not all(organ in known for organ in organs):
            return
        probe, hidden = probe_geometry(info), f"{what} is hidden behind bone or gas at all positions tried"
        if not tried:
            self._failed(hidden)
            return

        def progress(done: int, all_of_them: int) -> None:
            self._shown.busy = f"Looking for {what}: {done} of {all_of_them} positions" if done < all_of_them else ""

        poses = [placement.pose(meshes["skin"]) for placement in tried]

        def box(pose: Matrix) -> Box | None:
            room = ROOM if len(organs) == 1 else TOUCHING
            return None if points is None else Box(points.min(axis=0) - room, points.max(axis=0) + room, pose)

        def choose(seen: list[Seen]) -> None:
            shares = [
                min(share_seen(labels, coupling, probe, known[organ], box(pose)) for organ in organs)
                for (labels, coupling), pose in zip(seen, poses, strict=True)
            ]
            best = int(np.argmax(shares))
            if shares[best] == 0:
                self._failed(hidden)
            else:
                self._found(tried[best])

        progress(0, len(tried))
        self._remote.look_at(poses, info.ct_frame, progress, choose)
