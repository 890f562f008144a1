"""A folder of masks: names, overlaps, soft masks, and what is no mask."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from us_sim.core.errors import PatientError
from us_sim.core.patient.labels import read_labels
from us_sim.core.patient.masks import whole_numbers
from us_sim.core.tissue import TissueClass as T

SHAPE, GRID = (6, 5, 4), np.diag([2.0, 2, 3, 1])


def save(path: Path, values: Any, dtype: Any = np.uint8) -> None:
    path.parent.mkdir(exist_ok=True)
    voxels = np.zeros(SHAPE, dtype)
    voxels.reshape(-1)[: len(values)] = values
    nibabel.save(nibabel.Nifti1Image(voxels, GRID), path)


def first(folder: Path, count: int, labels_map: Path | None = None) -> list[int]:
    return read_labels(folder, None, SHAPE, GRID, labels_map).classes.reshape(-1)[:count].tolist()


def test_the_smaller_structure_wins(tmp_path: Path) -> None:
    """By rule, not by alphabet: the cyst, and the aorta before the zenith."""
    save(tmp_path / "kidney_left.nii.gz", [1, 1, 1, 1])
    save(tmp_path / "kidney_cyst_left.nii.gz", [0, 1, 1])
    save(tmp_path / "aorta.nii.gz", [1])
    assert first(tmp_path, 5) == [T.VESSEL, T.FLUID, T.FLUID, T.KIDNEY, 0]


def test_skin_is_no_complete_map(tmp_path: Path) -> None:
    """Seen: a mask of skin made 58 % of the body air."""
    save(tmp_path / "skin.nii.gz", [1])
    save(tmp_path / "liver.nii.gz", [0, 1])
    found = read_labels(tmp_path, None, SHAPE, GRID)
    assert not found.complete
    assert found.scheme == "2 masks by their file names"
    assert found.summary[1] == "largest labels: liver 0.0 ml, skin 0.0 ml"


def test_soft_masks_are_cut_at_a_half(tmp_path: Path) -> None:
    save(tmp_path / "liver.nii.gz", [0.2, 0.49, 0.5, 1.0], np.float32)
    assert first(tmp_path, 4) == [0, 0, T.LIVER, T.LIVER]


def test_masks_of_255(tmp_path: Path) -> None:
    save(tmp_path / "liver.nii.gz", [0, 255])
    assert first(tmp_path, 2) == [0, T.LIVER]


def test_folder_of_abdomenatlas(tmp_path: Path) -> None:
    save(tmp_path / "segmentations" / "postcava.nii.gz", [1])
    assert first(tmp_path, 2) == [T.VESSEL, 0]


def test_names_of_ones_own(tmp_path: Path) -> None:
    save(tmp_path / "leber.nii.gz", [1])
    (tmp_path / "map.yaml").write_text("leber: liver")
    assert first(tmp_path, 2, tmp_path / "map.yaml") == [T.LIVER, 0]


def test_a_map_among_masks_is_refused(tmp_path: Path) -> None:
    save(tmp_path / "liver.nii.gz", [1, 2])
    with pytest.raises(
        PatientError, match=r"liver.nii.gz: holds 3 values and is no mask of one structure; take it out"
    ):
        first(tmp_path, 1)


@pytest.mark.parametrize(
    ("voxels", "expected"),
    [([0.0, 4.9999, 5.0002], [0, 5, 5]), ([0.0, 0.4, 0.6], [0, 0, 1]), ([0, 3], [0, 3])],
)
def test_whole_numbers(voxels: Any, expected: list[int]) -> None:
    assert whole_numbers(Path("x"), np.array(voxels))[0].tolist() == expected
