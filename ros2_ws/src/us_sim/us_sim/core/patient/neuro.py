# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Volumes of neighbouring fields that nibabel reads: Analyze 7.5, NIfTI in two files, MGH of FreeSurfer."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np

from us_sim.core.errors import PatientError
from us_sim.core.patient.grid import check_grid
from us_sim.core.patient.nifti import DEFLATE_LIMIT, check_file, check_promise, check_voxels, opened, read_to_end
from us_sim.core.patient.scan import Scan

ENDINGS = (".hdr", ".img", ".img.gz", ".hdr.gz", ".mgh", ".mgz", ".mgh.gz")
_PACKED = (".gz", ".mgz")


def read_neuro(path: Path) -> Scan:
    """Read an Analyze, NIfTI pair or MGH file.

    Raises:
        PatientError: missing, damaged, not 3-D, or without a usable affine.
    """
    check_file(path)
    try:
        image = nibabel.load(path, mmap=False)
        files = [Path(holder.filename) for holder in image.file_map.values() if holder.filename]
        data = next((file for file in files if file.suffix.lower() in (".img", ".mgh", ".mgz", ".gz")), path)
        check_promise(
            data, image.shape, image.get_data_dtype().itemsize, DEFLATE_LIMIT if data.suffix in _PACKED else 1
        )
        promised = int(np.prod(image.shape)) * image.get_data_dtype().itemsize
        with opened(data) as stream:
            read_to_end(data, stream, promised + 2**26)
        shape = image.shape
        while len(shape) > 3 and shape[-1] == 1:
            shape = shape[:-1]
        ct_from_voxel = check_grid(shape, image.affine, path)
        scaled = (getattr(image.dataobj, "slope", 1), getattr(image.dataobj, "inter", 0)) != (1, 0)
        voxels = np.asarray(image.dataobj, dtype=np.float32 if scaled else None).reshape(shape)
    except PatientError:
        raise
    except Exception as error:  # each kind of damage raises its own
        raise PatientError(
            f"{path}: cannot be read as {path.suffix} ({error}); convert it from its source to .nii.gz"
        ) from error
    check_voxels(path, voxels)
    warnings: tuple[str, ...] = ()
    if not hasattr(image.header, "get_sform") and not isinstance(image, nibabel.MGHImage):
        warnings = (
            f"{path.name}: Analyze does not say which side is left; its convention is assumed (x to the left): "
            "compare with the source",
        )
    return Scan(np.ascontiguousarray(voxels), ct_from_voxel, warnings=warnings)
