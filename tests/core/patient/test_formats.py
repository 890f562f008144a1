"""One patient in every format of the field: the same voxels at the same places, or a refusal with a remedy."""

from __future__ import annotations

import os
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian, JPEGLosslessSV1, generate_uid

from us_sim.core.errors import PatientError
from us_sim.core.patient import dicom_files
from us_sim.core.patient.labels import read_labels
from us_sim.core.patient.loading import load_volume
from us_sim.core.patient.reading import links_below, read_scan
from us_sim.core.tissue import TissueClass as T


def image(patient: Any, values: Any = None) -> Any:
    """The patient for SimpleITK, whose world is LPS."""
    voxels = patient.hu() if values is None else values
    lps = np.diag([-1.0, -1, 1, 1]) @ patient.ct_from_voxel
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    out = sitk.GetImageFromArray(np.ascontiguousarray(np.transpose(voxels, (2, 1, 0))))
    out.SetSpacing(spacing.tolist())
    out.SetDirection((lps[:3, :3] / spacing).ravel().tolist())
    out.SetOrigin(lps[:3, 3].tolist())
    return out


def by_itk(name: str) -> Callable[[Any, Path], Path]:
    def write(patient: Any, folder: Path) -> Path:
        sitk.WriteImage(image(patient), str(folder / name), useCompression=True)
        return folder / name

    return write


def by_nibabel(kind: Any, name: str) -> Callable[[Any, Path], Path]:
    def write(patient: Any, folder: Path) -> Path:
        nibabel.save(kind(patient.hu(), patient.ct_from_voxel), folder / name)
        return folder / name

    return write


def upper(patient: Any, folder: Path) -> Path:
    return patient.write_nifti(folder / "a.nii.gz").rename(folder / "CT.NII.GZ")


def one_slice(patient: Any, folder: Path) -> Path:
    patient.write_dicom(folder / "other")
    return patient.write_dicom(folder / "series")[5].rename(folder / "series" / "slice.dcm")


def zipped_series(patient: Any, folder: Path) -> Path:
    paths = patient.write_dicom(folder / "series")
    with zipfile.ZipFile(folder / "series.zip", "w") as archive:
        for path in paths:
            archive.write(path, f"study/{path.name}")
    return folder / "series.zip"


def zipped_nifti(patient: Any, folder: Path) -> Path:
    path = patient.write_nifti(folder / "ct.nii.gz")
    with zipfile.ZipFile(folder / "ct.zip", "w") as archive:
        archive.write(path, "ct.nii.gz")
    return folder / "ct.zip"


def zipped_by_a_mac(patient: Any, folder: Path) -> Path:
    path = zipped_nifti(patient, folder)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("__MACOSX/._ct.nii.gz", b"\0\5\x16\7")
    return path


def copied_by_a_mac(patient: Any, folder: Path) -> Path:
    for path in patient.write_dicom(folder):
        path.rename(path.with_suffix(".dcm"))
        path.with_name(f"._{path.stem}.dcm").write_bytes(b"\0\5\x16\7")
    return folder


def among_other_files(patient: Any, folder: Path) -> Path:
    patient.write_dicom(folder)
    (folder / "README").write_text("from the archive")
    return folder


def dicomdir(patient: Any, folder: Path) -> Path:
    patient.write_dicom(folder / "series")
    (folder / "DICOMDIR").write_bytes(b"\0" * 128 + b"DICM")
    return folder / "DICOMDIR"


