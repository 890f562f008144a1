# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""A patient in a folder: arrays that any number of processes map into memory and share, and a text about them."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np

from us_sim.core.errors import PatientError
from us_sim.core.files import atomic_write
from us_sim.core.patient.surface import Skin
from us_sim.core.patient.volume import CtVolume, content_hash

ABOUT = "patient.json"
_TYPES = {"hu": np.int16, "tissue": np.uint8, "echo": np.int8, "border": np.uint8, "distance": np.float32}


def write_kept(volume: CtVolume, skin: Skin, folder: Path) -> None:
    """Write what a patient is made of into a folder; the text comes last, so that what has one is whole."""
    folder.mkdir(parents=True, exist_ok=True)
    arrays = {name: getattr(volume, name) for name in ("hu", "tissue", "echo", "border")}
    arrays["distance"] = skin.distance
    for name, array in arrays.items():
        if array is not None:
            with atomic_write(folder / f"{name}.npy") as partial, partial.open("wb") as stream:
                np.save(stream, np.asarray(array))
    about = {
        "name": volume.name, "sha256": volume.sha256, "ct_from_voxel": volume.ct_from_voxel.tolist(),
        "ct_from_grid": skin.ct_from_grid.tolist(), "arrays": [n for n, array in arrays.items() if array is not None],
        "warnings": volume.warnings, "labelling": volume.labelling,
    }  # fmt: skip
    with atomic_write(folder / ABOUT) as partial:
        partial.write_text(json.dumps({**about, "check": _check(about, skin)}, indent=1) + "\n")


def mapped(folder: Path, verify: bool = False) -> tuple[CtVolume, Skin]:
    """Return what `write_kept` wrote; the arrays are pages of the files, which processes share.

    Args:
        folder: of `write_kept`.
        verify: read it all and compare it with its checksums.

    Raises:
        PatientError: the folder holds no such patient, or another one than was written.
    """
    try:
        about = json.loads((folder / ABOUT).read_text())
        # Copy on write: pages are shared until written, and loops compiled for writable arrays take them.
        arrays = {name: np.asarray(np.load(folder / f"{name}.npy", mmap_mode="c")) for name in about["arrays"]}
        for name, array in arrays.items():
            if array.dtype != _TYPES[name] or array.ndim != 3 or not array.flags.c_contiguous:
                raise ValueError(f"{name} is {array.dtype}, {array.ndim}-dimensional")
        ct_from_voxel, ct_from_grid = (np.array(about[name], np.float64) for name in ("ct_from_voxel", "ct_from_grid"))
        warnings, labelling = (tuple(map(str, about.get(name, ()))) for name in ("warnings", "labelling"))
        volume = CtVolume(
            arrays["hu"], arrays["tissue"], ct_from_voxel, str(about["name"]), str(about["sha256"]), warnings,
            labelling, arrays.get("echo"), arrays.get("border"),
        )  # fmt: skip
        skin = Skin(arrays["distance"], ct_from_grid)
        if verify:
            _verify(about, volume, skin)
        return volume, skin
    except (OSError, ValueError, KeyError, TypeError, AttributeError, AssertionError) as error:
        raise PatientError(f"{folder} holds no patient of save_patient ({error}); save it again") from None


def _verify(about: dict[str, Any], volume: CtVolume, skin: Skin) -> None:
    content = content_hash(volume.hu, volume.tissue, volume.ct_from_voxel, volume.echo, volume.border)
    written = about.pop("check")
    if (content, _check(about, skin)) != (volume.sha256, written):
        raise ValueError("its checksum is another one")


def _check(about: dict[str, Any], skin: Skin) -> str:
    """Checksum of the text and the skin; HU, classes, echo and border have the volume's own."""
    digest = hashlib.sha256(json.dumps(about, sort_keys=True).encode())
    digest.update(np.ascontiguousarray(skin.distance).data)
    return digest.hexdigest()
