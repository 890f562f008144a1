"""The CT as it lies in its own voxel grid, with the full affine and a tissue class for every voxel."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from us_sim.core.errors import PatientError
from us_sim.core.patient.body import body_mask
from us_sim.core.patient.dicom import read_dicom
from us_sim.core.patient.labels import METAL_ABOVE, content_hash, lay_over, read_labels, tissue_from_hu
from us_sim.core.patient.nifti import read_nifti
from us_sim.core.patient.schemes import check_scheme

AIR_HU = -1000


@dataclass(frozen=True, eq=False)
class CtVolume:
    """A CT in its own voxel grid.

    Attributes:
        hu: (I, J, K) int16 Hounsfield units, C-contiguous.
        tissue: (I, J, K) uint8 ids of `tissue.TissueClass`, C-contiguous.
        ct_from_voxel: (4, 4) float64, voxel index to mm in `ct` (RAS+).
        name: what the user calls the patient.
        sha256: hash of HU, tissue and affine.
        warnings: findings that do not stop the use, for the user's eyes.
        echo: (I, J, K) int8 backscatter of each voxel relative to that of its class, in half dB; None for 0 everywhere.
    """

    hu: NDArray[np.int16]
    tissue: NDArray[np.uint8]
    ct_from_voxel: NDArray[np.float64]
    name: str
    sha256: str
    warnings: tuple[str, ...] = field(default=())
    echo: NDArray[np.int8] | None = None

    def __post_init__(self) -> None:
        # The compiled loops read the neighbours of every place in it.
        assert min(self.hu.shape) >= 2, f"{self.name}: shape {self.hu.shape}; expected 2 voxels or more along each axis"
        assert self.tissue.shape == self.hu.shape, f"{self.name}: classes {self.tissue.shape}, HU {self.hu.shape}"
        if self.echo is not None:
            assert self.echo.shape == self.hu.shape, f"{self.name}: echo {self.echo.shape}, HU {self.hu.shape}"
            assert self.echo.dtype == np.int8, f"{self.name}: echo is {self.echo.dtype}; expected int8"

    @property
    def spacing(self) -> NDArray[np.float64]:
        """(3,) voxel size in mm along the three voxel axes."""
        return np.linalg.norm(self.ct_from_voxel[:3, :3], axis=0)

    @property
    def bounds(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Smallest and largest corner, (3,) mm in `ct`, of the box around all voxel centres."""
        last = np.array(self.hu.shape) - 1
        corners = np.array([[i, j, k] for i in (0, last[0]) for j in (0, last[1]) for k in (0, last[2])])
        in_ct = corners @ self.ct_from_voxel[:3, :3].T + self.ct_from_voxel[:3, 3]
        return in_ct.min(axis=0), in_ct.max(axis=0)


def load_volume(ct: str | Path, labels: str | Path | None = None, label_scheme: str | None = None) -> CtVolume:
    """Read a CT and, where there are any, its labels.

    Args:
        ct: NIfTI file, or folder of one DICOM series.
        labels: NIfTI file or folder of masks, on any grid; None or empty for tissue from HU alone.
        label_scheme: a name in `schemes.SCHEMES`; None or empty to find it.

    Raises:
        PatientError: naming file, finding and remedy.
    """
    source = Path(ct).expanduser()
    if label_scheme:
        check_scheme(label_scheme)
    values, ct_from_voxel = read_dicom(source) if source.is_dir() else read_nifti(source)[:2]
    hu = _hounsfield(values)
    _check_hounsfield(hu, source)
    body = body_mask(hu, ct_from_voxel)
    if not body.any():
        raise PatientError(f"{source}: no body found, only scattered voxels are denser than air; give a CT of a body")
    tissue = tissue_from_hu(hu, body, ct_from_voxel)
    warnings: tuple[str, ...] = ()
    if labels:
        path = Path(labels).expanduser()
        classes, warnings = read_labels(path, label_scheme or None, hu.shape, ct_from_voxel)
        if np.count_nonzero(classes[body]) < 0.5 * np.count_nonzero(classes):
            raise PatientError(
                f"{path}: most labels lie outside the body, they seem to be of another patient; "
                "give the label map of this CT, or none"
            )
        tissue = lay_over(tissue, classes, hu, body)
    else:
        warnings = ("no labels: tissue comes from HU alone and organs are absent",)
    if (hu[body] > METAL_ABOVE).any():
        warnings += (f"metal above {METAL_ABOVE} HU: tissue near it is uncertain",)
    name = source.resolve().name.removesuffix(".gz").removesuffix(".nii")
    return CtVolume(hu, tissue, ct_from_voxel, name, content_hash(hu, tissue, ct_from_voxel), warnings)


def _hounsfield(values: NDArray[Any]) -> NDArray[np.int16]:
    """Return (I, J, K) values as int16, C-contiguous; slice by slice, so that no second copy is made."""
    if values.dtype == np.int16:
        return np.ascontiguousarray(values)
    limits = np.iinfo(np.int16)
    hu = np.empty(values.shape, dtype=np.int16)
    for k in range(values.shape[2]):
        hu[:, :, k] = np.clip(np.rint(values[:, :, k]), limits.min, limits.max)
    return hu


def _check_hounsfield(hu: NDArray[np.int16], source: Path) -> None:
    """Ask for what every CT of a body shows: air around it or inside, and soft tissue."""
    air = np.count_nonzero(hu < -300) / hu.size
    soft = np.count_nonzero((hu > -200) & (hu < 300)) / hu.size
    if min(air, soft) < 1e-3:
        raise PatientError(
            f"{source}: values from {hu.min()} to {hu.max()} are no Hounsfield units: {100 * air:.1f} % "
            f"air, {100 * soft:.1f} % soft tissue; give a CT, with slope and intercept applied"
        )
