# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Image analysis of a frame: organs with area, centroid and shadow; coupling, brightness over depth, confidence."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from us_sim.core.errors import PatientError, ProbeError
from us_sim.core.geometry.probe import ProbeGeometry
from us_sim.core.geometry.transforms import apply
from us_sim.core.patient.surface import ORGANS
from us_sim.core.physics import gel
from us_sim.core.tissue import CLASS_COUNT, TissueClass, column

OPAQUE = (TissueClass.BACKGROUND, TissueClass.BONE, TissueClass.GAS, TissueClass.LUNG)
SHADOW = 20.0  # dB lost in opaque tissue and at the face, both ways, beyond which a place counts as in shadow
COUPLED = 0.5  # least coupling of a scan line that counts as coupled
BANDS = 9  # bands of depth
_MIRROR = 0.9999  # most energy that an interface reflects, as in the physics renderer


@dataclass(frozen=True, eq=False)
class OrganView:
    """One class as the frame shows it.

    Attributes:
        organ: its class.
        area: of its pixels in the fan, mm²; 0 if it is not there.
        centroid_probe: (3,) middle of these pixels, mm in `probe`; NaN if it is not there.
        centroid_ct: (3,) the same place, mm in `ct`.
        distance: from the centroid to the image's centre, mm; NaN if it is not there.
        shadow_fraction: part of the area that lies in shadow, 0 to 1; 0 if it is not there.
    """

    organ: TissueClass
    area: float
    centroid_probe: NDArray[np.float64]
    centroid_ct: NDArray[np.float64]
    distance: float
    shadow_fraction: float

    @property
    def visible(self) -> bool:
        """Whether it has pixels in the fan."""
        return self.area > 0


@dataclass(frozen=True, eq=False)
class Analysis:
    """What a frame shows.

    Attributes:
        organs: one view for each of ORGANS, in their order, there or not.
        coupled_fraction: part of the scan lines that are coupled, 0 to 1.
        confidence: mean over the fan of the confidence map, 0 to 1.
        depth_edges: (BANDS + 1,) edges of the depth bands along the scan lines, mm.
        mean_brightness: (BANDS,) mean grey level of each band, 0 to 255; NaN where a band has no pixels.
    """

    organs: tuple[OrganView, ...]
    coupled_fraction: float
    confidence: float
    depth_edges: NDArray[np.float64]
    mean_brightness: NDArray[np.float64]


def analyse(
    image: NDArray[np.uint8], labels: NDArray[np.uint8], confidence: NDArray[np.float32],
    coupling: NDArray[np.float32], ct_from_probe: ArrayLike, probe: ProbeGeometry, frequency: float,
) -> Analysis:  # fmt: skip
    """Return what a frame shows.

    Args:
        image: (H, W) grey levels.
        labels: (H, W) tissue classes, true or found.
        confidence: (H, W) as from `confidence.confidence_map`.
        coupling: (L,) of the scan lines, 0 to 1.
        ct_from_probe: (4, 4) pose of the frame, mm.
        probe: whose frame it is.
        frequency: of the pulse, MHz.

    Raises:
        ProbeError: an array that does not have the size of the probe's frame.
        PatientError: labels that are no tissue classes.
    """
    for name, array in (("image", image), ("confidence", confidence)):
        _check_size(name, array, (probe.height, probe.width))
    edges, brightness = brightness_by_depth(image, probe)
    return Analysis(
        organs=organ_views(labels, shadow(labels, coupling, probe, frequency), ct_from_probe, probe),
        coupled_fraction=float((coupling >= COUPLED).mean()),
        confidence=float(confidence[probe.fan_mask].mean()),
        depth_edges=edges,
        mean_brightness=brightness,
    )


def image_centre(probe: ProbeGeometry) -> NDArray[np.float64]:
    """Return (3,) the image's centre, mm in `probe`: halfway down the central scan line."""
    return np.array([0.0, 0.0, 0.5 * probe.depth])


def organ_views(
    labels: NDArray[np.uint8], shadowed: NDArray[np.bool_], ct_from_probe: ArrayLike, probe: ProbeGeometry
) -> tuple[OrganView, ...]:
    """Return the view of each of ORGANS; only pixels in the fan count.

    Args:
        labels: (H, W) tissue classes.
        shadowed: (H, W) as from `shadow`.
        ct_from_probe: (4, 4), mm.
        probe: whose frame it is.

    Raises:
        ProbeError: labels that do not have the size of the probe's frame.
        PatientError: labels that are no tissue classes.
    """
    _check_labels(labels, probe)
    fan = probe.fan_mask
    seen, points = labels[fan], probe.pixel_points[fan].astype(np.float64)
    pixels, hidden, *sums = (np.bincount(seen, weight, CLASS_COUNT) for weight in (None, shadowed[fan], *points.T))
    dx, dz = probe.pixel_spacing
    views = []
    for organ in ORGANS:
        count = int(pixels[organ])
        centroid = np.array([total[organ] for total in sums]) / count if count else np.full(3, math.nan)
        views.append(
            OrganView(
                organ,
                count * dx * dz,
                centroid,
                apply(ct_from_probe, centroid),
                float(np.linalg.norm(centroid - image_centre(probe))),
                float(hidden[organ]) / max(count, 1),
            )
        )
    return tuple(views)


