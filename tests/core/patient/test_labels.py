"""Label schemes, labels on other grids, and tissue from HU, against hand-made maps."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from us_sim.core.errors import PatientError
from us_sim.core.patient.labels import content_hash, lay_over, onto_grid, read_labels, tissue_from_hu
from us_sim.core.patient.schemes import SCHEMES, TOTALSEGMENTATOR_NAMES, class_of_name, find_scheme
from us_sim.core.tissue import TissueClass as T

GRID = np.array([[-2.0, 0, 0, 20], [0, 2, 0, -10], [0, 0, 3, 5], [0, 0, 0, 1]])
SHAPE = (6, 5, 4)


def save(path: Path, values: Any, affine: Any = GRID, dtype: Any = np.uint8, header: bytes = b"") -> Path:
    """Write a map of SHAPE whose first voxels along I hold the values."""
    labels = np.zeros(SHAPE, dtype)
    labels.reshape(-1)[: len(values)] = values
    image = nibabel.Nifti1Image(labels, affine)
    if header:
        image.header.extensions.append(nibabel.nifti1.Nifti1Extension(0, header))
    nibabel.save(image, path)
    return path


def classes(path: Path, count: int, scheme: str | None = None) -> list[int]:
    return read_labels(path, scheme, SHAPE, GRID)[0].reshape(-1)[:count].tolist()


def test_abdomenct1k(tmp_path: Path) -> None:
    path = save(tmp_path / "Case_00001.nii.gz", [0, 1, 2, 3, 4])
    assert classes(path, 5) == [0, T.LIVER, T.KIDNEY, T.SPLEEN, T.PANCREAS]
    assert classes(path, 5, "abdomenct1k") == classes(path, 5, "ours") == [0, 1, 2, 3, 4]


def test_totalsegmentator_from_values(tmp_path: Path) -> None:
    path = save(tmp_path / "seg.nii.gz", [5, 52, 116])
    assert classes(path, 3) == [T.LIVER, T.VESSEL, T.BONE]


@pytest.mark.parametrize(
    ("name", "header"), [("TotalSegmentator.nii.gz", b""), ("seg.nii.gz", b"<Label>kidney_right</Label>")]
)
def test_totalsegmentator_from_name_or_header(tmp_path: Path, name: str, header: bytes) -> None:
    path = save(tmp_path / name, [1, 2, 3, 4, 5], header=header)
    assert classes(path, 5) == [T.SPLEEN, T.KIDNEY, T.KIDNEY, T.FLUID, T.LIVER]


def test_ours_from_name_or_given(tmp_path: Path) -> None:
    path = save(tmp_path / "us_sim_labels.nii.gz", range(14))
    assert classes(path, 14) == list(range(14))
    assert classes(save(tmp_path / "x.nii", range(14)), 14, "ours") == list(range(14))


def test_name_does_not_force_a_scheme_that_lacks_the_values() -> None:
    assert find_scheme({1, 90}, "us_sim_labels.nii.gz", "x") == "totalsegmentator"


@pytest.mark.parametrize("dtype", [np.int16, np.int32, np.float32, np.float64])
def test_any_number_type(tmp_path: Path, dtype: Any) -> None:
    assert classes(save(tmp_path / "seg.nii", [5, 52, 116], dtype=dtype), 3) == [1, 5, 7]


def test_totalsegmentator_table_is_the_published_one(shared_data: Path) -> None:
    with (shared_data / "ct_abdomen" / "labels.csv").open() as file:
        published = {int(row["id"]): row["name"] for row in csv.DictReader(file)}
    assert dict(enumerate(TOTALSEGMENTATOR_NAMES, start=1)) == published


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("kidney_left", T.KIDNEY),
        ("kidney_cyst_right", T.FLUID),
        ("urinary_bladder", T.FLUID),
        ("portal_vein_and_splenic_vein", T.VESSEL),
        ("iliac_vena_left", T.VESSEL),
        ("iliopsoas_left", T.MUSCLE),
        ("heart", T.VESSEL),
        ("hip_right", T.BONE),
        ("rib_left_12", T.BONE),
        ("costal_cartilages", T.BONE),
        ("lung_middle_lobe_right", T.LUNG),
        ("colon", T.SOFT),
        ("spinal_cord", T.SOFT),
        ("fat", T.FAT),
        ("tumour", None),
    ],
)
def test_class_of_a_structure(name: str, expected: T | None) -> None:
    assert class_of_name(name) == expected


def test_every_structure_has_a_class() -> None:
    assert len(SCHEMES["totalsegmentator"]) == len(set(TOTALSEGMENTATOR_NAMES)) == 117
    assert T.BACKGROUND not in SCHEMES["totalsegmentator"].values()


def test_folder_of_masks(tmp_path: Path) -> None:
    save(tmp_path / "liver.nii.gz", [0, 1, 1, 0])
    save(tmp_path / "rib_left_3.nii.gz", [0, 0, 0, 1])
    save(tmp_path / "vessel.nii", [1, 0, 0, 0])  # our own names count too
    save(tmp_path / "body_trunc.nii.gz", [1, 1, 1, 1])
    (tmp_path / "statistics.json").write_text("{}")
    found, warnings = read_labels(tmp_path, None, SHAPE, GRID)
    assert found.reshape(-1)[:5].tolist() == [T.VESSEL, T.LIVER, T.LIVER, T.BONE, 0]
    assert warnings == (f"{tmp_path.name}: ignored, names unknown: body_trunc.nii.gz",)


def grids() -> dict[str, Any]:
    """Grids, coarse and fine, that cover the same place as GRID, with their shapes."""
    flipped = GRID @ np.array([[-1.0, 0, 0, 5], [0, -1, 0, 4], [0, 0, 1, 0], [0, 0, 0, 1]])
    permuted = GRID @ np.array([[0.0, 0, 1, 0], [1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1]])
    finer = GRID @ np.diag([0.5, 0.5, 0.5, 1])
    c, s = np.cos(0.4), np.sin(0.4)
    oblique = np.array([[c, s, 0, 8], [-s, c, 0, -14], [0, 0, 0.5, 2], [0, 0, 0, 1.0]])
    return {
        "same": (GRID, SHAPE),
        "flipped": (flipped, SHAPE),
        "permuted": (permuted, (5, 4, 6)),
        "finer": (finer, (12, 10, 8)),
        "oblique": (oblique, (30, 30, 40)),
    }


@pytest.mark.parametrize("kind", grids())
def test_labels_of_another_grid_keep_their_place(kind: str) -> None:
    """Each CT voxel's place, pushed through the label affine and rounded, by plain loops."""
    affine, shape = grids()[kind]
    labels = np.random.default_rng(3).integers(0, 9, shape).astype(np.uint8)
    found = onto_grid(labels, affine, SHAPE, GRID)
    assert found.flags.c_contiguous
    for index in np.ndindex(*SHAPE):
        place = GRID @ (*index, 1)
        at = np.linalg.solve(affine, place)[:3]
        if np.abs(at - np.floor(at) - 0.5).min() < 1e-6:
            continue  # half-way between two voxels: either is nearest
        nearest = np.rint(at).astype(int)
        inside = ((nearest >= 0) & (nearest < shape)).all()
        assert found[index] == (labels[tuple(nearest)] if inside else 0)


