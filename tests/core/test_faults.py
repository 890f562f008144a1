"""Faults: none by default, of the wished size, and the same again for a seed and a stamp."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from tests.core.patients import box_patient, on_the_box

from us_sim.core.errors import ConfigError
from us_sim.core.faults import (
    FaultSettings,
    actual_pose,
    calibration_error,
    delay,
    element_mask,
    gel_coverage,
    is_lost,
    live_lines,
    mirrored,
    without_gel,
)
from us_sim.core.geometry.probe import ProbeGeometry, ProbeKind
from us_sim.core.geometry.transforms import check_pose
from us_sim.core.simulator import Simulator

NONE = FaultSettings()
STAMPS = [1_700_000_000_000_000_000 + 33_000_000 * i for i in range(2000)]
LINEAR = ProbeGeometry(ProbeKind.LINEAR, 60.0, aperture=40.0, width=64, height=64, scan_lines=64, samples=192)


def test_there_are_none_by_default() -> None:
    pose, image = on_the_box(), np.zeros((4, 4), np.uint8)
    assert delay(NONE, 0, STAMPS[0]) == 0
    assert not any(is_lost(NONE, 0, stamp) for stamp in STAMPS[:50])
    assert actual_pose(NONE, 0, pose) is pose
    assert element_mask(NONE, 0, 64) is None
    assert mirrored(image, NONE) is image
    assert mirrored(None, replace(NONE, fault_flip=True)) is None


def test_delays_are_even_between_latency_and_latency_with_jitter() -> None:
    assert delay(replace(NONE, fault_latency=0.2), 0, STAMPS[0]) == 0.2
    settings = replace(NONE, fault_latency=0.2, fault_jitter=0.1)
    delays = np.array([delay(settings, 0, stamp) for stamp in STAMPS])
    assert 0.2 <= delays.min() < 0.202
    assert 0.298 < delays.max() < 0.3
    assert delays.mean() == pytest.approx(0.25, abs=0.003)
    assert [delay(settings, 0, stamp) for stamp in STAMPS[:5]] == delays[:5].tolist()
    assert delay(settings, 1, STAMPS[0]) != delays[0]


def test_the_share_of_lost_frames_follows_seed_and_stamp() -> None:
    settings = replace(NONE, fault_drop=0.25)
    lost = [is_lost(settings, 0, stamp) for stamp in STAMPS]
    assert np.mean(lost) == pytest.approx(0.25, abs=0.03)
    assert lost == [is_lost(settings, 0, stamp) for stamp in STAMPS]
    assert lost != [is_lost(settings, 1, stamp) for stamp in STAMPS]
    assert all(is_lost(replace(NONE, fault_drop=1.0), 0, stamp) for stamp in STAMPS[:50])


def test_the_calibration_is_off_by_the_given_way_and_turn() -> None:
    for seed in range(5):
        error = check_pose(calibration_error(seed, 7.0, 0.1))
        assert np.linalg.norm(error[:3, 3]) == pytest.approx(7.0)
        assert math.acos((np.trace(error[:3, :3]) - 1) / 2) == pytest.approx(0.1)
        pose = on_the_box()
        actual = actual_pose(replace(NONE, fault_position=7.0, fault_angle=0.1), seed, pose)
        np.testing.assert_allclose(actual, pose @ error)
    assert not np.allclose(calibration_error(0, 7.0, 0.1), calibration_error(1, 7.0, 0.1))


def test_dead_lines_are_as_many_as_asked_for() -> None:
    for share, dead in ((0.0, 0), (0.25, 16), (1.0, 64)):
        assert (live_lines(3, 64, share) == 0).sum() == dead
    assert not np.array_equal(live_lines(3, 64, 0.25), live_lines(4, 64, 0.25))


@pytest.mark.parametrize("share", [0.0, 0.2, 0.5, 0.8, 1.0])
def test_gel_is_lost_in_patches(share: float) -> None:
    left = gel_coverage(3, 192, share)
    assert left.dtype == np.float32
    assert left.mean() == pytest.approx(1 - share, abs=0.01)
    assert (np.diff((left > 0.5).astype(int)) != 0).sum() <= 12  # not here and there
    assert left.min() >= 0
    assert left.max() <= 1


def test_a_dry_face_has_no_contact() -> None:
    simulator = Simulator(box_patient(), LINEAR, device="cpu")
    wet = simulator.contact(on_the_box())
    assert without_gel(wet, NONE, 0) is wet
    half = without_gel(wet, replace(NONE, fault_gel=0.5), 0)
    assert half.in_contact
    assert half.coupling == pytest.approx(0.5, abs=0.02)
    assert half.penetration == wet.penetration
    dry = without_gel(wet, replace(NONE, fault_gel=1.0), 0)
    assert (dry.in_contact, dry.coupling) == (False, 0.0)
    assert np.isnan(dry.normal).all()


def test_lines_without_coupling_show_nothing_in_depth() -> None:
    simulator = Simulator(box_patient(), LINEAR, device="cpu")
    lines = gel_coverage(0, 64, 0.4)
    whole, faulty = simulator.render(on_the_box()), simulator.render(on_the_box(), coupling=lines)
    dry, wet = lines == 0, np.convolve(lines, np.ones(15), "same") == 15
    assert dry.sum() > 15
    assert wet.any()
    assert faulty.image is not None
    assert whole.image is not None
    deep = slice(24, 56)
    shadow = np.convolve(lines, np.ones(9), "same") == 0
    assert faulty.image[deep, shadow].mean() < 0.5 * whole.image[deep, shadow].mean()
    np.testing.assert_allclose(faulty.image[deep, wet].astype(float), whole.image[deep, wet], atol=8)
    np.testing.assert_array_equal(faulty.labels, whole.labels)
    np.testing.assert_array_equal(faulty.contact.line_coupling, whole.contact.line_coupling)


def test_a_flipped_image_is_mirrored() -> None:
    image = np.arange(6, dtype=np.uint8).reshape(2, 3)
    shown = mirrored(image, replace(NONE, fault_flip=True))
    np.testing.assert_array_equal(shown, [[2, 1, 0], [5, 4, 3]])


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [("fault_latency", -0.1, "0 to 5"), ("fault_jitter", 6.0, "0 to 5"), ("fault_drop", 1.1, "0 to 1"),
     ("fault_position", 51.0, "0 to 50"), ("fault_angle", 0.9, "0 to 0.8"), ("fault_dead", -0.1, "0 to 1"),
     ("fault_gel", 2.0, "0 to 1"), ("fault_gel", math.nan, "0 to 1"), ("fault_latency", math.inf, "0 to 5")],
)  # fmt: skip
def test_values_out_of_range_are_refused(name: str, value: float, expected: str) -> None:
    with pytest.raises(ConfigError, match=f"{name} is {value}; expected {expected}"):
        FaultSettings(**{name: value})  # type: ignore[arg-type]
