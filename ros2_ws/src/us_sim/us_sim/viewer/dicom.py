# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Clips and measurements as DICOM: an Ultrasound Multi-frame Image, and a Comprehensive SR that refers to it.

DICOM 2024, PS3.3 A.7 and C.8.5.5 (regions with their scale), PS3.3 A.35.3, PS3.16 TID 1500 in outline.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence as Items
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from us_sim.core.geometry.probe import ProbeGeometry
from us_sim.viewer.about import About
from us_sim.viewer.measuring import Mark, Value, path, share, values

CLIP = "1.2.840.10008.5.1.4.1.1.3.1"  # Ultrasound Multi-frame Image Storage
REPORT = "1.2.840.10008.5.1.4.1.1.88.33"  # Comprehensive SR Storage
CODES = {  # of a value, from SNOMED CT and DICOM, and of its unit, from UCUM
    "Length": ("410668003", "SCT", "Length"),
    "Area": ("42798000", "SCT", "Area"),
    "Circumference": ("74551000", "SCT", "Circumference"),
    "Time": ("110858", "DCM", "Time"),
    "Depth": ("131197000", "SCT", "Depth"),
    "Velocity": ("110827", "DCM", "Tissue Velocity"),
}
UNITS = {
    "mm": ("mm", "UCUM", "millimeter"),
    "cm²": ("cm2", "UCUM", "square centimeter"),
    "s": ("s", "UCUM", "second"),
    "mm/s": ("mm/s", "UCUM", "millimeter/second"),
}


def clip(frames: NDArray[np.uint8], interval: float, probe: ProbeGeometry, about: About) -> Dataset:
    """Return the file of (N, H, W) frames, `interval` ms apart, with the scale of their pixels."""
    count, rows, columns = frames.shape
    file = _file(CLIP, "US", about, frames.tobytes())
    file.ImageType = ["DERIVED", "PRIMARY"]
    file.SamplesPerPixel, file.PhotometricInterpretation = 1, "MONOCHROME2"
    file.Rows, file.Columns, file.NumberOfFrames = rows, columns, count
    file.BitsAllocated = file.BitsStored = 8
    file.HighBit, file.PixelRepresentation = 7, 0
    file.FrameTime = f"{interval:.3f}"
    file.FrameIncrementPointer = 0x00181063  # Frame Time
    file.CineRate = file.RecommendedDisplayFrameRate = max(1, round(1000 / interval)) if interval else 1
    file.BurnedInAnnotation, file.LossyImageCompression = "NO", "00"
    file.SequenceOfUltrasoundRegions = Items([_region(rows, columns, probe)])
    dx, dz = probe.pixel_spacing
    if abs(dx - dz) > 1e-6 * dx:
        file.PixelAspectRatio = [round(1e4 * dz / dx), 10000]
    file.PixelData = frames.tobytes() + b"\0" * (frames.size % 2)
    return file


def report(clip: Dataset, marks: Sequence[tuple[int, Mark]], probe: ProbeGeometry, about: About) -> Dataset:
    """Return the file of the measurements on a clip; `marks` with the number of their frame, 1 the first."""
    file = _file(REPORT, "SR", about, repr(marks).encode())
    file.StudyInstanceUID = clip.StudyInstanceUID
    file.ValueType, file.ContinuityOfContent = "CONTAINER", "SEPARATE"
    file.CompletionFlag, file.VerificationFlag = "COMPLETE", "UNVERIFIED"
    file.ConceptNameCodeSequence = _code("126000", "DCM", "Imaging Measurement Report")
    file.ReferencedPerformedProcedureStepSequence = file.PerformedProcedureCodeSequence = Items([])
    instance = _reference(clip)
    series = Dataset()
    series.SeriesInstanceUID, series.ReferencedSOPSequence = clip.SeriesInstanceUID, Items([instance])
    study = Dataset()
    study.StudyInstanceUID, study.ReferencedSeriesSequence = clip.StudyInstanceUID, Items([series])
    file.CurrentRequestedProcedureEvidenceSequence = Items([study])
    file.ContentSequence = Items(
        [_measured(value, mark, frame, clip, probe) for frame, mark in marks for value in values(mark)]
    )
    return file


