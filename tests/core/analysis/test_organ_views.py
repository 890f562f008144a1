"""What a frame shows, in numbers: against rectangles, shadows and bands worked out by hand."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from us_sim.core.analysis.organ_views import (
    BANDS,
    OrganView,
    analyse,
    brightness_by_depth,
    image_centre,
    organ_views,
    shadow,
)
from us_sim.core.errors import PatientError, ProbeError
from us_sim.core.geometry.probe import ProbeGeometry, ProbeKind, preset
from us_sim.core.geometry.transforms import rigid
from us_sim.core.patient.surface import ORGANS
from us_sim.core.tissue import TissueClass

# 40 mm wide and deep, pixels of 0.5 mm: column i covers x from i / 2 − 20 on, row j covers z from j / 2 on.
LINEAR = ProbeGeometry(ProbeKind.LINEAR, depth=40.0, aperture=40.0, width=80, height=80, scan_lines=160, samples=320)
COUPLED = np.ones(160, np.float32)
NO_SHADOW = np.zeros((80, 80), bool)
TURNED = rigid([[0, -1, 0], [1, 0, 0], [0, 0, 1]], [100.0, 200.0, 300.0])  # x of the probe along y of ct


def soft() -> NDArray[np.uint8]:
    return np.full((80, 80), TissueClass.SOFT, np.uint8)


def with_kidney() -> NDArray[np.uint8]:
    """A kidney of 10 × 5 mm from x = 5 mm and z = 20 mm on."""
    labels = soft()
    labels[40:50, 50:70] = TissueClass.KIDNEY
    return labels


def view_of(
    organ: TissueClass,
    labels: NDArray[np.uint8],
    probe: ProbeGeometry = LINEAR,
    shadowed: NDArray[np.bool_] = NO_SHADOW,
) -> OrganView:
    return organ_views(labels, shadowed, TURNED, probe)[ORGANS.index(organ)]


def test_a_rectangle_has_its_area_its_middle_and_its_distance() -> None:
    view = view_of(TissueClass.KIDNEY, with_kidney())
    assert view.visible
    assert view.area == pytest.approx(50.0)
    np.testing.assert_allclose(view.centroid_probe, [10.0, 0.0, 22.5], atol=1e-5)
    np.testing.assert_allclose(view.centroid_ct, [100.0, 210.0, 322.5], atol=1e-5)
    np.testing.assert_array_equal(image_centre(LINEAR), [0, 0, 20])
    assert view.distance == pytest.approx(math.hypot(10.0, 2.5))
    assert view.shadow_fraction == 0


def test_an_organ_that_is_not_there_is_nowhere() -> None:
    views = organ_views(with_kidney(), NO_SHADOW, TURNED, LINEAR)
    assert [view.organ for view in views] == list(ORGANS)
    assert [view.organ for view in views if view.visible] == [TissueClass.KIDNEY]
    liver = views[ORGANS.index(TissueClass.LIVER)]
    assert (liver.area, liver.shadow_fraction) == (0, 0)
    assert np.isnan([*liver.centroid_probe, *liver.centroid_ct, liver.distance]).all()


def test_two_pieces_count_as_one_and_their_shadow_by_area() -> None:
    labels, shadowed = soft(), NO_SHADOW.copy()
    labels[10:14, 10:14] = labels[10:14, 66:70] = TissueClass.LIVER
    shadowed[:, :12] = True  # half of the first piece
    view = view_of(TissueClass.LIVER, labels, shadowed=shadowed)
    np.testing.assert_allclose(view.centroid_probe, [0.0, 0.0, 6.0], atol=1e-5)
    assert view.shadow_fraction == pytest.approx(0.25)


def test_what_lies_outside_the_fan_does_not_count() -> None:
    """A convex fan full of liver: the sector's area and centroid in closed form."""
    probe = preset("c5_2")
    inner, outer, angle = 50.4, 230.4, math.pi / 3
    everywhere = np.full((256, 256), TissueClass.LIVER, np.uint8)
    view = view_of(TissueClass.LIVER, everywhere, probe, np.zeros((256, 256), bool))
    area = angle / 2 * (outer**2 - inner**2)
    radius = 2 / 3 * (outer**3 - inner**3) / (outer**2 - inner**2) * math.sin(angle / 2) / (angle / 2)
    assert view.area == pytest.approx(area, rel=2e-3)
    np.testing.assert_allclose(view.centroid_probe, [0.0, 0.0, radius - inner], atol=0.2)


def test_a_rib_casts_a_shadow_straight_down() -> None:
    """Bone from x = −5 to 0 mm and z = 5 to 8 mm: 3 mm · 2 · 10 dB/(cm MHz) · 3.5 MHz = 21 dB and two faces."""
    labels = soft()
    labels[10:16, 30:40] = TissueClass.BONE
    labels[40:50, 30:50] = TissueClass.KIDNEY  # half of it behind the bone
    dark = shadow(labels, COUPLED, LINEAR, 3.5)
    assert dark[16:, 30:40].all()
    assert not dark[:, :30].any()
    assert not dark[:, 40:].any()
    assert not dark[:10].any()
    assert view_of(TissueClass.KIDNEY, labels, shadowed=dark).shadow_fraction == pytest.approx(0.5)


