# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""NIfTI files: voxels as stored, in their own grid, with the affine in RAS+ millimetres.

Format: https://nifti.nimh.nih.gov/nifti-1 ; the sform counts before the qform, as in the standard's method 3.
"""

from __future__ import annotations

import bz2
import io
import struct
from pathlib import Path
from typing import IO, Any

import nibabel
import numpy as np
from isal import igzip, isal_zlib
from nibabel.spatialimages import HeaderDataError
from numpy.typing import NDArray

from us_sim.core.errors import PatientError
from us_sim.core.geometry.transforms import Matrix
from us_sim.core.patient.grid import check_grid
from us_sim.core.patient.loops import transposed
from us_sim.core.patient.naming.said import header_table
from us_sim.core.patient.scan import Scan

DEFLATE_LIMIT = 1032  # deflate packs at most this many bytes into one
_BZIP2_LIMIT = 50_000  # about 46 bytes for a block of 900 kB of one value, twice nested at most
_MOST_BEFORE_VOXELS = 2**26  # bytes of header and extensions
_MOST_VOXEL_BYTES = 2**31
_MOST_UNSEEN, _DENSE = 2**28, 300  # bytes of a CT that may be packed more than this
_CHUNK = 2**24  # bytes read at once
_MM_PER_UNIT = {"meter": 1e3, "mm": 1.0, "micron": 1e-3, "unknown": 1.0}
_FORMS_APART = 2.0  # mm between the places that sform and qform give a corner
# sizeof_hdr -> header class, layout and offset of vox_offset
_KINDS = {348: (nibabel.Nifti1Header, "f", 108), 540: (nibabel.Nifti2Header, "q", 168)}


def read_nifti(path: Path, labels: bool = False) -> Scan:
    """Read a `.nii`, `.nii.gz` or `.nii.bz2` file to its end, so that checksums count.

    A CT is not packed as closely as labels can be: what claims to be is refused before it is unpacked.

    Raises:
        PatientError: missing, truncated, damaged, not NIfTI, not 3-D, empty, larger than the file can hold, without a
            usable affine, or with voxels that are NaN or Inf.
    """
    check_file(path)
    try:
        with opened(path) as stream:
            header = _header(path, stream)
            shape = _volume_shape(header.get_data_shape())
            _check_size(path, header, labels)
            ct_from_voxel = check_grid(shape, _affine(path, header), path)
            voxels = _voxels(path, stream, header, shape)
    except (OSError, EOFError, isal_zlib.error, HeaderDataError) as error:  # type: ignore[misc]  # of its stub
        raise PatientError(f"{path}: is truncated or damaged ({error}); copy or export it again") from error
    check_voxels(path, voxels)
    text = " ".join(str(extension.get_content()) for extension in header.extensions)
    warnings = _forms_apart(path, header, shape)
    return Scan(voxels, ct_from_voxel, header_table(text), "the label table in the file's header", warnings)


def check_file(path: Path) -> None:
    """Raise PatientError unless the path is a file with something in it; a pipe or device is none."""
    if not path.exists():
        raise PatientError(
            f"{path}: no such file or folder; give a NIfTI file (.nii, .nii.gz), one of another format, or a folder"
        )
    if not path.is_file():
        raise PatientError(f"{path}: is a device or a pipe; give a file or a folder")
    if path.stat().st_size == 0:
        raise PatientError(f"{path}: is empty, 0 bytes; copy or export it again")


def check_voxels(path: Path, voxels: NDArray[Any]) -> None:
    """Raise PatientError for what are no numbers."""
    if voxels.dtype.kind not in "iuf":
        raise PatientError(f"{path}: voxels of type {voxels.dtype}; expected integer or float values")
    if voxels.dtype.kind == "f":
        bad = voxels.size - int(np.isfinite(voxels).sum())
        if bad:
            raise PatientError(f"{path}: {bad} voxels are NaN or Inf; replace them, outside the scan by -1024")


def opened(path: Path) -> IO[bytes]:
    """Open a file for reading, unpacked by what it begins with, whatever its name says."""
    with path.open("rb") as file:
        magic = file.read(3)
    if magic[:2] == b"\x1f\x8b":
        return igzip.open(path, "rb")
    return bz2.open(path, "rb") if magic == b"BZh" else path.open("rb")


def _header(path: Path, stream: IO[bytes]) -> Any:
    """Read header and extensions; the stream then stands somewhere before the voxels."""
    try:
        start = stream.read(540)
        sizes = [(o, s) for o in "<>" for s in _KINDS if start[:4] == struct.pack(f"{o}i", s)]
        if not sizes:
            raise ValueError(f"it begins with {start[:4].hex(' ') or 'nothing'}")
        order, size = sizes[0]
        kind, layout, at = _KINDS[size]
        begin = struct.unpack_from(f"{order}{layout}", start, at)[0]
        begin = begin or size + 4  # some leave it at 0
        if not size <= begin <= _MOST_BEFORE_VOXELS:
            raise ValueError(f"vox_offset {begin}")
        rest = stream.read(max(0, int(begin) - len(start)))
        return kind.from_fileobj(io.BytesIO(start + rest), check=True)
    except Exception as error:  # each kind of damage raises its own
        finding = str(error) or type(error).__name__
        raise PatientError(
            f"{path}: is not a NIfTI file or its header is damaged ({finding}); "
            "give a .nii or .nii.gz file, or the folder of a DICOM series"
        ) from error


def _volume_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Drop trailing axes of length 1: many tools write (I, J, K, 1)."""
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    return shape