def test_labels_partly_outside_the_ct_are_warned_of(tmp_path: Path) -> None:
    beside = GRID.copy()
    beside[0, 3] -= 6  # 3 voxels along I
    path = save(tmp_path / "seg.nii", np.ones(120), beside)
    found, warnings = read_labels(path, "ours", SHAPE, GRID)
    assert found.sum() == 60
    assert warnings == ("seg.nii: 50 % of the labels lie outside the CT",)


def far(folder: Path) -> Path:
    elsewhere = GRID.copy()
    elsewhere[2, 3] += 500
    return save(folder / "seg.nii", [1, 2], elsewhere)


def strange_masks(folder: Path) -> Path:
    save(folder / "tumour.nii.gz", [1])
    return folder


def masks_of_two_grids(folder: Path) -> Path:
    save(folder / "liver.nii.gz", [1])
    save(folder / "spleen.nii.gz", [0, 1], GRID @ np.diag([1, 1, 2.0, 1]))
    return folder


REFUSALS: list[tuple[Any, str | None, str]] = [
    (lambda f: save(f / "seg.nii", [1]), "monai", "label_scheme 'monai' is unknown; expected one of abdomenct1k, "),
    (lambda f: save(f / "seg.nii", [1, 7, 9]), "abdomenct1k", "seg.nii: label values 7, 9 are not in scheme"),
    (lambda f: save(f / "seg.nii", range(118, 135)), "ours", "118, .*127 and 7 more are not in .*; remap them"),
    (lambda f: save(f / "seg.nii", [1, 118]), None, "seg.nii: label values 1, 118 are in no scheme .*; remap"),
    (lambda f: save(f / "seg.nii", [1, 7]), None, "values 1, 7 fit totalsegmentator and ours; set label_scheme"),
    (lambda f: save(f / "seg.nii", [1, 1.5], dtype=np.float32), None, "no whole numbers; resample"),
    (lambda f: save(f / "seg.nii", [-1000, 40], dtype=np.int16), None, "from -1000 to 40; .*is it the CT itself"),
    (lambda f: save(f / "seg.nii", [0]), None, "all labels are 0; give the label map"),
    (lambda f: f / "seg.nii", None, "seg.nii: no such file or folder"),
    (far, None, "seg.nii: the labels do not overlap the CT, they seem to be of another patient; give"),
    (lambda f: f, None, "no masks named as .*; found no NIfTI file"),
    (strange_masks, None, "no masks named as .*; found tumour.nii.gz"),
    (masks_of_two_grids, None, "spleen.nii.gz: has another grid than liver.nii.gz; give masks of one run"),
]


