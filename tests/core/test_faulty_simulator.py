"""One way from a pose that is nominal to what is shown: frame, contact and force all meet the same faults."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.core.patients import box_patient, on_the_box

from us_sim.core.contact.mechanics import MechanicsSettings
from us_sim.core.errors import PoseError
from us_sim.core.faults import FaultSettings, calibration_error, gel_coverage, is_lost, live_lines
from us_sim.core.faulty_simulator import FaultySimulator
from us_sim.core.geometry.probe import ProbeGeometry, ProbeKind
from us_sim.core.simulator import Simulator

SEED, STAMP = 3, 12_345_678_901
LINEAR = ProbeGeometry(ProbeKind.LINEAR, 60.0, aperture=40.0, width=64, height=64, scan_lines=64, samples=192)
FAULTS = FaultSettings(fault_position=4.0, fault_angle=0.05, fault_flip=True, fault_dead=0.25, fault_gel=0.3)


@pytest.fixture(scope="module")
def simulator() -> Simulator:
    mechanics = MechanicsSettings(breathing_amplitude=8.0)
    return Simulator(box_patient(), LINEAR, device="cpu", seed=SEED, mechanics=mechanics)


def test_without_faults_it_is_the_simulator(simulator: Simulator) -> None:
    plain, frame = FaultySimulator(simulator, FaultSettings()), simulator.render(on_the_box(), times=[STAMP * 1e-9])
    shown = plain.render(on_the_box(), STAMP)
    for name in ("image", "labels", "ct_slice", "ct_from_probe"):
        np.testing.assert_array_equal(getattr(shown, name), getattr(frame, name))
    np.testing.assert_array_equal(shown.contact.line_coupling, frame.contact.line_coupling)
    np.testing.assert_array_equal(plain.image_coupling(shown.contact), frame.contact.line_coupling)
    assert (shown.phase, plain.delay(STAMP), plain.is_lost(STAMP)) == (frame.phase, 0.0, False)


def test_every_fault_reaches_the_frame(simulator: Simulator) -> None:
    nominal = on_the_box(pressed=3.0)
    faulty, actual = FaultySimulator(simulator, FAULTS), nominal @ calibration_error(SEED, 4.0, 0.05)
    gel, alive = gel_coverage(SEED, 64, 0.3), live_lines(SEED, 64, 0.25)
    there = simulator.render(actual, times=[STAMP * 1e-9], coupling=gel * alive)
    shown = faulty.render(nominal, STAMP)
    assert shown.image is not None
    assert there.image is not None
    np.testing.assert_array_equal(shown.image, there.image[:, ::-1])
    np.testing.assert_array_equal(shown.labels, there.labels)
    np.testing.assert_array_equal(shown.ct_from_probe, nominal)
    without_gel = there.contact.line_coupling * gel
    np.testing.assert_array_equal(shown.contact.line_coupling, without_gel)
    np.testing.assert_array_equal(faulty.image_coupling(shown.contact), without_gel * alive)
    np.testing.assert_array_equal(shown.wrench.force, there.wrench.force)


def test_what_is_told_of_the_touch_is_what_the_frame_carries(simulator: Simulator) -> None:
    nominal, faulty = on_the_box(pressed=3.0), FaultySimulator(simulator, FAULTS)
    touch, shown = faulty.touch(nominal), faulty.render(nominal, STAMP)
    np.testing.assert_array_equal(touch.contact.line_coupling, shown.contact.line_coupling)
    np.testing.assert_array_equal(touch.contact.line_distance, shown.contact.line_distance)
    np.testing.assert_array_equal(touch.wrench.force, shown.wrench.force)
    moving = touch.after(faulty.touch(on_the_box(pressed=2.0)), 0.02)
    with_speed = faulty.render(nominal, STAMP, touch=moving)
    np.testing.assert_array_equal(with_speed.wrench.force, moving.wrench.force)
    np.testing.assert_array_equal(with_speed.image, shown.image)


def test_a_batch_is_its_frames(simulator: Simulator) -> None:
    faulty, nominal = FaultySimulator(simulator, FAULTS), np.stack([on_the_box(), on_the_box(5.0)])
    for frame, pose, stamp in zip(faulty.render_batch(nominal, [0, STAMP]), nominal, [0, STAMP], strict=True):
        alone = faulty.render(pose, stamp, ct_slice=False)
        np.testing.assert_allclose(frame.image.astype(int), alone.image, atol=1)  # type: ignore[union-attr, arg-type]
        np.testing.assert_array_equal(frame.labels, alone.labels)
        assert alone.ct_slice is None


def test_losses_and_delays_follow_the_simulators_seed(simulator: Simulator) -> None:
    faults = FaultSettings(fault_drop=0.5, fault_latency=0.2)
    faulty, stamps = FaultySimulator(simulator, faults), range(0, 10**9, 10**7)
    assert [faulty.is_lost(stamp) for stamp in stamps] == [is_lost(faults, SEED, stamp) for stamp in stamps]
    assert faulty.delay(STAMP) == 0.2


def test_it_is_the_same_of_the_same_parts(simulator: Simulator) -> None:
    assert FaultySimulator(simulator, FAULTS) == FaultySimulator(simulator, replace(FAULTS))
    assert FaultySimulator(simulator, FAULTS) != FaultySimulator(simulator, FaultSettings())
    assert FaultySimulator(simulator, FAULTS) != FaultySimulator(simulator.replace(seed=SEED), FAULTS)


def test_a_pose_that_is_none_is_refused(simulator: Simulator) -> None:
    with pytest.raises(PoseError, match="finite"):
        FaultySimulator(simulator, FAULTS).render(np.full((4, 4), np.nan), STAMP)
