# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""The patient: a CT with its classes, its skin, and the meshes that show it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from us_sim.core.patient.cache import Parts, through_cache
from us_sim.core.patient.made_from import digest_of_ct, digest_of_phantom
from us_sim.core.patient.surface import Skin, alignment_error, organ_meshes, skin_mesh, skin_of
from us_sim.core.patient.volume import CtVolume
from us_sim.core.tissue import TissueClass

if TYPE_CHECKING:
    import trimesh

    from us_sim.core.patient.breathing import Mobility


@dataclass(frozen=True, eq=False)
class Patient:
    """A patient. Meshes are made on first use.

    Attributes:
        volume: CT and classes.
        skin: signed distance to it.
        origin: whether it was prepared or came from the cache, for the user.
    """

    volume: CtVolume
    skin: Skin
    origin: str = ""

    @property
    def name(self) -> str:
        """What the user calls the patient."""
        return self.volume.name

    @property
    def sha256(self) -> str:
        """Hash of HU, classes and affine."""
        return self.volume.sha256

    @property
    def warnings(self) -> tuple[str, ...]:
        """Findings that do not stop the use."""
        return self.volume.warnings

    @property
    def labelling(self) -> tuple[str, ...]:
        """The label scheme in use and the ten largest structures; empty without labels."""
        return self.volume.labelling

    @cached_property
    def skin_mesh(self) -> trimesh.Trimesh:
        """Closed mesh of the skin in `ct`, mm, normals outward."""
        return skin_mesh(self.skin)

    def misalignment(self) -> str | None:
        """Return what is wrong if skin mesh and CT lie more than a voxel apart, or None.

        The mesh comes from the distance grid, so a voxel counts at least the grid's spacing.
        """
        error = alignment_error(self.skin_mesh, self.volume)
        allowed = max(float(self.volume.spacing.max()), float(self.skin.ct_from_grid[0, 0]))
        if error <= allowed:
            return None
        return f"skin mesh and CT of {self.name} lie {error:.1f} mm apart; expected at most {allowed:.1f} mm"

    @cached_property
    def mobility(self) -> Mobility:
        """Fraction of the respiratory motion at each place."""
        from us_sim.core.patient.breathing import (
            mobility_of,  # with torch, which the one who moves the probe does without
        )

        return mobility_of(self.volume, self.skin)

    @cached_property
    def organ_meshes(self) -> dict[TissueClass, trimesh.Trimesh]:
        """Mesh in `ct`, mm, of every organ that the volume holds."""
        return organ_meshes(self.volume)


def load_patient(
    ct: str | Path,
    labels: str | Path | None = None,
    label_scheme: str | None = None,
    labels_map: str | Path | None = None,
    detail: bool = True,
    seed: int = 0,
) -> Patient:
    """Return the patient of a CT file or DICOM folder, with labels if there are any; arguments as of `load_volume`.

    `detail`: finer voxels with vessels, walls and layers drawn into the organs by `seed`; without it the CT as it is.
    What was prepared before comes from the cache, its arrays mapped into memory; `origin` says so.

    Raises:
        PatientError: as `load_volume`, or no body is found in the CT.
    """

    def prepared() -> Parts:
        from us_sim.core.patient.loading import load_volume  # readers of all formats: not for what is in the cache

        volume = load_volume(ct, labels, label_scheme, labels_map, detail, seed)
        return volume, skin_of(volume)

    def digest() -> str | None:
        return digest_of_ct(ct, labels, label_scheme, labels_map, detail, seed)

    parts, origin = through_cache(digest, prepared)
    return Patient(*parts, origin)


def builtin_patient(seed: int = 0, detail: bool = True, keep: bool = True) -> Patient:
    """Return the procedural abdomen of a seed; without `detail` no finer vessels, walls and layers in its organs.

    `keep`: in the cache; not for the many of a training.
    """

    def prepared() -> Parts:
        from us_sim.core.patient.phantom.build import phantom

        volume = phantom(seed, detail)
        return volume, skin_of(volume)

    if not keep:
        return Patient(*prepared())
    parts, origin = through_cache(lambda: digest_of_phantom(seed, detail), prepared)
    return Patient(*parts, origin)