def shadow(
    labels: NDArray[np.uint8], coupling: NDArray[np.float32], probe: ProbeGeometry, frequency: float
) -> NDArray[np.bool_]:
    """Return (H, W) where the sound has lost SHADOW dB on its two ways in bone, gas, lung, air and at the face.

    Along each scan line the loss is −20 log₁₀ of its coupling, 2 α f ds in every opaque sample, and −20 log₁₀(1 − R²)
    at every interface with one, with the values of the tissue table. The attenuation of other tissue makes no
    shadow, for TGC makes up for it. Gel bridges the air right in front of a coupled face, as in the image.

    Args:
        labels: (H, W) tissue classes.
        coupling: (L,) of the scan lines, 0 to 1.
        probe: whose frame it is.
        frequency: of the pulse, MHz.

    Raises:
        ProbeError: arrays that do not have the size of the probe's frame or its number of lines.
        PatientError: labels that are no tissue classes.
    """
    _check_labels(labels, probe)
    _check_size("coupling", coupling, (probe.scan_lines,))
    tissue = _along_lines(labels, probe)
    opaque = np.isin(tissue, OPAQUE)
    opaque &= (tissue != TissueClass.BACKGROUND) | (probe.sample_depths > gel.DEPTH)
    loss = 2 * frequency * probe.sample_spacing / 10 * np.where(opaque, column("attenuation")[tissue], 0.0)
    impedance = column("impedance")[tissue]
    reflection = np.diff(impedance, axis=1) / (impedance[:, 1:] + impedance[:, :-1])
    at_opaque = opaque[:, 1:] | opaque[:, :-1]
    loss[:, 1:] -= np.where(at_opaque, 20 * np.log10(1 - np.minimum(reflection**2, _MIRROR)), 0.0)
    loss[:, 0] -= 20 * np.log10(np.maximum(coupling, 1e-6))
    dark = loss.cumsum(axis=1) > SHADOW
    line, sample = np.moveaxis(np.rint(probe.polar_of_pixel).astype(np.intp), -1, 0)
    return dark[line.clip(0, probe.scan_lines - 1), sample.clip(0, probe.samples - 1)] & probe.fan_mask


def brightness_by_depth(
    image: NDArray[np.uint8], probe: ProbeGeometry
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return (BANDS + 1,) depths, mm, and (BANDS,) mean grey level between them, in the fan; NaN without pixels."""
    edges = np.linspace(0.0, probe.depth, BANDS + 1)
    depth = (probe.polar_of_pixel[..., 1][probe.fan_mask] + 0.5) * (BANDS / probe.samples)
    band = depth.astype(np.intp).clip(0, BANDS - 1)
    total, count = np.bincount(band, image[probe.fan_mask], BANDS), np.bincount(band, minlength=BANDS)
    return edges, np.divide(total, count, out=np.full(BANDS, np.nan), where=count > 0)


def _along_lines(labels: NDArray[np.uint8], probe: ProbeGeometry) -> NDArray[np.uint8]:
    """(L, S) labels of the pixels nearest to the samples of the scan lines."""
    (dx, dz), (x0, z0) = probe.pixel_spacing, probe.first_pixel
    points = probe.polar_points
    column_of = np.rint((points[..., 0] - x0) / dx).astype(np.intp).clip(0, probe.width - 1)
    row_of = np.rint((points[..., 2] - z0) / dz).astype(np.intp).clip(0, probe.height - 1)
    return labels[row_of, column_of]


def _check_labels(labels: NDArray[np.uint8], probe: ProbeGeometry) -> None:
    _check_size("labels", labels, (probe.height, probe.width))
    if labels.max() >= CLASS_COUNT:
        raise PatientError(f"labels hold {labels.max()}; expected tissue classes from 0 to {CLASS_COUNT - 1}")


def _check_size(name: str, array: NDArray[np.generic], expected: tuple[int, ...]) -> None:
    if array.shape != expected:
        raise ProbeError(f"{name} has shape {array.shape}; the probe's frame asks for {expected}")
