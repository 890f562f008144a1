# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""What a patient is made from, as a digest: the name under which the cache keeps it."""

from __future__ import annotations

import functools
import hashlib
import itertools
import platform
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from us_sim.core import patient
from us_sim.core.patient.naming.own_map import own_map_of
from us_sim.core.patient.naming.said import places_beside
from us_sim.core.user_files import home

_LIBRARIES = ("numpy", "scipy", "numba", "scikit-image", "nibabel", "pydicom", "SimpleITK", "pylibjpeg", "torch")
_ONE_FILE = (".nii", ".nii.gz", ".nii.bz2", ".nrrd", ".mha", ".mgh", ".mgz", ".zip")
_MOST_FILES, _MOST_BYTES = 50_000, 2**32  # that are read for it
_CHUNK = 2**22


def digest_of_phantom(seed: int, detail: bool) -> str:
    """Return the digest of a built-in phantom."""
    return _name(_started("phantom", seed, detail))


def digest_of_ct(
    ct: str | Path, labels: str | Path | None, label_scheme: str | None, labels_map: str | Path | None, detail: bool,
    seed: int,
) -> str | None:  # fmt: skip
    """Return the digest of a CT with its labels; arguments as of `load_volume`.

    None where it cannot be told which files are read: a DICOM file of a series, a header whose voxels lie in another
    file; and where they cannot be read, which the one who loads them will say.
    """
    if label_scheme and own_map_of(label_scheme):  # as `load_volume` takes it
        label_scheme, labels_map = None, label_scheme
    digest = _started("ct", label_scheme or None, detail, seed)
    try:
        return _name(digest) if all(_taken(digest, part) for part in (ct, labels, labels_map)) else None
    except (OSError, ValueError):
        return None


def _started(*parameters: object) -> hashlib._Hash:
    return hashlib.sha256(repr((*parameters, preparing())).encode())


def _name(digest: hashlib._Hash) -> str:
    return digest.hexdigest()[:32]


@functools.cache
def preparing() -> str:
    """Return a digest of the code that prepares patients, on its floor and those below, and of its libraries."""
    core = Path(str(patient.__file__)).parents[1]
    code = hashlib.sha256(repr((platform.machine(), platform.python_version(), *map(_version, _LIBRARIES))).encode())
    rooms = (core / room for room in ("compute", "geometry", "patient"))
    for file in sorted([*core.glob("*.py"), *itertools.chain.from_iterable(room.rglob("*.py") for room in rooms)]):
        code.update(file.read_bytes())
    return code.hexdigest()


def _version(library: str) -> str:
    try:
        return metadata.version(library)
    except metadata.PackageNotFoundError:
        return ""


def _taken(digest: hashlib._Hash, part: str | Path | None) -> bool:
    """Take in names and content of a CT, its labels or a mapping; False where not all of its files are known."""
    if not part:
        digest.update(b"none")
        return True
    path = home(part)
    files = list(itertools.islice(_files(path), _MOST_FILES + 1))
    if not files or len(files) > _MOST_FILES or sum(file.stat().st_size for file in files) > _MOST_BYTES:
        return False
    for file in files:
        name = str(file.relative_to(path)) if path in file.parents else file.name
        digest.update(repr((name, path.resolve().name, file.stat().st_size)).encode())
        with file.open("rb") as stream:
            while data := stream.read(_CHUNK):
                digest.update(data)
    return True


def _files(path: Path) -> Iterator[Path]:
    """Yield the files that are read where a path is given, tables of label names beside it included."""
    if path.is_dir():
        yield from sorted(file for file in path.rglob("*") if file.is_file())
    elif path.is_file() and _is_whole(path):
        yield path
        yield from (place for place in places_beside(path) if place.is_file())


def _is_whole(path: Path) -> bool:
    """Whether all that a file is about lies in it."""
    name = path.name.lower()
    if name.endswith((".yaml", ".yml")):
        return True
    from us_sim.core.patient import itk  # with the libraries of all formats, which a phantom does not need
    from us_sim.core.patient.dicom_files import is_dicom

    if not name.endswith(_ONE_FILE) or is_dicom(path):
        return False
    return not name.endswith(itk.ENDINGS) or itk.is_self_contained(path)