def pacs_tree(patient: Any, folder: Path) -> Path:
    """A study as an archive exports it: localizers of another series, a report, a PET of the same series."""
    patient.write_dicom(folder / "1")
    patient.write_dicom(folder / "2", patient.hu()[:, :, :2], ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    series = pydicom.dcmread(next((folder / "1").iterdir())).SeriesInstanceUID
    patient.write_dicom(folder / "3", patient.hu()[:, :, :4], Modality="PT", SeriesInstanceUID=series)
    report = patient.write_dicom(folder / "4", patient.hu()[:, :, :1], Modality="SR")[0]
    data = pydicom.dcmread(report)
    for tag in ("Rows", "Columns", "PixelData", "ImagePositionPatient"):
        delattr(data, tag)
    data.save_as(report)
    return folder


def without_preamble(patient: Any, folder: Path) -> Path:
    for path in patient.write_dicom(folder / "series"):
        data = pydicom.dcmread(path)
        plain = Dataset({element.tag: element for element in data})
        plain.save_as(path, implicit_vr=True, little_endian=True)
    return folder / "series"


def enhanced(patient: Any, folder: Path) -> Path:
    """An enhanced CT of one file, its frames in no order, each with its own intercept."""
    (folder / "series").mkdir()
    paths = patient.write_dicom(folder / "plain")
    data = pydicom.dcmread(paths[0])
    frames, pixels = [], []
    for number, path in enumerate(sorted(paths)):
        one = pydicom.dcmread(path)
        place, values = Dataset(), Dataset()
        place.ImagePositionPatient = one.ImagePositionPatient
        values.RescaleSlope, values.RescaleIntercept = 1, -1024 + number
        groups = Dataset()
        groups.PlanePositionSequence, groups.PixelValueTransformationSequence = Sequence([place]), Sequence([values])
        frames.append(groups)
        pixels.append((one.pixel_array - number).astype("<i2").tobytes())
    turned, measures, shared = Dataset(), Dataset(), Dataset()
    turned.ImageOrientationPatient, measures.PixelSpacing = data.ImageOrientationPatient, data.PixelSpacing
    shared.PlaneOrientationSequence, shared.PixelMeasuresSequence = Sequence([turned]), Sequence([measures])
    for tag in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "RescaleSlope", "RescaleIntercept"):
        delattr(data, tag)
    data.NumberOfFrames, data.PixelRepresentation = len(frames), 1
    data.PerFrameFunctionalGroupsSequence, data.SharedFunctionalGroupsSequence = Sequence(frames), Sequence([shared])
    data.PixelData = b"".join(pixels)
    data.save_as(folder / "series" / "enhanced.dcm")
    return folder / "series" / "enhanced.dcm"


def jpeg_lossless(patient: Any, folder: Path) -> Path:
    (folder / "series").mkdir()
    for path in patient.write_dicom(folder / "plain"):
        writer = sitk.ImageFileWriter()
        writer.SetImageIO("GDCMImageIO")
        writer.KeepOriginalImageUIDOn()
        writer.SetUseCompression(True)
        writer.SetCompressor("JPEG")
        writer.SetFileName(str(folder / "series" / f"{path.name}.dcm"))
        writer.Execute(sitk.Cast(sitk.ReadImage(str(path)), sitk.sitkInt16))
        data = pydicom.dcmread(writer.GetFileName())
        assert data.file_meta.TransferSyntaxUID == JPEGLosslessSV1
        data.SeriesInstanceUID, data.Modality = "1.2.3", "CT"
        data.save_as(writer.GetFileName())
    return folder / "series"


FORMATS: dict[str, Callable[[Any, Path], Path]] = {
    "nrrd": by_itk("ct.nrrd"),
    "nhdr": by_itk("ct.nhdr"),
    "mha": by_itk("ct.mha"),
    "mhd": by_itk("ct.mhd"),
    "mgz": by_nibabel(nibabel.MGHImage, "ct.mgz"),
    "NIfTI pair": by_nibabel(nibabel.Nifti1Pair, "ct.hdr"),
    "NIfTI 2": by_nibabel(nibabel.Nifti2Image, "ct.nii.gz"),
    "bz2": by_nibabel(nibabel.Nifti1Image, "ct.nii.bz2"),
    "upper case": upper,
    "one slice": one_slice,
    "zip of a series": zipped_series,
    "zip of a NIfTI": zipped_nifti,
    "zip of a Mac": zipped_by_a_mac,
    "copy of a Mac": copied_by_a_mac,
    "beside a text": among_other_files,
    "DICOMDIR": dicomdir,
    "PACS": pacs_tree,
    "without preamble": without_preamble,
    "enhanced CT": enhanced,
    "JPEG lossless": jpeg_lossless,
}


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_holds_the_same_patient(tmp_path: Path, small_patient: Any, kind: str) -> None:
    scan = read_scan(FORMATS[kind](small_patient, tmp_path))
    expected = small_patient.hu_at(small_patient.points(scan.voxels.shape, scan.ct_from_voxel))
    assert scan.voxels.shape == small_patient.shape
    np.testing.assert_array_equal(scan.voxels, expected)


def test_what_lies_beside_the_ct_is_told(tmp_path: Path, small_patient: Any) -> None:
    (warning,) = read_scan(pacs_tree(small_patient, tmp_path)).warnings
    assert "left out beside the CT: 2 CT image(s) 'Abdomen', 4 PT image(s)" in warning