def test_the_loss_is_that_of_the_tissue_table() -> None:
    """1 mm of bone takes 2 · 0.1 · 10 f dB, and 4.96 dB at each face, Z = 1.60 and 7.80 MRayl: 20 at 5.04 MHz."""
    labels = soft()
    labels[10:12] = TissueClass.BONE
    face = -20 * math.log10(1 - ((7.8 - 1.6) / (7.8 + 1.6)) ** 2)
    limit = (20 - 2 * face) / 2
    assert limit == pytest.approx(5.04, abs=0.01)
    assert not shadow(labels, COUPLED, LINEAR, limit - 0.1).any()
    assert shadow(labels, COUPLED, LINEAR, limit + 0.1)[12:].all()


def test_gas_lung_and_air_are_dark_from_their_face_on() -> None:
    for tissue in (TissueClass.GAS, TissueClass.LUNG, TissueClass.BACKGROUND):
        labels = soft()
        labels[40:] = tissue
        dark = shadow(labels, COUPLED, LINEAR, 3.5)
        assert not dark[:39].any()
        assert dark[45:].all()


def test_soft_tissue_makes_no_shadow_at_any_depth() -> None:
    for tissue in (TissueClass.MUSCLE, TissueClass.FAT, TissueClass.KIDNEY, TissueClass.FLUID):
        labels = soft()
        labels[20:] = tissue
        assert not shadow(labels, COUPLED, LINEAR, 15.0).any()


def test_lines_that_are_not_coupled_are_dark_and_gel_is_not() -> None:
    labels = soft()
    labels[:4] = TissueClass.BACKGROUND  # 2 mm of gel
    coupling = COUPLED.copy()
    coupling[:40] = 0.05  # x < −10 mm: 26 dB
    coupling[40:80] = 0.5  # x < 0: 6 dB
    dark = shadow(labels, coupling, LINEAR, 3.5)
    assert dark[:, :20].all()
    assert not dark[:, 20:].any()


def test_shadows_follow_the_lines_of_a_fan() -> None:
    """A rib at the face's middle third darkens the middle third of the angles, at every depth."""
    probe = preset("c5_2")
    line, sample = np.moveaxis(probe.polar_of_pixel, -1, 0)
    labels = np.full((256, 256), TissueClass.LIVER, np.uint8)
    middle = np.abs(line - 95.5) < 32
    labels[middle & (np.abs(sample * probe.sample_spacing - 20) < 5)] = TissueClass.BONE
    dark = shadow(labels, np.ones(192, np.float32), probe, 3.5)
    below = probe.fan_mask & (sample * probe.sample_spacing > 30)
    assert dark[below & (np.abs(line - 95.5) < 28)].all()
    assert not dark[below & (np.abs(line - 95.5) > 36)].any()
    assert not dark[~probe.fan_mask].any()


def test_brightness_follows_the_bands() -> None:
    image = np.repeat(np.arange(80, dtype=np.uint8)[:, None], 80, axis=1)
    probe = replace(LINEAR, depth=45.0, given_spacing=(0.5, 45 / 80), given_first_pixel=(-19.75, 45 / 160))
    edges, brightness = brightness_by_depth(image, probe)
    np.testing.assert_allclose(edges, np.arange(0.0, 45.1, 5.0))
    rows = (np.arange(80) + 0.5) * 45 / 80
    expected = [np.arange(80)[(rows >= low) & (rows < low + 5)].mean() for low in edges[:-1]]
    np.testing.assert_allclose(brightness, expected)


def test_a_band_without_pixels_has_no_brightness() -> None:
    probe = replace(LINEAR, given_spacing=(0.5, 0.25), given_first_pixel=(-19.75, 0.125))  # the frame ends at 20 mm
    _, brightness = brightness_by_depth(np.full((80, 80), 7, np.uint8), probe)
    assert (brightness[:4] == 7).all()
    assert np.isnan(brightness[5:]).all()


def test_a_frame_as_a_whole() -> None:
    coupling = COUPLED.copy()
    coupling[:40] = 0.4
    confidence = np.full((80, 80), 0.25, np.float32)
    found = analyse(np.full((80, 80), 90, np.uint8), with_kidney(), confidence, coupling, TURNED, LINEAR, 3.5)
    assert found.coupled_fraction == 0.75
    assert found.confidence == pytest.approx(0.25)
    assert (found.depth_edges.shape, found.mean_brightness.shape) == ((BANDS + 1,), (BANDS,))
    assert (found.mean_brightness == 90).all()
    assert [view.organ for view in found.organs if view.visible] == [TissueClass.KIDNEY]


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        ({"image": np.zeros((80, 79), np.uint8)}, ProbeError, r"image has shape \(80, 79\); .* asks for \(80, 80\)"),
        ({"labels": np.zeros((3, 3), np.uint8)}, ProbeError, r"labels has shape \(3, 3\); .* asks for \(80, 80\)"),
        ({"labels": np.full((80, 80), 14, np.uint8)}, PatientError, "labels hold 14; expected tissue .* from 0 to 13"),
        ({"confidence": np.zeros((80, 1))}, ProbeError, r"confidence has shape \(80, 1\)"),
        ({"coupling": np.ones(159, np.float32)}, ProbeError, r"coupling has shape \(159,\); .* asks for \(160,\)"),
    ],
)
def test_what_does_not_fit_the_frame_is_refused(wrong: dict[str, Any], error: type[Exception], message: str) -> None:
    given: dict[str, Any] = {
        "image": np.zeros((80, 80), np.uint8), "labels": soft(), "confidence": np.zeros((80, 80), np.float32),
        "coupling": COUPLED, "ct_from_probe": TURNED, "probe": LINEAR, "frequency": 3.5,
    }  # fmt: skip
    with pytest.raises(error, match=message):
        analyse(**{**given, **wrong})
