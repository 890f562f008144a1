"""Labels against their CT: each doubt with a number that is counted by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from us_sim.core.patient.plausible import doubts
from us_sim.core.tissue import TissueClass as T

SHAPE = (40, 20, 20)
HU = np.full(SHAPE, 40, np.int16)
BODY = np.ones(SHAPE, bool)
MM = np.eye(4)


def block(tissue: T, along: slice) -> np.ndarray:
    classes = np.zeros(SHAPE, np.uint8)
    classes[along, 5:15, 5:15] = tissue
    return classes


def test_right_labels_raise_no_doubt() -> None:
    classes = block(T.LIVER, slice(25, 38)) + block(T.SPLEEN, slice(2, 10))
    assert doubts(classes, HU, BODY, MM) == ()


@pytest.mark.parametrize(
    ("tissue", "hu", "told"),
    [
        (T.BONE, -100, "bone: 20 % of its voxels lie below 0 HU"),
        (T.LIVER, -800, "liver: 20 % of its voxels lie below -150 HU"),
        (T.SPLEEN, -800, "spleen: 20 % of its voxels lie below -150 HU"),
    ],
)
def test_hounsfield_units_against_the_class(tissue: T, hu: int, told: str) -> None:
    values = np.full(SHAPE, 400, np.int16)
    values[15:17] = hu  # of 15 to 24
    found = doubts(block(tissue, slice(15, 25)), values, BODY, MM)
    assert len(found) == 1
    assert found[0].startswith(told)
    assert "flipped, its affine shifted, the labels of another patient" in found[0]


def test_lung_that_is_no_air() -> None:
    assert doubts(block(T.LUNG, slice(15, 25)), HU, BODY, MM)[0].startswith("lung: 100 % of its voxels lie above -300")


@pytest.mark.parametrize("flip", [False, True])
def test_organs_on_the_wrong_side(flip: bool) -> None:
    """x grows to the patient's right, whichever way the voxels run."""
    affine = np.diag([-1.0, 1, 1, 1]) if flip else MM
    low, high = block(T.LIVER, slice(0, 10)), block(T.LIVER, slice(30, 40))
    wrong, right = (high, low) if flip else (low, high)
    assert doubts(right, HU, BODY, affine) == ()
    assert doubts(wrong, HU, BODY, affine)[0].startswith("liver: lies 15 mm to the left of the body's middle")


def test_labels_outside_the_body() -> None:
    body = BODY.copy()
    body[18:] = False
    assert doubts(block(T.SOFT, slice(10, 20)), HU, body, MM)[0].startswith("20 % of the labels lie outside the body")


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_flipped_label_map_of_a_real_patient_is_doubted(shared_data: Path, axis: int) -> None:
    from us_sim.core.patient.body import body_mask
    from us_sim.core.patient.labels import read_labels
    from us_sim.core.patient.nifti import read_nifti

    folder = shared_data / "ct_abdomen"
    ct = read_nifti(folder / "ct.nii.gz")
    hu = ct.voxels.astype(np.int16)
    body = body_mask(hu, ct.ct_from_voxel)
    classes = read_labels(folder / "labels.nii.gz", None, hu.shape, ct.ct_from_voxel).classes
    assert doubts(classes, hu, body, ct.ct_from_voxel) == ()
    found = doubts(np.ascontiguousarray(np.flip(classes, axis)), hu, body, ct.ct_from_voxel)
    assert any(finding.startswith("bone: ") for finding in found)
