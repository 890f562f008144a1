# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Volumes that ITK reads: NRRD (with the segments of 3D Slicer), MetaImage. LPS turned into RAS."""

from __future__ import annotations

import math
import os
import re
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from us_sim.core.errors import PatientError
from us_sim.core.geometry.transforms import Matrix
from us_sim.core.patient.grid import check_grid
from us_sim.core.patient.nifti import DEFLATE_LIMIT, check_file, check_promise, check_voxels
from us_sim.core.patient.scan import Scan

ENDINGS = (".nrrd", ".nhdr", ".mha", ".mhd")
_RAS_FROM_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
_SEGMENTS = "the segments of 3D Slicer in the file"
# What ITK turns into LPS; it takes the axes of any other space for LPS, without a word.
_SPACES = (
    "left-posterior-superior", "lps", "right-anterior-superior", "ras", "left-anterior-superior", "las"
)  # fmt: skip
_PLACE = (("TransformMatrix", "Rotation", "Orientation"), ("Offset", "Position", "Origin"))  # names in MetaImage


def read_itk(path: Path) -> Scan:
    """Read a `.nrrd`, `.nhdr`, `.mha` or `.mhd` file; overlapping segments of 3D Slicer become one map.

    Raises:
        PatientError: missing, truncated, damaged, not 3-D, or larger than the file can hold.
    """
    import SimpleITK as sitk  # takes a third of a second, and most patients are NIfTI or DICOM

    check_file(path)
    try:
        reader = sitk.ImageFileReader()
        reader.SetFileName(str(path))
        reader.ReadImageInformation()
        size, parts = reader.GetSize(), reader.GetNumberOfComponents()
        segments = _segments({key: reader.GetMetaData(key) for key in reader.GetMetaDataKeys()})
        said, begin = _fields(path)
        warnings = _check_place(path, said)
        data = _data_file(path, said)
        packed = _is_packed(said, data)
        shape = (*size, parts) if parts > 1 else size
        itemsize = _itemsize(reader.GetPixelID())
        check_promise(data, shape, itemsize, DEFLATE_LIMIT if packed else 1)
        if parts > 1 and not segments:
            raise PatientError(f"{path}: has {parts} values a voxel; expected one: extract one volume")
        ct_from_voxel = check_grid(tuple(size), _affine(reader), path)
        begin, promised = begin if data == path else 0, math.prod(shape) * itemsize
        if packed:
            _check_packed(data, begin, promised)
        else:
            _check_length(data, said, begin, promised)
        image = reader.Execute()  # held as long as the view of it
        voxels = np.swapaxes(sitk.GetArrayViewFromImage(image), 0, 2)
        if parts > 1 or segments:
            voxels = _one_map(voxels if parts > 1 else voxels[..., None], segments)
            names = {number: name for number, (name, _, _) in enumerate(segments, start=1)}
        else:
            names = {}
        voxels = np.array(voxels, order="C")
    except PatientError:
        raise
    except RuntimeError as error:
        finding = " ".join(str(error).split())[-200:]
        raise PatientError(f"{path}: is truncated or damaged ({finding}); copy or export it again") from error
    check_voxels(path, voxels)
    return Scan(voxels, ct_from_voxel, names, _SEGMENTS, warnings)


def _affine(reader: Any) -> Matrix:
    affine = np.eye(4)
    if reader.GetDimension() == 3:  # others are refused by their shape
        affine[:3, :3] = np.reshape(reader.GetDirection(), (3, 3)) @ np.diag(reader.GetSpacing())
        affine[:3, 3] = reader.GetOrigin()
    return _RAS_FROM_LPS @ affine


def _itemsize(pixel: int) -> int:
    import SimpleITK as sitk

    name = sitk.GetPixelIDValueAsString(pixel)
    return 8 if "64" in name else 4 if "32" in name else 2 if "16" in name else 1


def is_self_contained(path: Path) -> bool:
    """Return whether the voxels lie in the file itself, not in one that it names."""
    return _data_file(path, _fields(path)[0]) == path


def _fields(path: Path) -> tuple[dict[str, str], int]:
    """Return the header's fields, their names in small letters, and the number of bytes before the voxels."""
    with path.open("rb") as file:
        head = file.read(2**20)
    at, said = 0, {}
    for line in head.split(b"\n"):
        at += len(line) + 1
        key, *value = re.split("[:=]", os.fsdecode(line), maxsplit=1)
        key = key.strip().lower()
        said[key] = "".join(value).strip()
        if key == "elementdatafile" or not line.strip():
            break
    return said, at