def test_analyze_warns_of_its_sides(tmp_path: Path, small_patient: Any) -> None:
    nibabel.save(nibabel.AnalyzeImage(small_patient.hu(), small_patient.ct_from_voxel), tmp_path / "ct.img")
    (warning,) = read_scan(tmp_path / "ct.img").warnings
    assert "Analyze does not say which side is left" in warning


def seg(patient: Any, folder: Path) -> Path:
    """A binary DICOM-SEG of the liver ball and of a cyst amid it, empty frames left out."""
    plain = pydicom.dcmread(patient.write_dicom(folder / "ct")[0])
    lps = np.diag([-1.0, -1, 1, 1]) @ patient.ct_from_voxel
    liver = patient.labels_at(patient.points(patient.shape, patient.ct_from_voxel)).astype(bool)
    cyst = np.zeros_like(liver)
    cyst[tuple(np.argwhere(liver)[liver.sum() // 2])] = True
    data, frames, pixels = Dataset(), [], []
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.66.4"
    data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    data.Modality, data.SeriesInstanceUID, data.SegmentationType = "SEG", generate_uid(), "BINARY"
    data.Rows, data.Columns = plain.Rows, plain.Columns
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.BitsAllocated = data.BitsStored = 1
    data.HighBit = data.PixelRepresentation = 0
    for number, mask in ((1, liver), (2, cyst)):
        for k in np.flatnonzero(mask.any(axis=(0, 1)))[::-1]:
            place, of, groups = Dataset(), Dataset(), Dataset()
            place.ImagePositionPatient = [float(v) for v in (lps @ (0, 0, k, 1))[:3]]
            of.ReferencedSegmentNumber = number
            groups.PlanePositionSequence, groups.SegmentIdentificationSequence = Sequence([place]), Sequence([of])
            frames.append(groups)
            pixels.append(mask[:, :, k].T)
    turned, measures, shared = Dataset(), Dataset(), Dataset()
    turned.ImageOrientationPatient, measures.PixelSpacing = plain.ImageOrientationPatient, plain.PixelSpacing
    measures.SpacingBetweenSlices = 5.0
    shared.PlaneOrientationSequence, shared.PixelMeasuresSequence = Sequence([turned]), Sequence([measures])
    data.SharedFunctionalGroupsSequence, data.PerFrameFunctionalGroupsSequence = Sequence([shared]), Sequence(frames)
    segments = []
    for number, label, meaning in ((1, "Segment 1", "Liver"), (2, "hepatic cyst", "Cyst")):
        segment, code = Dataset(), Dataset()
        segment.SegmentNumber, segment.SegmentLabel = number, label
        code.CodeMeaning = meaning
        segment.SegmentedPropertyTypeCodeSequence = Sequence([code])
        segments.append(segment)
    data.SegmentSequence, data.NumberOfFrames = Sequence(segments), len(frames)
    packed = np.packbits(np.stack(pixels).ravel(), bitorder="little").tobytes()
    data.PixelData = packed + b"\0" * (len(packed) % 2)
    (folder / "seg").mkdir()
    data.save_as(folder / "seg" / "seg.dcm", enforce_file_format=True)
    return folder / "seg" / "seg.dcm"


@pytest.mark.parametrize("as_folder", [False, True])
def test_segments_of_dicom(tmp_path: Path, small_patient: Any, as_folder: bool) -> None:
    path = seg(small_patient, tmp_path)
    found = read_labels(path.parent if as_folder else path, None, small_patient.shape, small_patient.ct_from_voxel)
    liver = small_patient.labels_at(small_patient.points(small_patient.shape, small_patient.ct_from_voxel)) > 0
    np.testing.assert_array_equal(found.classes > 0, liver)
    assert (found.classes == T.FLUID).sum() == 1
    assert found.scheme == "the segment names of the DICOM-SEG"


def test_structure_set_of_radiotherapy(tmp_path: Path, small_patient: Any) -> None:
    """A square of 40 mm on five slices, with a square hole of 16 mm (a second contour), around (37, -2)."""
    small_patient.write_dicom(tmp_path / "ct")
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.481.3"
    data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    data.Modality, data.SeriesInstanceUID = "RTSTRUCT", generate_uid()
    roi, contours = Dataset(), []
    roi.ROINumber, roi.ROIName = 7, "Liver"
    for z in (96.0, 101.0, 106.0, 111.0, 116.0):
        for half in (20, 8):
            contour = Dataset()
            corners = [(37 - half, -2 - half), (37 + half, -2 - half), (37 + half, -2 + half), (37 - half, -2 + half)]
            contour.ContourGeometricType = "CLOSED_PLANAR"
            contour.ContourData = [v for x, y in corners for v in (-x, -y, z)]
            contours.append(contour)
    drawn = Dataset()
    drawn.ReferencedROINumber, drawn.ContourSequence = 7, Sequence(contours)
    data.StructureSetROISequence, data.ROIContourSequence = Sequence([roi]), Sequence([drawn])
    data.save_as(tmp_path / "rt.dcm", enforce_file_format=True)
    found = read_labels(tmp_path / "rt.dcm", None, small_patient.shape, small_patient.ct_from_voxel)
    points = small_patient.points(small_patient.shape, small_patient.ct_from_voxel)
    reach = np.abs(points[..., :2] - (37, -2)).max(axis=-1)
    expected = (reach < 20) & (reach > 8) & (points[..., 2] >= 96) & (points[..., 2] <= 116)
    at_edge = (np.abs(reach - 20) < 2.1) | (np.abs(reach - 8) < 2.1)
    np.testing.assert_array_equal((found.classes == T.LIVER)[~at_edge], expected[~at_edge])
    with pytest.raises(PatientError, match=r"rt.dcm: is a structure set; give it as labels of the CT"):
        read_scan(tmp_path / "rt.dcm")


def test_overlapping_segments_of_3d_slicer(tmp_path: Path, small_patient: Any) -> None:
    """Two layers: a kidney, and a cyst inside it."""
    layers = np.zeros((*small_patient.shape, 2), np.uint8)
    layers[10:20, 10:20, 5:9, 0] = 1
    layers[12:14, 12:14, 6:7, 1] = 1
    one = image(small_patient, layers[..., 0])
    both = sitk.Compose(one, image(small_patient, layers[..., 1]))
    for number, (name, layer) in enumerate([("right kidney", 0), ("kidney cyst", 1)]):
        both.SetMetaData(f"Segment{number}_Name", name)
        both.SetMetaData(f"Segment{number}_LabelValue", "1")
        both.SetMetaData(f"Segment{number}_Layer", str(layer))
    sitk.WriteImage(both, str(tmp_path / "s.seg.nrrd"))
    found = read_labels(tmp_path / "s.seg.nrrd", None, small_patient.shape, small_patient.ct_from_voxel)
    assert found.scheme == "the segments of 3D Slicer in the file"
    assert (found.classes == T.KIDNEY).sum() == 10 * 10 * 4 - 4
    assert (found.classes == T.FLUID).sum() == 4


def no_position(patient: Any, folder: Path) -> Path:
    for path in patient.write_dicom(folder)[::2]:
        data = pydicom.dcmread(path)
        del data.ImagePositionPatient
        data.save_as(path)
    return folder


def empty_slice(patient: Any, folder: Path) -> Path:
    patient.write_dicom(folder)[0].write_bytes(b"")
    return folder


def no_dicom_slice(patient: Any, folder: Path) -> Path:
    for path in patient.write_dicom(folder):
        path.rename(path.with_suffix(".dcm"))
    (folder / "IM0001.dcm").write_bytes(b"\0" * 4000)
    return folder


def inverted(patient: Any, folder: Path) -> Path:
    patient.write_dicom(folder, PhotometricInterpretation="MONOCHROME1")
    return folder


def bloated(patient: Any, folder: Path) -> Path:
    os.truncate(patient.write_dicom(folder)[3], 6 * 2**30)
    return folder


def other_folder(patient: Any, folder: Path) -> Path:
    path = by_itk("ct.mhd")(patient, folder)
    path.write_text(path.read_text().replace("ct.zraw", "/etc/hostname").replace("ct.raw", "/etc/hostname"))
    return path


def cut_nrrd(patient: Any, folder: Path) -> Path:
    path = by_itk("ct.nrrd")(patient, folder)
    os.truncate(path, path.stat().st_size // 2)
    return path


def picture(_: Any, folder: Path) -> Path:
    (folder / "ct.png").write_bytes(b"\x89PNG")
    return folder / "ct.png"


def pipe(_: Any, folder: Path) -> Path:
    os.mkfifo(folder / "ct.nii.gz")
    return folder / "ct.nii.gz"


def two_volumes(patient: Any, folder: Path) -> Path:
    with zipfile.ZipFile(folder / "x.zip", "w") as archive:
        for name in ("a.nii", "b.nii"):
            archive.write(patient.write_nifti(folder / name), name)
    return folder / "x.zip"


def nested(patient: Any, folder: Path) -> Path:
    with zipfile.ZipFile(folder / "outer.zip", "w") as archive:
        archive.write(zipped_nifti(patient, folder), "ct.zip")
    return folder / "outer.zip"


def packed_otherwise(_: Any, folder: Path) -> Path:
    (folder / "ct.nii.xz").write_bytes(b"\xfd7zXZ")
    return folder / "ct.nii.xz"


REFUSALS = [
    (no_position, "10 of 20 slices have no position, orientation or pixel spacing, e.g. IM.*; export the series again"),
    (empty_slice, "1 files among the slices are empty, e.g. IM0020; copy them again"),
    (no_dicom_slice, "1 files among the slices are no DICOM, e.g. IM0001.dcm; copy them again"),
    (
        inverted,
        "PhotometricInterpretation MONOCHROME1, so that its values are no Hounsfield units.*: export the original",
    ),
    (bloated, "6442450944 bytes are too many for its 1280 pixels; export the series again"),
    (other_folder, "voxels are said to lie in another folder, /etc/hostname; put them beside it"),
    (cut_nrrd, "ct.nrrd: is truncated or damaged .*; copy or export it again"),
    (picture, "ct.png: is a picture; expected a volume with its place in the patient"),
    (pipe, "ct.nii.gz: is a device or a pipe; give a file or a folder"),
    (nested, r"outer.zip: no DICOM slices in this folder; give the folder of one CT series or a NIfTI file"),
    (packed_otherwise, "ct.nii.xz: is an archive to be unpacked; expected a volume with its place in the patient"),
    (two_volumes, r"holds 2 volumes \(a.nii, b.nii\); unpack it and give one"),
]


@pytest.mark.parametrize(("make", "message"), REFUSALS, ids=lambda value: getattr(value, "__name__", ""))
def test_refused_with_finding_and_remedy(tmp_path: Path, small_patient: Any, make: Any, message: str) -> None:
    with pytest.raises(PatientError, match=f"(?s){message}"):
        read_scan(make(small_patient, tmp_path))


@pytest.mark.parametrize("name", ["ct.nrrd", "ct.mha", "ct.nhdr", "ct.mhd"])
def test_a_changed_bit_in_packed_voxels_is_refused(tmp_path: Path, small_patient: Any, name: str) -> None:
    """ITK itself reads a damaged MetaImage without a word."""
    by_itk(name)(small_patient, tmp_path)
    (data,) = [path for path in tmp_path.iterdir() if path.suffix in (".nrrd", ".mha", ".zraw", ".gz")]
    whole = bytearray(data.read_bytes())
    whole[len(whole) // 2 + 300] ^= 4
    data.write_bytes(whole)
    with pytest.raises(PatientError, match=r"is truncated or damaged .*; copy or export it again"):
        read_scan(tmp_path / name)


def test_a_home_folder_is_refused_before_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Seen: `ct: "~"` read headers for minutes."""
    monkeypatch.setattr(dicom_files, "MOST_FILES", 20)
    monkeypatch.setattr(dicom_files, "read_header", lambda path: pytest.fail(f"{path} was read"))
    for number in range(21):
        (tmp_path / f"{number}.dcm").touch()
    with pytest.raises(PatientError, match="holds over 20 files and folders; give the folder of one series"):
        read_scan(tmp_path)


def test_a_name_that_is_too_long_is_told() -> None:
    with pytest.raises(PatientError, match=r"^a{200}: File name too long; expected a file or folder that can be read"):
        load_volume("a" * 5000)


def test_links_that_lead_out_of_a_folder_are_found(tmp_path: Path, small_patient: Any) -> None:
    paths = small_patient.write_dicom(tmp_path / "far")
    shutil.copytree(tmp_path / "far", tmp_path / "near")
    (tmp_path / "near" / paths[0].name).unlink()
    (tmp_path / "near" / paths[0].name).symlink_to(paths[0])
    assert links_below(str(tmp_path / "near")) == [str(paths[0].resolve())]
    assert links_below("") == links_below(str(paths[0])) == []