def _measured(value: Value, mark: Mark, frame: int, clip: Dataset, probe: ProbeGeometry) -> Dataset:
    number = Dataset()
    number.MeasurementUnitsCodeSequence = _code(*UNITS[value.unit])
    number.NumericValue = f"{value.number:.4f}"
    item = _content("CONTAINS", "NUM", CODES[value.name])
    item.MeasuredValueSequence = Items([number])
    image = Dataset()
    image.RelationshipType, image.ValueType = "SELECTED FROM", "IMAGE"
    image.ReferencedSOPSequence = Items([_reference(clip, frame)])
    place = _content("INFERRED FROM", "SCOORD", ("121055", "DCM", "Path"))
    place.GraphicType = "POLYLINE"
    pixels = np.array([share((x, z), probe) for x, z in path(mark, probe)]) * (clip.Columns, clip.Rows)
    place.GraphicData = pixels.astype(np.float32).ravel().tolist()
    place.ContentSequence = Items([image])
    item.ContentSequence = Items([place])
    return item


def _content(relation: str, kind: str, concept: tuple[str, str, str]) -> Dataset:
    item = Dataset()
    item.RelationshipType, item.ValueType = relation, kind
    item.ConceptNameCodeSequence = _code(*concept)
    return item


def _reference(clip: Dataset, frame: int | None = None) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = clip.SOPClassUID, clip.SOPInstanceUID
    if frame is not None:
        item.ReferencedFrameNumber = frame
    return item


def _code(value: str, scheme: str, meaning: str) -> Items:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return Items([item])


def _region(rows: int, columns: int, probe: ProbeGeometry) -> Dataset:
    """The whole image is one two-dimensional tissue region, in cm, its origin in the middle of the face."""
    (dx, dz), (x0, z0) = probe.pixel_spacing, probe.first_pixel
    region = Dataset()
    region.RegionSpatialFormat, region.RegionDataType, region.RegionFlags = 1, 1, 0
    region.RegionLocationMinX0 = region.RegionLocationMinY0 = 0
    region.RegionLocationMaxX1, region.RegionLocationMaxY1 = columns - 1, rows - 1
    region.PhysicalUnitsXDirection = region.PhysicalUnitsYDirection = 3  # cm
    region.PhysicalDeltaX, region.PhysicalDeltaY = dx / 10, dz / 10
    region.ReferencePixelX0, region.ReferencePixelY0 = round(-x0 / dx), round(-z0 / dz)
    region.ReferencePixelPhysicalValueX = (x0 + region.ReferencePixelX0 * dx) / 10
    region.ReferencePixelPhysicalValueY = (z0 + region.ReferencePixelY0 * dz) / 10
    return region


def _file(kind: str, modality: str, about: About, content: bytes) -> Dataset:
    """Patient, study, series and equipment of a file; its identifiers follow from its content and time."""
    when = f"{about.made:%Y%m%d%H%M%S.%f}"
    file = Dataset()
    file.file_meta = FileMetaDataset()
    file.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    file.SpecificCharacterSet = "ISO_IR 192"
    file.SOPClassUID = kind
    file.SOPInstanceUID = generate_uid(entropy_srcs=[kind, when, about.patient_sha256, sha256(content).hexdigest()])
    file.StudyInstanceUID = generate_uid(entropy_srcs=["study", when, about.patient_sha256])
    file.SeriesInstanceUID = generate_uid(entropy_srcs=["series", kind, when, about.patient_sha256])
    file.PatientName, file.PatientID = f"{about.patient[:50]}^simulated", about.patient_sha256[:16] or "simulated"
    file.PatientBirthDate = file.PatientSex = file.AccessionNumber = file.ReferringPhysicianName = file.StudyID = ""
    file.StudyDate = file.SeriesDate = file.ContentDate = f"{about.made:%Y%m%d}"
    file.StudyTime = file.SeriesTime = file.ContentTime = f"{about.made:%H%M%S.%f}"
    file.Modality, file.SeriesNumber, file.InstanceNumber = modality, 1 if modality == "US" else 2, 1
    file.Manufacturer, file.ManufacturerModelName = "us_sim", f"simulated ultrasound, {about.renderer}"
    file.SeriesDescription = "Simulated ultrasound, no real patient"
    return file
