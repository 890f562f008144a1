"""The names under which scans are offered."""

from __future__ import annotations

from us_sim.viewer.scans import Scan, by_name


def test_a_scan_is_named_below_the_folder_that_all_share() -> None:
    named = by_name(["/d/x/a/ct.nii.gz", "/d/x/b.nrrd"], ["/d/x/a/segmentations", ""])
    assert named == {
        "a/ct.nii.gz, with segmentations": Scan("/d/x/a/ct.nii.gz", "/d/x/a/segmentations"),
        "b.nrrd, no labels": Scan("/d/x/b.nrrd", ""),
    }


def test_a_single_scan_and_none() -> None:
    assert list(by_name(["/d/ct.nii.gz"], [""])) == ["ct.nii.gz, no labels"]
    assert by_name([], []) == {}
