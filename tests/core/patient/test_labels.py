"""Label schemes, labels on other grids, and tissue from HU, against hand-made maps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from us_sim.core.errors import PatientError
from us_sim.core.patient.labels import lay_over, onto_grid, read_labels
from us_sim.core.patient.volume import content_hash
from us_sim.core.tissue import TissueClass as T

TABLE = b"".join(
    b'<Label Key="%d" Alpha="1"><![CDATA[%s]]></Label>' % (value, name)
    for value, name in enumerate([b"spleen", b"kidney_right", b"kidney_left", b"gallbladder", b"liver"], start=1)
)
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
    return read_labels(path, scheme, SHAPE, GRID).classes.reshape(-1)[:count].tolist()


def test_abdomenct1k(tmp_path: Path) -> None:
    path = save(tmp_path / "Case_00001.nii.gz", [0, 1, 2, 3, 4])
    assert classes(path, 5) == [0, T.LIVER, T.KIDNEY, T.SPLEEN, T.PANCREAS]
    assert classes(path, 5, "abdomenct1k") == classes(path, 5, "ours") == [0, 1, 2, 3, 4]


def test_totalsegmentator_from_values(tmp_path: Path) -> None:
    path = save(tmp_path / "seg.nii.gz", [5, 52, 116])
    assert classes(path, 3) == [T.LIVER, T.VESSEL, T.BONE]


@pytest.mark.parametrize(("name", "header"), [("TotalSegmentator.nii.gz", b""), ("seg.nii.gz", TABLE)])
def test_totalsegmentator_from_name_or_header(tmp_path: Path, name: str, header: bytes) -> None:
    path = save(tmp_path / name, [1, 2, 3, 4, 5], header=header)
    assert classes(path, 5) == [T.SPLEEN, T.KIDNEY, T.KIDNEY, T.FLUID, T.LIVER]


def test_ours_from_name_or_given(tmp_path: Path) -> None:
    path = save(tmp_path / "us_sim_labels.nii.gz", range(14))
    assert classes(path, 14) == list(range(14))
    assert classes(save(tmp_path / "x.nii", range(14)), 14, "ours") == list(range(14))


def test_name_does_not_force_a_scheme_that_lacks_the_values(tmp_path: Path) -> None:
    assert classes(save(tmp_path / "us_sim_labels.nii.gz", [5, 52, 116]), 3) == [T.LIVER, T.VESSEL, T.BONE]


@pytest.mark.parametrize("dtype", [np.int16, np.int32, np.float32, np.float64])
def test_any_number_type(tmp_path: Path, dtype: Any) -> None:
    assert classes(save(tmp_path / "seg.nii", [5, 52, 116], dtype=dtype), 3) == [1, 5, 7]


def test_folder_of_masks(tmp_path: Path) -> None:
    save(tmp_path / "liver.nii.gz", [0, 1, 1, 0])
    save(tmp_path / "rib_left_3.nii.gz", [0, 0, 0, 1])
    save(tmp_path / "vessel.nii", [1, 0, 0, 0])  # our own names count too
    save(tmp_path / "body_trunc.nii.gz", [1, 1, 1, 1])
    (tmp_path / "statistics.json").write_text("{}")
    found = read_labels(tmp_path, None, SHAPE, GRID)
    assert found.classes.reshape(-1)[:5].tolist() == [T.VESSEL, T.LIVER, T.LIVER, T.BONE, 0]
    assert found.warnings == (f"{tmp_path.name}: ignored, names unknown: body_trunc.nii.gz",)


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
    found = read_labels(path, "ours", SHAPE, GRID)
    assert found.classes.sum() == 60
    assert found.warnings == ("seg.nii: 50 % of the labels lie outside the CT",)


def far(folder: Path) -> Path:
    elsewhere = GRID.copy()
    elsewhere[2, 3] += 500
    return save(folder / "us_sim.nii", [1, 2], elsewhere)


def strange_masks(folder: Path) -> Path:
    save(folder / "quux.nii.gz", [1])
    return folder


def masks_of_two_grids(folder: Path) -> Path:
    save(folder / "liver.nii.gz", [1])
    save(folder / "spleen.nii.gz", [0, 1], GRID @ np.diag([1, 1, 2.0, 1]))
    return folder


REFUSALS: list[tuple[Any, str | None, str]] = [
    (lambda f: save(f / "seg.nii", [1]), "monai", "label_scheme 'monai' is unknown; expected one of abdomenct1k, "),
    (lambda f: save(f / "seg.nii", [1, 7, 9]), "abdomenct1k", "seg.nii: label values 7, 9 are not in scheme"),
    (lambda f: save(f / "seg.nii", range(118, 135)), "ours", "118, .*127 and 7 more are not in .*; set label_scheme"),
    (
        lambda f: save(f / "seg.nii", [1, 118]),
        None,
        "values 1, 118 are in no scheme .*; say what they mean by labels_map",
    ),
    (
        lambda f: save(f / "seg.nii", [1, 7]),
        None,
        "(?s)values 1, 7 have several meanings .*; set label_scheme.*ours: liver 1, bone 1",
    ),
    (lambda f: save(f / "seg.nii", [1, 1.5], dtype=np.float32), None, "no whole numbers; resample"),
    (lambda f: save(f / "seg.nii", [-1000, 40], dtype=np.int16), None, "from -1000 to 40; .*is it the CT itself"),
    (lambda f: save(f / "seg.nii", [0]), None, "all labels are 0; give the label map"),
    (lambda f: f / "seg.nii", None, "seg.nii: no such file or folder"),
    (far, None, "us_sim.nii: the labels do not overlap the CT, they seem to be of another patient; give"),
    (lambda f: f, None, "no masks named as .*; found no NIfTI file"),
    (strange_masks, None, "no masks named as .*; found quux.nii.gz"),
    (masks_of_two_grids, None, "spleen.nii.gz: has another grid than liver.nii.gz; give masks of one run"),
]


@pytest.mark.parametrize(("make", "scheme", "message"), REFUSALS)
def test_refused_with_finding_and_remedy(tmp_path: Path, make: Any, scheme: str | None, message: str) -> None:
    with pytest.raises(PatientError, match=message):
        read_labels(make(tmp_path), scheme, SHAPE, GRID)


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
    laid = lay_over(np.full(ours.shape, T.SOFT, np.uint8), ours, np.full(ours.shape, -900, np.int16), ours == 0, True)
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
