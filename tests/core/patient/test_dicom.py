"""DICOM folders: order, values and places of the slices, and every way in which a series can be wrong."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.uid import generate_uid

from us_sim.core.errors import PatientError
from us_sim.core.patient.dicom import read_dicom


def change(path: Path, **tags: Any) -> None:
    data = pydicom.dcmread(path)
    for tag, value in tags.items():
        setattr(data, tag, value)
    data.save_as(path)


def test_slices_lie_where_they_were_written(tmp_path: Path, small_patient: Any) -> None:
    small_patient.write_dicom(tmp_path)
    scan = read_dicom(tmp_path)
    hu, ct_from_voxel = scan.voxels, scan.ct_from_voxel
    np.testing.assert_array_equal(hu, small_patient.hu_at(small_patient.points(hu.shape, ct_from_voxel)))
    np.testing.assert_allclose(ct_from_voxel, small_patient.ct_from_voxel, atol=1e-6)


def test_position_by_hand(tmp_path: Path, small_patient: Any) -> None:
    """LPS (10, 20, 30) is RAS (-10, -20, 30); rows of 2 mm, columns of 3 mm, slices of 5 mm, written downwards."""
    lps = np.array([[3.0, 0, 0, 10], [0, 2, 0, 20], [0, 0, -5, 30], [0, 0, 0, 1]])
    voxels = np.arange(24).reshape(2, 3, 4)
    small_patient.write_dicom(tmp_path, voxels, np.diag([-1.0, -1, 1, 1]) @ lps)
    scan = read_dicom(tmp_path)
    hu, ct_from_voxel = scan.voxels, scan.ct_from_voxel
    np.testing.assert_array_equal(hu, voxels[:, :, ::-1])
    expected = [[-3, 0, 0, -10], [0, -2, 0, -20], [0, 0, 5, 15], [0, 0, 0, 1]]
    np.testing.assert_allclose(ct_from_voxel, expected, atol=1e-9)


@pytest.mark.parametrize("kind", ["coronal", "oblique", "tilted gantry"])
def test_any_plane(tmp_path: Path, small_patient: Any, kind: str) -> None:
    ct_from_voxel = small_patient.ct_from_voxel.copy()
    if kind == "coronal":
        ct_from_voxel[:3, :3] = [[-4, 0, 0], [0, 0, 4], [0, -5, 0]]
        ct_from_voxel[:3, 3] = 90, -69, 150
    elif kind == "oblique":
        c, s = np.cos(0.3), np.sin(0.3)
        ct_from_voxel[:3, :3] = np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]]) @ ct_from_voxel[:3, :3]
    else:
        ct_from_voxel[1, 2] = 1.5  # each slice 1.5 mm further anterior
    voxels = small_patient.hu_at(small_patient.points((40, 32, 20), ct_from_voxel))
    small_patient.write_dicom(tmp_path, voxels, ct_from_voxel)
    scan = read_dicom(tmp_path)
    hu, found = scan.voxels, scan.ct_from_voxel
    flipped = np.sign(np.linalg.det(found[:3, :3])) != np.sign(np.linalg.det(ct_from_voxel[:3, :3]))
    np.testing.assert_array_equal(hu[:, :, ::-1] if flipped else hu, voxels)
    first = voxels.shape[2] - 1 if flipped else 0
    np.testing.assert_allclose(found[:3, 3], (ct_from_voxel @ (0, 0, first, 1))[:3], atol=1e-4)
    np.testing.assert_allclose(np.abs(found[:3, :3]), np.abs(ct_from_voxel[:3, :3]), atol=1e-4)


def test_each_slice_has_its_own_rescale(tmp_path: Path, small_patient: Any) -> None:
    paths = small_patient.write_dicom(tmp_path, np.full((4, 4, 3), 76))
    change(paths[1], RescaleSlope=2, RescaleIntercept=-1000, RescaleType="HU")
    hu = read_dicom(tmp_path).voxels
    np.testing.assert_array_equal(hu[0, 0], [76, 2 * 1100 - 1000, 76])


def test_other_files_and_subfolders(tmp_path: Path, small_patient: Any) -> None:
    small_patient.write_dicom(tmp_path / "study" / "series")
    (tmp_path / "readme.txt").write_text("no image")
    (tmp_path / "empty").touch()
    report = pydicom.dcmread(next((tmp_path / "study" / "series").iterdir()))
    for tag in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "PixelData", "Rows", "Columns"):
        delattr(report, tag)
    report.SeriesInstanceUID, report.Modality = generate_uid(), "SR"
    report.save_as(tmp_path / "report.dcm")
    assert read_dicom(tmp_path).voxels.shape == small_patient.shape


def test_several_series_are_listed(tmp_path: Path, small_patient: Any) -> None:
    small_patient.write_dicom(tmp_path / "a", SeriesDescription="Arterial 3.0", SeriesInstanceUID="1.2.3")
    small_patient.write_dicom(tmp_path / "b", SeriesDescription="Venous 5.0", SeriesInstanceUID="1.2.4")
    next((tmp_path / "b").iterdir()).unlink()
    with pytest.raises(PatientError, match="holds 2 series; move the wanted one") as caught:
        read_dicom(tmp_path)
    assert "1.2.3  Arterial 3.0  20 slices, e.g. a/IM0001" in str(caught.value)
    assert "1.2.4  Venous 5.0  19 slices" in str(caught.value)


def no_slices(paths: list[Path]) -> None:
    for path in paths:
        path.write_text("not DICOM")


def one_slice(paths: list[Path]) -> None:
    for path in paths[1:]:
        path.unlink()


def gap(paths: list[Path]) -> None:
    paths[7].unlink()
    paths[8].unlink()


def uneven(paths: list[Path]) -> None:
    position = pydicom.dcmread(paths[9]).ImagePositionPatient
    change(paths[9], ImagePositionPatient=[position[0], position[1], position[2] + 1.2])


def sideways(paths: list[Path]) -> None:
    position = pydicom.dcmread(paths[9]).ImagePositionPatient
    change(paths[9], ImagePositionPatient=[position[0] + 3, position[1], position[2]])


def twice(paths: list[Path]) -> None:
    shutil.copy(paths[3], paths[3].with_name("copy"))


def five_at_one_place(paths: list[Path]) -> None:
    """Positions 0, 5, 5, 5, 5: the usual step is none."""
    for path in paths[5:]:
        path.unlink()
    for number, path in enumerate(paths[:5]):
        change(path, ImagePositionPatient=[0, 0, 5 * min(number, 1)])


def cut_header(paths: list[Path]) -> None:
    """The first slice ends before it says how large it is: it would be lost without a word."""
    data = paths[0].read_bytes()
    paths[0].write_bytes(data[: data.index(b"PN" if b"PN" in data else b"\x20\x00\x32\x00")])


def no_dicom_at_the_end(paths: list[Path]) -> None:
    paths[0].write_text("<html>404</html>")


def other_size(paths: list[Path]) -> None:
    change(paths[5], Rows=16, PixelData=pydicom.dcmread(paths[5]).PixelData[: 2 * 16 * 40])


def other_spacing(paths: list[Path]) -> None:
    change(paths[5], PixelSpacing=[4, 4.1])


def turned(paths: list[Path]) -> None:
    change(paths[5], ImageOrientationPatient=[1, 0, 0, 0, 0, -1])


def skewed(paths: list[Path]) -> None:
    change(paths[5], ImageOrientationPatient=[1, 0, 0, 1, 0, 0])


def other_modality(paths: list[Path]) -> None:
    for path in paths:
        change(path, Modality="MR")


def enhanced(paths: list[Path]) -> None:
    change(paths[5], NumberOfFrames=20)


def colour(paths: list[Path]) -> None:
    change(paths[5], SamplesPerPixel=3)


def truncated(paths: list[Path]) -> None:
    paths[5].write_bytes(paths[5].read_bytes()[:-500])


def bad_rescale(paths: list[Path]) -> None:
    data = pydicom.dcmread(paths[5])
    data["RescaleSlope"] = pydicom.DataElement("RescaleSlope", "DS", "nan", validation_mode=0)
    data.save_as(paths[5])


def damaged(paths: list[Path]) -> None:
    """A number that is none, where the header is read late."""
    data = paths[5].read_bytes()
    paths[5].write_bytes(data.replace(b"-1024", b"-1T24"))


def no_pixels(paths: list[Path]) -> None:
    data = pydicom.dcmread(paths[5])
    del data.PixelData
    data.save_as(paths[5])


def iodine(paths: list[Path]) -> None:
    change(paths[5], RescaleType="MGML")


def huge(paths: list[Path]) -> None:
    for path in paths:
        change(path, Rows=20000, Columns=20000)


REFUSALS = [
    (no_slices, "no DICOM slices in this folder; give the folder of one CT series"),
    (one_slice, "single slice; expected a volume: give all slices"),
    (gap, "2 slices missing between IM0014 and IM0011: 15.000 mm apart instead of 5.000 mm, .*; export"),
    (uneven, "uneven spacing between IM0012 and IM0011: 6.200 mm apart instead of 5.000"),
    (sideways, "uneven spacing between IM0012 and IM0011: .* the step is off by 3.000 mm"),
    (twice, "IM0017 and copy lie at the same position; keep one phase"),
    (five_at_one_place, r"IM00\d\d and IM00\d\d lie at the same position; keep one phase"),
    (cut_header, "1 files among the slices are no DICOM, e.g. IM0020; copy them again"),
    (no_dicom_at_the_end, "1 files among the slices are no DICOM, e.g. IM0020; copy them again"),
    (other_size, r"slices differ in size: .*\(32, 40\) .* IM0015 \(16, 40\)"),
    (other_spacing, r"slices differ in size: .*\[4.0, 4.1\] mm; keep"),
    (turned, "slices differ in orientation: .* and IM0015; remove the localizer"),
    (skewed, "IM0015: its DICOM header is damaged .*two square unit vectors.*; export the series again"),
    (other_modality, "the series is MR; expected CT"),
    (enhanced, "IM0015: .*holds 20 frames .*; export the series again, or convert it to NIfTI"),
    (colour, "IM0015: is a colour image instead of a CT slice; export the original CT series"),
    (truncated, "IM0015: its pixels cannot be decoded .*truncated.*: export the series again"),
    (bad_rescale, "IM0015: its pixels cannot be decoded .*RescaleSlope nan"),
    (damaged, "IM0015: its pixels cannot be decoded .*-1T24.*; .*export the series again"),
    (no_pixels, "IM0015: its pixels cannot be decoded"),
    (iodine, "RescaleType MGML of IM0015, so that its values are no Hounsfield units; export the series in HU"),
    (huge, r"shape \(20000, 20000, 20\) is over 536,870,912 voxels; crop"),
]


@pytest.mark.parametrize(("spoil", "message"), REFUSALS, ids=lambda value: getattr(value, "__name__", ""))
def test_refused_with_finding_and_remedy(
    tmp_path: Path, small_patient: Any, spoil: Callable[[list[Path]], None], message: str
) -> None:
    spoil(small_patient.write_dicom(tmp_path))
    with pytest.raises(PatientError, match=f"(?s){tmp_path.name}.*{message}"):
        read_dicom(tmp_path)


def test_jpeg_2000_series_of_a_real_scanner(shared_data: Path) -> None:
    """Position and HU of one pixel against the file's own tags."""
    folder = shared_data / "ct_slab" / "dicom"
    scan = read_dicom(folder)
    hu, ct_from_voxel = scan.voxels, scan.ct_from_voxel
    assert hu.shape == (512, 512, 20)
    one = pydicom.dcmread(sorted(folder.iterdir())[0])  # the uppermost: names run downwards
    x, y, z = one.ImagePositionPatient
    np.testing.assert_allclose((ct_from_voxel @ (0, 0, 19, 1))[:3], (-x, -y, z))
    np.testing.assert_array_equal(hu[300, 200, 19], one.pixel_array[200, 300] - 1024)
    np.testing.assert_allclose(np.linalg.norm(ct_from_voxel[:3, :3], axis=0), (0.9765625, 0.9765625, 2))