def _check_size(path: Path, header: Any, labels: bool) -> None:
    """Compare what the header promises with the file's size before anything is read or allocated."""
    with path.open("rb") as file:
        magic = file.read(3)
    packing = DEFLATE_LIMIT if magic[:2] == b"\x1f\x8b" else _BZIP2_LIMIT if magic == b"BZh" else 1
    check_promise(path, header.get_data_shape(), header.get_data_dtype().itemsize, packing)
    promised = float(np.prod(header.get_data_shape(), dtype=np.float64)) * header.get_data_dtype().itemsize
    stored = path.stat().st_size
    if not labels and promised > max(_MOST_UNSEEN, _DENSE * stored):
        raise PatientError(
            f"{path}: shape {header.get_data_shape()} in {stored} bytes: no CT is that empty; copy or export it again"
        )


def check_promise(path: Path, shape: tuple[int, ...], itemsize: int, packing: int) -> None:
    """Raise PatientError where a file cannot hold the voxels that its header promises, or they are too many."""
    stored = path.stat().st_size
    promised = float(np.prod(shape, dtype=np.float64)) * itemsize
    if promised > stored * packing:
        raise PatientError(
            f"{path}: is truncated or its header wrong: shape {shape} takes {promised:.0f} "
            f"bytes, more than a file of {stored} bytes can hold; copy or export it again"
        )
    if promised > _MOST_VOXEL_BYTES and len(shape) == 3 and np.prod(shape, dtype=np.float64) <= 2**29:
        raise PatientError(
            f"{path}: its voxels take {promised / 2**30:.1f} GiB; store them as 16-bit integers, or crop the scan"
        )


def _voxels(path: Path, stream: IO[bytes], header: Any, shape: tuple[int, ...]) -> NDArray[Any]:
    """Read the voxels slab by slab, C-contiguous, and the file to its end, where the checksum is."""
    stored = header.get_data_dtype()
    if stored.kind not in "iuf":
        raise PatientError(f"{path}: voxels of type {stored}; expected integer or float values")
    slope, intercept = (header.get_slope_inter() if header.has_data_slope else (None, None)) or (None, None)
    slope, intercept = 1.0 if slope is None else slope, 0.0 if intercept is None else intercept
    scaled = (slope, intercept) != (1, 0)
    voxels = np.empty(shape, dtype=np.float32 if scaled else stored.newbyteorder("="))
    same = f"u{voxels.itemsize}"  # whatever the numbers are, they are moved as they are
    stream.seek(header.get_data_offset())
    area = shape[0] * shape[1]
    step = max(1, _CHUNK // (area * stored.itemsize))
    for k in range(0, shape[2], step):
        count = min(step, shape[2] - k)
        wanted = area * count * stored.itemsize
        data = stream.read(wanted)
        if len(data) < wanted:
            raise EOFError(f"voxels end {wanted - len(data)} bytes early in slice {k}")
        slab = np.frombuffer(data, stored).reshape(count, shape[1], shape[0])
        slab = (slab * slope + intercept if scaled else slab).astype(voxels.dtype, copy=False)
        transposed(slab.view(same), k, voxels.view(same))
    read_to_end(path, stream)
    return voxels


def read_to_end(path: Path, stream: IO[bytes], most: int = _MOST_BEFORE_VOXELS) -> None:
    """Read what is left of a file, so that its checksum is compared.

    Raises:
        PatientError: more than `most` bytes are left.
    """
    left = 0
    while data := stream.read(_CHUNK):
        left += len(data)
        if left > most:
            raise PatientError(f"{path}: has over {most} bytes after its voxels; copy or export it again")


def _affine(path: Path, header: Any) -> Matrix:
    try:
        affine = header.get_sform(coded=True)[0]
        if affine is None:
            affine = header.get_qform(coded=True)[0]
        unit = header.get_xyzt_units()[0]
    except (ValueError, KeyError, ArithmeticError, HeaderDataError) as error:
        raise PatientError(f"{path}: its header gives no valid affine ({error}); rewrite the file") from error
    if affine is None:
        raise PatientError(
            f"{path}: has neither sform nor qform, so that left and right are unknown; "
            "convert it from its source again, keeping the orientation"
        )
    if unit not in _MM_PER_UNIT:
        raise PatientError(f"{path}: its affine is in {unit!r}; rewrite the file with an affine in millimetres")
    return np.diag([*[_MM_PER_UNIT[unit]] * 3, 1.0]) @ affine


def _forms_apart(path: Path, header: Any, shape: tuple[int, ...]) -> tuple[str, ...]:
    """Warn where a header gives two places to the same voxel: programs differ in which they take."""
    try:
        sform, qform = header.get_sform(coded=True)[0], header.get_qform(coded=True)[0]
    except (ValueError, ArithmeticError, HeaderDataError):
        return ()
    if sform is None or qform is None or not np.isfinite(qform).all():
        return ()
    last = np.array(shape) - 1
    corners = np.array([[i, j, k, 1] for i in (0, last[0]) for j in (0, last[1]) for k in (0, last[2])])
    apart = float(np.linalg.norm((corners @ (sform - qform).T)[:, :3], axis=1).max())
    if apart <= _FORMS_APART:
        return ()
    return (
        f"{path.name}: sform and qform of its header lie up to {apart:.0f} mm apart; the sform is taken: "
        "if labels and CT do not match, rewrite the file with one of them",
    )