def _check_place(path: Path, said: Mapping[str, str]) -> tuple[str, ...]:
    """Refuse a header that does not tell size and direction of the voxels: ITK takes 1 mm and its own axes.

    Returns:
        a warning where MetaImage's defaults, which older programs rely on, count.

    Raises:
        PatientError: naming what is missing.
    """
    if "elementdatafile" in said:
        if not {"elementspacing", "elementsize"} & said.keys():
            raise PatientError(f"{path}: its header has no ElementSpacing; add the size of a voxel in mm")
        missing = [names[0] for names in _PLACE if not {name.lower() for name in names} & said.keys()]
        if missing:
            return (
                f"{path.name}: its header has no {' and no '.join(missing)}; MetaImage's default is assumed (x to the "
                "left, y to the back, the first voxel at 0): compare with the source",
            )
        return ()
    space, directions = said.get("space"), said.get("space directions")
    if (space or "").lower() not in _SPACES or directions is None:
        raise PatientError(
            f"{path}: its header has space {space!r} and space directions {directions!r}, so that left and right are "
            "unknown; convert it from its source again, keeping the orientation"
        )
    return ()


def _data_file(path: Path, said: Mapping[str, str]) -> Path:
    """Return the file that holds the voxels.

    Raises:
        PatientError: it is not there, not one, or in another folder.
    """
    name = next((said[key] for key in ("elementdatafile", "data file", "datafile") if key in said), "LOCAL")
    if name.upper() == "LOCAL":
        return path
    if re.match(r"(?i)(skip)?list\b", name) or "%" in name:
        raise PatientError(f"{path}: its voxels lie in several files ({name}); store it as one .nrrd or .mha file")
    named = path.parent / name
    if named.parent.resolve() != path.parent.resolve():
        raise PatientError(f"{path}: its voxels are said to lie in another folder, {named}; put them beside it")
    if not named.is_file():
        raise PatientError(f"{path}: its voxels are said to lie in {name}, which is not there; put it beside it")
    return named


def _is_packed(said: Mapping[str, str], data: Path) -> bool:
    encoded = said.get("compresseddata", "").lower() == "true" or said.get("encoding", "").lower() in ("gzip", "gz")
    return encoded or data.name.endswith((".zraw", ".gz"))


def _check_length(file: Path, said: Mapping[str, str], begin: int, promised: int) -> None:
    """Refuse a file with more than its voxels and what the header skips: its sizes or type are those of another.

    Text has no fixed length, nor has what is skipped line by line or, by negative numbers, counted from the end.

    Raises:
        PatientError: naming both sizes in bytes.
    """
    text = said.get("encoding", "raw").lower() != "raw" or said.get("binarydata", "true")[:1].lower() not in "t1"
    skipped, header = _integer(said, "byte skip", "byteskip"), _integer(said, "headersize")
    if text or skipped < 0 or header < 0 or _integer(said, "line skip", "lineskip"):
        return
    stored, expected = file.stat().st_size, (header or begin + skipped) + promised
    if stored > expected:
        raise PatientError(
            f"{file}: has {stored} bytes; expected {expected} by size and type of the voxels in the header: correct "
            "them there, or export it again"
        )


def _integer(said: Mapping[str, str], *names: str) -> int:
    """Return a field of the header under one of its names, as ITK reads it; 0 where there is none."""
    found = re.match(r"[+-]?\d+", next((said[name] for name in names if name in said), ""))
    return int(found[0]) if found else 0


def _check_packed(file: Path, begin: int, most: int) -> None:
    """Unpack the voxels once and compare their checksum: ITK takes damaged ones without a word.

    Raises:
        PatientError: damaged, or more than `most` bytes.
    """
    unpacker, size = zlib.decompressobj(wbits=47), 0  # zlib of MetaImage, gzip of NRRD
    try:
        with file.open("rb") as stream:
            stream.seek(begin)
            while not unpacker.eof:
                data = unpacker.unconsumed_tail or stream.read(2**20)
                if not data:
                    raise EOFError("its packed voxels have no end")
                size += len(unpacker.decompress(data, 2**24))
                if size > most + 2**20:
                    raise EOFError("it unpacks to more than its header says")
    except (zlib.error, EOFError) as error:
        raise PatientError(f"{file}: is truncated or damaged ({error}); copy or export it again") from error


def _segments(said: Mapping[str, str]) -> list[tuple[str, int, int]]:
    """Return name, label value and layer of each segment that 3D Slicer has written."""
    segments: list[tuple[str, int, int]] = []
    while (name := said.get(f"Segment{len(segments)}_Name")) is not None:
        at = f"Segment{len(segments)}"
        segments.append((name, int(said.get(f"{at}_LabelValue", 1)), int(said.get(f"{at}_Layer", 0))))
    return segments


def _one_map(layers: NDArray[Any], segments: list[tuple[str, int, int]]) -> NDArray[np.uint16]:
    """Number the segments of (I, J, K, layers) from 1; where two overlap, the smaller one counts."""
    masks = [layers[..., layer] == value for _, value, layer in segments]
    merged = np.zeros(layers.shape[:3], dtype=np.uint16)
    for number in sorted(range(len(masks)), key=lambda n: -int(np.count_nonzero(masks[n]))):
        merged[masks[number]] = number + 1
    return merged
