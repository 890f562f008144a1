"""A small synthetic patient given as a function of the place, written as NIfTI or DICOM in any grid."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from pydicom.dataset import FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

Array = NDArray[Any]
CENTRE = np.array([12.0, -7.0, 103.0])  # mm, RAS


class SmallPatient:
    """An elliptic body of fat, 56 × 40 mm across, along z; liver, gas and bone balls make it chiral."""

    shape = (40, 32, 20)
    ct_from_voxel = np.array([[-4.0, 0, 0, 90], [0, -4, 0, 55], [0, 0, 5, 56], [0, 0, 0, 1]])
    balls = ((+25.0, 5.0, 5.0, 18.0, 60), (-25.0, 8.0, -10.0, 12.0, -990), (-5.0, -22.0, 0.0, 11.0, 500))

    def points(self, shape: tuple[int, ...], ct_from_voxel: Array) -> Array:
        """(I, J, K, 3) places of the voxels, mm in RAS."""
        voxels = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1)
        return voxels @ ct_from_voxel[:3, :3].T + ct_from_voxel[:3, 3]

    def hu_at(self, points: Array) -> Array:
        """HU at (..., 3) points, int16, with a gradient along z so that no two slices are alike."""
        x, y, z = np.moveaxis(points - CENTRE, -1, 0)
        hu = np.where((x / 56) ** 2 + (y / 40) ** 2 < 1, -90 + np.rint(z / 5), -1000)
        for cx, cy, cz, radius, value in self.balls:
            hu = np.where((x - cx) ** 2 + (y - cy) ** 2 + (z - cz) ** 2 < radius**2, value, hu)
        return hu.astype(np.int16)

    def labels_at(self, points: Array) -> Array:
        """uint8, 1 in the ball that stands for the liver."""
        cx, cy, cz, radius, _ = self.balls[0]
        return (np.linalg.norm(points - CENTRE - (cx, cy, cz), axis=-1) < radius).astype(np.uint8)

    def hu(self) -> Array:
        return self.hu_at(self.points(self.shape, self.ct_from_voxel))

    def write_nifti(self, path: Path, voxels: Array | None = None, ct_from_voxel: Array | None = None) -> Path:
        affine = self.ct_from_voxel if ct_from_voxel is None else ct_from_voxel
        nibabel.save(nibabel.Nifti1Image(self.hu() if voxels is None else voxels, affine), path)
        return path

    def write_dicom(
        self, folder: Path, voxels: Array | None = None, ct_from_voxel: Array | None = None, **tags: Any
    ) -> list[Path]:
        """Write (columns, rows, slices) HU as plain DICOM; names and instance numbers run against the position."""
        hu = self.hu() if voxels is None else voxels
        lps = np.diag([-1.0, -1, 1, 1]) @ (self.ct_from_voxel if ct_from_voxel is None else ct_from_voxel)
        spacing = np.linalg.norm(lps[:3, :3], axis=0)
        series, paths = generate_uid(), []
        folder.mkdir(parents=True, exist_ok=True)
        for k in range(hu.shape[2]):
            data = pydicom.Dataset()
            data.file_meta = FileMetaDataset()
            data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
            data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID = CTImageStorage
            data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID = generate_uid()
            data.SeriesInstanceUID, data.SeriesDescription, data.Modality = series, "Abdomen", "CT"
            data.InstanceNumber = hu.shape[2] - k
            data.ImagePositionPatient = [float(f"{v:.6f}") for v in lps[:3, :3] @ (0, 0, k) + lps[:3, 3]]
            directions = (lps[:3, :2] / spacing[:2]).T.ravel()
            data.ImageOrientationPatient = [float(f"{v:.8f}") for v in directions]
            data.PixelSpacing = [spacing[1], spacing[0]]
            data.Columns, data.Rows = hu.shape[:2]
            data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
            data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 16, 15, 0
            data.RescaleSlope, data.RescaleIntercept = 1, -1024
            data.PixelData = np.ascontiguousarray((hu[:, :, k].T + 1024).astype("<u2")).tobytes()
            for tag, value in tags.items():
                setattr(data, tag, value)
            paths.append(folder / f"IM{hu.shape[2] - k:04d}")
            data.save_as(paths[-1], enforce_file_format=True)
        return paths


@pytest.fixture(scope="session")
def small_patient() -> SmallPatient:
    return SmallPatient()