@pytest.mark.parametrize(("make", "scheme", "message"), REFUSALS)
def test_refused_with_finding_and_remedy(tmp_path: Path, make: Any, scheme: str | None, message: str) -> None:
    with pytest.raises(PatientError, match=message):
        read_labels(make(tmp_path), scheme, SHAPE, GRID)


MM = np.diag([1.0, 1.0, 1.0, 1.0])


def block(background: int, value: int, half: int, size: int = 60) -> Any:
    """A cube of one HU amid another, with its body mask: everything."""
    hu = np.full((size, size, size), background, np.int16)
    middle = slice(size // 2 - half, size // 2 + half)
    hu[middle, middle, middle] = value
    return hu, np.ones(hu.shape, bool)


@pytest.mark.parametrize(
    ("value", "expected"),
    [(40, T.SOFT), (-100, T.FAT), (-1000, T.GAS), (-600, T.LUNG), (400, T.BONE), (-30, T.SOFT), (180, T.SOFT)],
)
def test_tissue_of_a_block(value: int, expected: T) -> None:
    hu, body = block(40, value, 15)
    tissue = tissue_from_hu(hu, body, MM)
    assert tissue.dtype == np.uint8
    assert tissue[30, 30, 30] == expected
    assert tissue[5, 5, 5] == T.SOFT


def test_small_low_density_is_gas_not_lung() -> None:
    hu, body = block(40, -600, 5)
    assert tissue_from_hu(hu, body, MM)[30, 30, 30] == T.GAS


def test_partial_volume_around_gas_is_no_fat() -> None:
    hu, body = block(40, -100, 13)  # a rim that looks like fat, 2 voxels wide
    hu[19:41, 19:41, 19:41] = -1000
    tissue = tissue_from_hu(hu, body, MM)
    assert (tissue[30, 30, 17:19] == T.SOFT).all()
    assert (tissue[30, 41:43, 30] == T.SOFT).all()
    assert tissue[30, 30, 30] == T.GAS


def test_noise_does_not_speckle_fat() -> None:
    hu, body = block(40, -100, 15)
    noisy = (hu + np.random.default_rng(4).normal(0, 30, hu.shape)).astype(np.int16)
    tissue = tissue_from_hu(noisy, body, MM)
    assert (tissue[17:43, 17:43, 17:43] == T.FAT).mean() > 0.998
    assert (tissue[:12] == T.SOFT).mean() > 0.998


def test_dark_streaks_beside_metal_are_no_gas() -> None:
    hu, body = block(40, 3000, 5)
    hu[30, 30, 36:45] = -800
    hu[2:6, 2:6, 2:6] = -1000  # 42 mm off: real
    tissue = tissue_from_hu(hu, body, MM)
    assert (tissue[30, 30, 36:45] == T.SOFT).all()
    assert tissue[30, 30, 30] == T.BONE
    assert tissue[2, 2, 2] == T.GAS


def test_skin_and_background() -> None:
    hu, body = block(-1000, 40, 20)
    body = hu > -500
    tissue = tissue_from_hu(hu, body, MM)
    assert tissue[30, 30, :].tolist() == [0] * 10 + [T.SKIN] * 2 + [T.SOFT] * 36 + [T.SKIN] * 2 + [0] * 10


def test_labels_over_tissue() -> None:
    """Columns: labelled, bowel with gas, bowel wall, liver with a gas value, unlabelled, label outside the body."""
    laid = lay_over(
        np.array([[[T.SOFT, T.GAS, T.SOFT, T.GAS, T.FAT, T.BACKGROUND]]], np.uint8),
        np.array([[[T.LIVER, T.SOFT, T.SOFT, T.LIVER, 0, T.LIVER]]], np.uint8),
        np.array([[[50, -900, 30, -900, -100, -1000]]], np.int16),
        np.array([[[True] * 5 + [False]]]),
    )
    assert laid.ravel().tolist() == [T.LIVER, T.GAS, T.SOFT, T.LIVER, T.FAT, T.BACKGROUND]


def test_complete_map_is_taken_as_it_is() -> None:
    ours = np.array([[[0, T.SKIN, T.FAT, T.SOFT]]], np.uint8)
    laid = lay_over(np.full(ours.shape, T.SOFT, np.uint8), ours, np.full(ours.shape, -900, np.int16), ours == 0)
    np.testing.assert_array_equal(laid, ours)


def test_hash_tells_contents_apart() -> None:
    hu, tissue = np.zeros((2, 3, 4), np.int16), np.zeros((2, 3, 4), np.uint8)
    one = content_hash(hu, tissue, np.eye(4))
    assert one == content_hash(hu.copy(), tissue.copy(), np.eye(4))
    assert len(one) == 64
    other = [
        content_hash(hu + np.int16(1), tissue, np.eye(4)),
        content_hash(hu, tissue + np.uint8(1), np.eye(4)),
        content_hash(hu, tissue, 2 * np.eye(4)),
        content_hash(hu.reshape(3, 2, 4), tissue.reshape(3, 2, 4), np.eye(4)),
    ]
    assert len({one, *other}) == 5
