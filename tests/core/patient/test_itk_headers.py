# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""What headers of NRRD and MetaImage leave out: ITK fills it in without a word."""

from pathlib import Path

import numpy as np
import pytest

from us_sim.core.errors import PatientError
from us_sim.core.patient.itk import is_self_contained, read_itk

SHAPE = (4, 3, 2)
VALUES = np.arange(24, dtype="<i2").reshape(SHAPE, order="F")
# LPS with voxels of 2, 3, 5 mm and the first at (10, 20, 30); so in RAS x and y run the other way.
RAS = np.array([[-2.0, 0, 0, -10], [0, -3, 0, -20], [0, 0, 5, 30], [0, 0, 0, 1]])
META = """NDims = 3
DimSize = 4 3 2
ElementType = MET_SHORT
ElementSpacing = 2 3 5
TransformMatrix = 1 0 0 0 1 0 0 0 1
Offset = 10 20 30
ElementDataFile = ct.raw
"""
NRRD = """NRRD0004
type: short
dimension: 3
sizes: 4 3 2
endian: little
encoding: raw
space: left-posterior-superior
space directions: (2,0,0) (0,3,0) (0,0,5)
space origin: (10,20,30)
data file: ct.raw

"""
HEADERS = {".mhd": META, ".nhdr": NRRD}


def written(folder: Path, ending: str, old: str = "", new: str = "", data: str = "ct.raw", *, field: str = "") -> Path:
    """A header with something exchanged, or with one more field, beside its voxels."""
    path = folder / f"ct{ending}"
    first, rest = (HEADERS[ending].replace(old, new) if old else HEADERS[ending]).split("\n", 1)
    path.write_text("\n".join(filter(None, (first, field, rest))), encoding="utf-8")
    (folder / data).write_bytes(VALUES.tobytes(order="F"))
    return path


@pytest.mark.parametrize("ending", HEADERS)
@pytest.mark.parametrize("data", ["ct.raw", "größe 肝.raw", "a=b.raw"])
def test_voxels_beside_the_header_whatever_their_name(tmp_path: Path, ending: str, data: str) -> None:
    path = written(tmp_path, ending, "ct.raw", data, data)
    scan = read_itk(path)
    np.testing.assert_array_equal(scan.voxels, VALUES)
    np.testing.assert_allclose(scan.ct_from_voxel, RAS)
    assert scan.warnings == ()
    assert not is_self_contained(path)


def test_axes_of_another_known_space(tmp_path: Path) -> None:
    scan = read_itk(written(tmp_path, ".nhdr", "left-posterior-superior", "right-anterior-superior"))
    ras = np.diag([2.0, 3, 5, 1])
    ras[:3, 3] = 10, 20, 30
    np.testing.assert_allclose(scan.ct_from_voxel, ras)


@pytest.mark.parametrize(
    ("ending", "old", "new", "message"),
    [
        (".mhd", "ElementSpacing = 2 3 5\n", "", "has no ElementSpacing; add the size of a voxel in mm"),
        (
            ".nhdr",
            "left-posterior-superior",
            "scanner-xyz",
            "has space 'scanner-xyz' and .* left and right are unknown",
        ),
        (
            ".nhdr",
            NRRD[NRRD.index("space: ") : NRRD.index("data file")],
            "spacings: 2 3 5\n",
            "has space None and space directions None, so that left and right are unknown",
        ),
        (".mhd", "ct.raw", "LIST", r"lie in several files \(LIST\); store it as one .nrrd or .mha file"),
        (".mhd", "ct.raw", "%03d.raw 1 2 1", r"lie in several files \(%03d.raw 1 2 1\); store it as one"),
        (".mhd", "ct.raw", "off.raw", "said to lie in off.raw, which is not there; put it beside it"),
    ],
)
def test_what_cannot_be_known_is_refused(tmp_path: Path, ending: str, old: str, new: str, message: str) -> None:
    with pytest.raises(PatientError, match=message):
        read_itk(written(tmp_path, ending, old, new))


def test_the_defaults_of_metaimage_are_told(tmp_path: Path) -> None:
    path = written(tmp_path, ".mhd", "TransformMatrix = 1 0 0 0 1 0 0 0 1\nOffset = 10 20 30\n")
    scan = read_itk(path)
    np.testing.assert_allclose(scan.ct_from_voxel, np.diag([-2.0, -3, 5, 1]))
    (warning,) = scan.warnings
    assert warning.startswith("ct.mhd: its header has no TransformMatrix and no Offset; MetaImage's default is assumed")
    assert read_itk(written(tmp_path, ".mhd", "Offset", "Position")).warnings == ()


@pytest.mark.parametrize(
    ("ending", "field", "before"),
    [
        (".nhdr", "byte skip: 4", b"1234"),
        (".nhdr", "byteskip: 4", b"1234"),
        (".nhdr", "byte skip: -1", b"1234"),
        (".nhdr", "line skip: 2", b"1\n34\n"),
        (".nhdr", "lineskip: 0", b""),
        (".mhd", "HeaderSize = 4", b"1234"),
        (".mhd", "HeaderSize = -1", b"1234"),
        (".mhd", "BinaryData = True", b""),
    ],
)
def test_what_the_header_skips_is_no_voxel(tmp_path: Path, ending: str, field: str, before: bytes) -> None:
    path = written(tmp_path, ending, field=field)
    (tmp_path / "ct.raw").write_bytes(before + VALUES.tobytes(order="F"))
    np.testing.assert_array_equal(read_itk(path).voxels, VALUES)


@pytest.mark.parametrize(
    ("ending", "field", "size", "expected"),
    [
        (".nhdr", "", 52, 48),  # 24 voxels of 2 bytes
        (".nhdr", "byte skip: 2", 52, 50),
        (".mhd", "", 52, 48),
        (".mhd", "HeaderSize = 2", 52, 50),
    ],
)
def test_more_than_the_voxels_is_refused(tmp_path: Path, ending: str, field: str, size: int, expected: int) -> None:
    path = written(tmp_path, ending, field=field)
    (tmp_path / "ct.raw").write_bytes(bytes(size))
    message = (
        rf"ct\.raw: has {size} bytes; expected {expected} by size and type .* in the header: correct them there, or"
    )
    with pytest.raises(PatientError, match=message):
        read_itk(path)


@pytest.mark.parametrize(("ending", "old", "new"), [(".mhd", "ct.raw", "LOCAL"), (".nhdr", "data file: ct.raw\n", "")])
def test_voxels_in_the_file_itself(tmp_path: Path, ending: str, old: str, new: str) -> None:
    path = written(tmp_path, ending, old, new)
    whole = path.read_bytes() + VALUES.tobytes(order="F")
    path.write_bytes(whole)
    np.testing.assert_array_equal(read_itk(path).voxels, VALUES)
    path.write_bytes(whole + b"1234")
    with pytest.raises(PatientError, match=f"has {len(whole) + 4} bytes; expected {len(whole)} by size and type"):
        read_itk(path)
