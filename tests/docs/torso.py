"""A small torso as NIfTI files, for pages and tutorials that load a CT: ellipsoids, made in well under a second."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np

SPACING = 4.0  # mm
HALF = (150.0, 100.0, 120.0)  # mm along x, y, z of `ct`
BODY = (140.0, 92.0)  # mm, half axes of the elliptic trunk, which is cut at both ends as in a CT
# value in AbdomenCT-1K's files (0: not labelled), HU, middle and half axes in mm
PARTS = (
    (1, 60, (55.0, 10.0, 10.0), (65.0, 62.0, 75.0)),
    (2, 35, (70.0, -45.0, -35.0), (24.0, 22.0, 48.0)),
    (2, 35, (-70.0, -45.0, -35.0), (24.0, 22.0, 48.0)),
    (3, 50, (-95.0, -20.0, 40.0), (25.0, 35.0, 45.0)),
    (4, 40, (-20.0, 5.0, -5.0), (45.0, 10.0, 12.0)),
    (0, 600, (0.0, -62.0, 0.0), (20.0, 20.0, 1000.0)),
)


def write_torso(ct: Path, segmentation: Path) -> None:
    """Write a CT with 8 HU of noise, its label map, and a `dataset.json` that names the values: AbdomenCT-1K's."""
    axes = [np.arange(-half, half + SPACING / 2, SPACING) for half in HALF]
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    body = ((points[..., :2] / BODY) ** 2).sum(axis=-1) <= 1
    hu, labels = np.where(body, 20.0, -1000.0), np.zeros(body.shape, np.uint8)
    for value, level, middle, half in PARTS:
        inside = (((points - middle) / half) ** 2).sum(axis=-1) <= 1
        hu[inside], labels[inside] = level, value
    hu += np.random.default_rng(0).normal(0, 8, hu.shape) * body
    ct_from_voxel = np.diag([SPACING, SPACING, SPACING, 1.0])
    ct_from_voxel[:3, 3] = [axis[0] for axis in axes]
    for path, voxels in ((ct, np.rint(hu).astype(np.int16)), (segmentation, labels)):
        nib.save(nib.Nifti1Image(voxels, ct_from_voxel), path)
    names = {"background": 0, "liver": 1, "kidney": 2, "spleen": 3, "pancreas": 4}
    (segmentation.parent / "dataset.json").write_text(json.dumps({"labels": names}))
