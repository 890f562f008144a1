"""Which scans lie below folders, by names alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from us_sim.core.patient import listing
from us_sim.core.patient.listing import scans_below

DICOM = bytes(128) + b"DICM"


def made(root: Path, *names: str) -> None:
    """Create empty files; those of DICOM begin as such."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(DICOM if "dicom" in name else b"")


def told(root: Path) -> dict[str, str]:
    """Return the labels by the CT's path, both below the root; empty for none."""
    found, cut = scans_below([root])
    assert not cut
    return {str(one.ct.relative_to(root)): str(one.labels.relative_to(root)) if one.labels else "" for one in found}


@pytest.mark.parametrize(
    ("ct", "labels"),
    [
        ("a/ct.nii.gz", "a/labels.nii.gz"),
        ("a/CT_liver_3.nrrd", "a/CT_liver_3.seg.nrrd"),
        ("case_00001/imaging.nii.gz", "case_00001/segmentation.nii.gz"),  # KiTS
        ("s0001/ct.nii.gz", "s0001/segmentations"),  # TotalSegmentator
        ("BDMAP_00000001/ct.nii.gz", "BDMAP_00000001/combined_labels.nii.gz"),  # AbdomenAtlas
        ("imagesTr/liver_1.nii.gz", "labelsTr/liver_1.nii.gz"),  # Decathlon
        ("imagesTr/Case_00001_0000.nii.gz", "labelsTr/Case_00001.nii.gz"),  # nnU-Net
        ("a/dicom", "a/labels.nii.gz"),
        ("a/scan.mha", ""),
    ],
)
def test_labels_lie_where_the_fields_data_sets_put_them(tmp_path: Path, ct: str, labels: str) -> None:
    for name in filter(None, (ct, labels)):
        made(tmp_path, f"{name}/0001" if name.endswith("dicom") else name)
        if name.endswith("segmentations"):
            (tmp_path / name).unlink()
            made(tmp_path, f"{name}/liver.nii.gz", f"{name}/spleen.nii.gz")
    assert told(tmp_path) == {ct: labels}


def test_of_many_in_one_folder_each_has_its_own(tmp_path: Path) -> None:
    made(tmp_path, "volume-1.nii", "volume-2.nii", "volume-3.nii", "segmentation-1.nii", "segmentation-3.nii")
    assert told(tmp_path) == {
        "volume-1.nii": "segmentation-1.nii", "volume-2.nii": "", "volume-3.nii": "segmentation-3.nii",
    }  # fmt: skip


def test_a_folder_may_itself_be_a_series_and_others_are_no_scans(tmp_path: Path) -> None:
    made(tmp_path, "x/1.dicom", "x/2.dicom", "y/notes.txt", "y/.hidden/ct.nii", "y/photo.png")
    assert told(tmp_path / "y") == {}
    assert [one.ct for one in scans_below([tmp_path / "x"])[0]] == [tmp_path / "x"]
    assert scans_below([tmp_path / "nowhere"]) == ([], False)


def test_links_that_lead_out_are_not_followed(tmp_path: Path) -> None:
    made(tmp_path, "secret/ct.nii.gz", "data/a/ct.nii.gz")
    (tmp_path / "data" / "out").symlink_to(tmp_path / "secret")
    (tmp_path / "data" / "round").symlink_to(tmp_path / "data")
    (tmp_path / "data" / "file.nii.gz").symlink_to(tmp_path / "secret" / "ct.nii.gz")
    named = {one.ct.resolve() for one in scans_below([tmp_path / "data"])[0]}
    assert named == {tmp_path / "data" / "a" / "ct.nii.gz"}


@pytest.mark.parametrize("limit", ["MOST", "MOST_ENTRIES"])
def test_a_long_list_is_cut_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str) -> None:
    monkeypatch.setattr(listing, limit, 3)
    made(tmp_path, *(f"{number}.nii" for number in range(5)))
    found, cut = scans_below([tmp_path])
    assert (len(found), cut) == (3, True)
