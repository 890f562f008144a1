"""The simulator as a whole: poses in, frames out, on a patient whose every voxel is known."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from tests.core.patients import HALF_BOX, box_patient, on_the_box, rotation

from us_sim.core import simulator as simulator_module
from us_sim.core.compute.device import Device
from us_sim.core.config import ImageSettings
from us_sim.core.contact.mechanics import MechanicsSettings
from us_sim.core.errors import ConfigError, PoseError
from us_sim.core.frame import Frame, Views
from us_sim.core.generator.artifact import Generator, build
from us_sim.core.generator.backend import TorchBackend
from us_sim.core.generator.backend_cuda import CudaBackend
from us_sim.core.generator.card import Card
from us_sim.core.generator.unet import Drawn
from us_sim.core.geometry.probe import ProbeGeometry, ProbeKind, preset
from us_sim.core.geometry.transforms import rigid
from us_sim.core.patient.patient import Patient
from us_sim.core.sampling.reslice import elevation_beam, reslice
from us_sim.core.simulator import Simulator
from us_sim.core.tissue import TissueClass

LINEAR = ProbeGeometry(
    ProbeKind.LINEAR, 60.0, aperture=40.0, width=64, height=64, scan_lines=64, samples=192, slice_thickness=2.0
)
CONVEX = ProbeGeometry(ProbeKind.CONVEX, 100.0, 50.0, 1.0, width=64, height=64, scan_lines=48, samples=192)
PHASED = ProbeGeometry(ProbeKind.PHASED, 80.0, 0.0, 1.2, 20.0, width=64, height=64, scan_lines=48, samples=192)
FINER = replace(CONVEX, width=96, height=128)
CARDS = {
    "paper": Card(CONVEX, width=0.0625),
    "polar rich": Card(
        CONVEX, "rich", "polar", windows=((-150.0, 250.0), (-1e3, 1e3)), classes=(0, 1, 5, 7), width=0.0625
    ),
    "physics": Card(CONVEX, source="physics", width=0.0625),
    "polar physics rich": Card(CONVEX, "rich", "polar", "physics", width=0.0625, norm="batch"),
}


@pytest.fixture(scope="module")
def patient() -> Patient:
    return box_patient()


@pytest.fixture(scope="module")
def simulator(patient: Patient) -> Simulator:
    return Simulator(patient, LINEAR, device="cpu")


def generator(card: Card) -> Generator:
    torch.manual_seed(0)
    network = build(card).eval().requires_grad_(False)
    return Generator(network, card, "tiny", "0" * 64, TorchBackend(network))


def image_of(frame: Frame) -> NDArray[np.uint8]:
    assert frame.image is not None
    return frame.image


def same(one: Frame, other: Frame) -> bool:
    arrays = [(one.image, other.image), (one.ct_slice, other.ct_slice), (one.labels, other.labels)]
    return all(a is not None and b is not None and a.tobytes() == b.tobytes() for a, b in arrays)


# -- frames ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("probe", [LINEAR, CONVEX, PHASED], ids=["linear", "convex", "phased"])
@pytest.mark.parametrize("renderer", ["physics", "ct"])
def test_a_frame(simulator: Simulator, probe: ProbeGeometry, renderer: str) -> None:
    pose = on_the_box()
    frame = simulator.replace(probe=probe, renderer=renderer).render(pose)
    image = image_of(frame)
    assert image.shape == (64, 64)
    assert (image.dtype, frame.renderer) == (np.uint8, renderer)
    np.testing.assert_array_equal(image[~probe.fan_mask], 0)
    shown = (image[probe.fan_mask] > 0).mean()
    assert shown == 1 if renderer == "physics" else shown > 0.9  # in the CT, gas and air are black
    hu, tissue = reslice(simulator.patient.volume, probe.pixel_points, pose)
    np.testing.assert_array_equal(frame.ct_slice, np.rint(hu))
    np.testing.assert_array_equal(frame.labels, tissue)
    assert frame.ct_slice is not None
    assert frame.ct_slice.dtype == np.int16
    np.testing.assert_array_equal(frame.ct_from_probe, pose)
    assert frame.contact.in_contact


def test_organs_lie_where_they_are(simulator: Simulator) -> None:
    """The face stands at x = −8, y = 64 of ct, the image's right is −x: the bone's centre at (−22, 34) lies 14 mm to
    the right of the middle, 30 mm deep, and is cut by the frame at 20 mm; the vessel's at (10, 20) 18 mm to the left,
    44 mm deep."""
    labels = simulator.render(on_the_box(x=-8.0, pressed=0.0), image=False, ct_slice=False).labels
    assert labels is not None
    for organ, left, right, depth in ((TissueClass.BONE, 4.0, 20.0, 30.0), (TissueClass.VESSEL, -20.0, -6.0, 44.0)):
        rows, columns = np.nonzero(labels == organ)
        assert columns.min() * 40 / 64 - 20 == pytest.approx(left, abs=2.5)  # half a voxel
        assert (columns.max() + 1) * 40 / 64 - 20 == pytest.approx(right, abs=2.5)
        assert (rows.mean() + 0.5) * 60 / 64 == pytest.approx(depth, abs=1.5)


def test_ct_renderer_shows_the_soft_window(simulator: Simulator) -> None:
    """−150 HU black, 250 HU white: 50 HU is 127.5."""
    frame = simulator.render(on_the_box(), renderer="ct")
    assert frame.ct_slice is not None
    expected = np.clip((frame.ct_slice + 150) / 400, 0, 1) * 255
    np.testing.assert_allclose(image_of(frame), expected, atol=1.0)
    assert frame.renderer == "ct"
    assert simulator.renderer == "physics"


def test_only_what_is_asked_for_is_made(simulator: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = simulator.render(on_the_box())
    frame = simulator.render(on_the_box(), ct_slice=False, labels=False)
    assert (frame.ct_slice, frame.labels) == (None, None)
    np.testing.assert_array_equal(image_of(frame), image_of(whole))
    frame = simulator.render(on_the_box(), image=False, labels=False)
    assert (frame.image, frame.labels) == (None, None)
    frame = simulator.render(on_the_box(), image=False, ct_slice=False)
    np.testing.assert_array_equal(frame.labels, whole.labels)
    monkeypatch.setattr(simulator._pipeline, "sampler", None)  # nothing is sampled
    frame = simulator.render(on_the_box(), image=False, ct_slice=False, labels=False)
    assert (frame.image, frame.ct_slice, frame.labels) == (None, None, None)
    assert frame.contact.in_contact


def test_a_thick_slice_is_averaged(simulator: Simulator) -> None:
    thick = replace(LINEAR, slice_thickness=6.0, elevation_planes=5)
    frame = simulator.replace(probe=thick).render(on_the_box())
    hu, tissue = reslice(simulator.patient.volume, LINEAR.pixel_points, on_the_box(), elevation_beam(6.0, 5))
    np.testing.assert_array_equal(frame.ct_slice, np.rint(hu))
    np.testing.assert_array_equal(frame.labels, tissue)
    assert not np.array_equal(image_of(frame), image_of(simulator.render(on_the_box())))


# -- determinism -----------------------------------------------------------------------------------------


def test_two_simulators_of_one_seed_give_the_same_bytes(patient: Patient, simulator: Simulator) -> None:
    again = Simulator(box_patient(), LINEAR, device="cpu")
    assert again.patient is not patient
    for pose in (on_the_box(), on_the_box(12.0, -7.0)):
        assert same(again.render(pose), simulator.render(pose))


def test_another_seed_gives_another_grain_of_the_same_anatomy(simulator: Simulator) -> None:
    one, other = simulator.render(on_the_box()), simulator.replace(seed=1).render(on_the_box())
    assert (image_of(one) != image_of(other)).mean() > 0.5
    np.testing.assert_array_equal(one.labels, other.labels)
    np.testing.assert_array_equal(one.ct_slice, other.ct_slice)


def test_moving_away_and_back_gives_the_same_frame(simulator: Simulator) -> None:
    start = simulator.render(on_the_box())
    for x in (3.0, 20.0, 500.0):
        assert not same(simulator.render(on_the_box(x)), start)
    assert same(simulator.render(on_the_box()), start)


def test_a_frame_keeps_its_pose(simulator: Simulator) -> None:
    pose = on_the_box()
    frame = simulator.render(pose)
    pose[0, 3] += 10  # the caller's loop goes on with the same array
    np.testing.assert_array_equal(frame.ct_from_probe, on_the_box())


@pytest.mark.parametrize("renderer", ["physics", "ct"])
def test_a_batch_equals_its_single_frames(simulator: Simulator, renderer: str) -> None:
    poses = np.stack([on_the_box(), on_the_box(30.0), on_the_box(pressed=-50.0), on_the_box(0.0, 20.0)])
    batch = simulator.render_batch(poses, renderer=renderer)
    assert len(batch) == 4
    for pose, frame in zip(poses, batch, strict=True):
        single = simulator.render(pose, renderer=renderer)
        np.testing.assert_array_equal(frame.ct_slice, single.ct_slice)
        np.testing.assert_array_equal(frame.labels, single.labels)
        # A matrix product may add up in another order for another batch: a grey level at most.
        np.testing.assert_allclose(image_of(frame).astype(int), image_of(single), atol=1)
        np.testing.assert_array_equal(frame.contact.line_coupling, single.contact.line_coupling)
        np.testing.assert_array_equal(frame.ct_from_probe, pose)
    assert simulator.render_batch(poses[:0]) == []


# -- contact ---------------------------------------------------------------------------------------------


def over_the_edge() -> NDArray[np.float64]:
    """The face's middle stands on the box's edge at x = 64: the image's right half, x < 64 of ct, is on the skin."""
    return on_the_box(x=HALF_BOX)


def test_lifted_lines_are_dark_and_the_others_stay(simulator: Simulator) -> None:
    frame = simulator.render(over_the_edge())
    coupling = frame.contact.line_coupling
    lifted, coupled = np.flatnonzero(coupling == 0), np.flatnonzero(coupling == 1)
    assert lifted.max() < 32 < coupled.max()
    assert min(len(lifted), len(coupled)) > 15
    image = image_of(frame).astype(float)  # 64 columns, one a scan line
    below = image[8:]  # under the probe's own reverberation
    bare = image_of(simulator.render(on_the_box(pressed=-60.0)))[8:]
    np.testing.assert_allclose(below[:, lifted[:-4]], bare[:, lifted[:-4]], atol=3)
    assert below[:, coupled[6:]].mean() > 3 * below[:, lifted[:-4]].mean()


def test_in_the_air_only_the_probes_own_reverberation_shows(simulator: Simulator) -> None:
    frames = simulator.render_batch(np.stack([on_the_box(pressed=-80.0), rigid(np.eye(3), [1e12, 0, -1e12])]))
    for frame in frames:
        image = image_of(frame).astype(float)
        assert not frame.contact.in_contact
        assert image[:3].mean() > image[20:].mean() + 4
        assert image[20:].std() < 3
        assert image.min() > 0  # the fan of a linear probe fills the frame
    assert frames[1].ct_slice is not None
    assert (frames[1].ct_slice == -1000).all()
    assert frames[1].labels is not None
    assert not frames[1].labels.any()
    np.testing.assert_allclose(image_of(frames[0]).astype(int), image_of(frames[1]), atol=1)


@pytest.mark.parametrize("renderer", ["physics", "generator"])
def test_any_finite_pose_gives_a_frame(patient: Patient, renderer: str) -> None:
    made = generator(CARDS["polar physics rich"])
    simulator = Simulator(patient, CONVEX, renderer=renderer, generator=made, device="cpu")
    rng = np.random.default_rng(0)
    near = rng.uniform(-100, 100, (6, 3))
    for place in (*near, [0, 0, 0], [0, -200, 0], [1e6, 0, 0], [1e12, -1e12, 1e12], [0, 1e300, 0]):
        frame = simulator.render(rigid(rotation(rng), place))
        image = image_of(frame)
        np.testing.assert_array_equal(image[~CONVEX.fan_mask], 0)
        assert 0 <= frame.contact.coupling <= 1


# -- replace ---------------------------------------------------------------------------------------------


def test_replace_shares_what_did_not_change(simulator: Simulator) -> None:
    louder = simulator.replace(settings=ImageSettings(gain=12.0))
    assert louder is not simulator
    assert (louder.patient, louder.probe) == (simulator.patient, simulator.probe)
    assert louder._pipeline.sampler is simulator._pipeline.sampler
    assert simulator.settings.gain == 0
    usual, loud = (image_of(s.render(on_the_box()))[8:].mean() for s in (simulator, louder))
    assert loud > usual + 10
    assert simulator.replace(probe=CONVEX)._pipeline.sampler is simulator._pipeline.sampler
    assert simulator.replace(renderer="ct").renderer == "ct"


def test_replace_makes_anew_what_patient_and_seed_touch(simulator: Simulator) -> None:
    other = box_patient(noise=0)
    assert simulator.replace(patient=other).patient is other
    assert not same(simulator.replace(patient=other).render(on_the_box()), simulator.render(on_the_box()))
    assert simulator.replace(seed=1).seed == 1
    assert simulator.replace(seed=1)._pipeline.sampler is not simulator._pipeline.sampler


def test_defaults_and_device(patient: Patient) -> None:
    simulator = Simulator(patient, device="cpu")
    assert (simulator.probe.kind, simulator.renderer) == (ProbeKind.CONVEX, "physics")
    assert simulator.settings == ImageSettings()
    assert simulator.device == Device.cpu("requested")


# -- generators ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CARDS)
def test_a_generator_renders(simulator: Simulator, name: str) -> None:
    drawing = simulator.replace(probe=CONVEX, generator=generator(CARDS[name]), renderer="generator")
    poses = np.stack([on_the_box(), on_the_box(5.0)])
    one, other = (image_of(frame) for frame in drawing.render_batch(poses))
    assert one.shape == (64, 64)
    np.testing.assert_array_equal(one[~CONVEX.fan_mask], 0)
    assert one[CONVEX.fan_mask].std() > 0
    assert not np.array_equal(one, other)
    single = drawing.render(poses[0])
    assert single.renderer == "generator"
    np.testing.assert_allclose(image_of(single).astype(int), one, atol=1)
    assert same(single, drawing.render(poses[0]))
    physics = drawing.render(poses[0], renderer="physics")
    assert not np.array_equal(image_of(physics), one)


def painted(card: Card, rows: Any, columns: Any) -> Generator:
    """A generator that does not look: white on some rows and columns of its own grid, black elsewhere."""
    made = generator(card)
    picture = torch.full((1, 3, *card.size), -1.0)
    picture[:, :, rows, columns] = 1.0
    made.network.drawn = lambda x: Drawn(picture.expand(len(x), -1, -1, -1), x)  # type: ignore[method-assign]
    return made


def centre(image: NDArray[np.uint8]) -> tuple[float, float]:
    row, column = (float(np.average(index, weights=image)) for index in np.indices(image.shape))
    return row, column


def test_a_cartesian_picture_lies_at_the_right_place_of_any_frame(simulator: Simulator) -> None:
    """White pixels at x = 10, z = 60 mm of the card's own frame appear there on another frame."""
    own = replace(CONVEX, given_spacing=(2.0, 2.0), given_first_pixel=(-64.0, -20.0))
    row, column = (60 + 20) // 2, (10 + 64) // 2
    made = painted(Card(own, width=0.0625), slice(row - 1, row + 2), slice(column - 1, column + 2))
    for probe in (own, CONVEX, FINER, FINER.with_depth(75.0)):
        image = image_of(simulator.replace(probe=probe, generator=made, renderer="generator").render(on_the_box()))
        (dx, dz), (x0, z0) = probe.pixel_spacing, probe.first_pixel
        bright = np.where(image > 60, image, 0)
        found = centre(bright)
        assert found == pytest.approx(((60 - z0) / dz, (10 - x0) / dx), abs=0.6)


@pytest.mark.parametrize("probe", [FINER, FINER.with_depth(75.0)])
def test_a_polar_picture_is_scan_converted(simulator: Simulator, probe: ProbeGeometry) -> None:
    """Line 36 of 48 over 1 rad: angle 36.5/48 − 0.5 = 0.2604; sample 100 of 192 at 52.34 mm, radius 102.34 mm."""
    made = painted(CARDS["polar rich"], slice(97, 104), slice(35, 38))
    image = image_of(simulator.replace(probe=probe, generator=made, renderer="generator").render(on_the_box()))
    x, z = 102.34 * math.sin(0.2604), 102.34 * math.cos(0.2604) - 50
    (dx, dz), (x0, z0) = probe.pixel_spacing, probe.first_pixel
    assert centre(np.where(image > 60, image, 0)) == pytest.approx(((z - z0) / dz, (x - x0) / dx), abs=0.6)


@pytest.mark.parametrize("renderer", ["physics", "ct", "generator"])
def test_a_narrow_sector_cuts_the_frame_and_leaves_what_it_shows(simulator: Simulator, renderer: str) -> None:
    """The probe's face, and with it contact and force, stay as they are."""
    made = generator(CARDS["polar rich"])
    whole = simulator.replace(probe=CONVEX, generator=made, renderer=renderer)
    cut = whole.replace(probe=replace(CONVEX, sector=0.5))
    shown, all_of_it = cut.render(on_the_box()), whole.render(on_the_box())
    inside = cut.probe.fan_mask
    np.testing.assert_array_equal(image_of(shown), np.where(inside, image_of(all_of_it), 0))
    assert 0.4 < inside.sum() / whole.probe.fan_mask.sum() < 0.6
    np.testing.assert_array_equal(shown.contact.line_coupling, all_of_it.contact.line_coupling)
    np.testing.assert_array_equal(shown.wrench.force, all_of_it.wrench.force)


def test_lifted_lines_of_a_generator_show_no_tissue(simulator: Simulator) -> None:
    made = painted(Card(LINEAR, width=0.0625), slice(None), slice(None))
    frame = simulator.replace(generator=made, renderer="generator").render(over_the_edge())
    coupling, image = frame.contact.line_coupling, image_of(frame)
    np.testing.assert_array_equal(image[:, np.flatnonzero(coupling == 1)[2:]], 255)
    assert image[20:, np.flatnonzero(coupling == 0)[:-2]].max() < 30


def test_gain_and_dynamic_range_of_a_generator(simulator: Simulator) -> None:
    """127.5 = 7 + 248 · 0.486, and 0.486^(1/1.5) = 0.618 of 55 dB: 11 dB more make it 0.818, 7 + 248 · 0.818^1.5."""
    made = painted(Card(LINEAR, width=0.0625), slice(0), slice(0))
    picture = torch.zeros(1, 3, 64, 64)
    made.network.drawn = lambda x: Drawn(picture.expand(len(x), -1, -1, -1), x)  # type: ignore[method-assign]
    for settings, grey in (
        (ImageSettings(), 127.5),
        (ImageSettings(gain=11.0), 190.5),
        (ImageSettings(gain=-40.0), 7),
        (ImageSettings(dynamic_range=82.5), 166.6),
    ):
        drawing = simulator.replace(generator=made, renderer="generator", settings=settings)
        np.testing.assert_allclose(image_of(drawing.render(on_the_box())), grey, atol=1)


@pytest.mark.parametrize(("beside", "share"), [(-40.0, 0.0), (0.0, 0.5), (40.0, 1.0)])
def test_a_frame_says_which_share_of_its_fan_the_ct_does_not_know(
    simulator: Simulator, beside: float, share: float
) -> None:
    """The fan is 40 mm wide and its middle lies so many mm beyond the outermost voxels on the right."""
    pose = on_the_box()
    pose[0, 3] = simulator.patient.volume.bounds[1][0] + beside
    assert simulator.render(pose, image=False, ct_slice=False, labels=False).unknown_fraction == pytest.approx(share)


# -- refusals --------------------------------------------------------------------------------------------


def test_unknown_renderer(simulator: Simulator) -> None:
    message = "renderer is 'gan'; expected one of generator, physics, ct"
    with pytest.raises(ConfigError, match=message):
        simulator.replace(renderer="gan")
    with pytest.raises(ConfigError, match=message):
        simulator.render(on_the_box(), renderer="gan")


def test_generator_renderer_without_a_generator(simulator: Simulator) -> None:
    message = "renderer is 'generator', but no generator is loaded; load one or use 'physics'"
    with pytest.raises(ConfigError, match=message):
        simulator.replace(renderer="generator")
    with pytest.raises(ConfigError, match=message):
        simulator.render(on_the_box(), renderer="generator")


def test_generator_of_another_fan(simulator: Simulator) -> None:
    with_other = simulator.replace(generator=generator(CARDS["paper"]))  # allowed while physics draws
    with_other.render(on_the_box())
    message = "generator 'tiny' does not fit this probe: it was trained on a convex probe, not a linear one"
    with pytest.raises(ConfigError, match=message):
        with_other.render(on_the_box(), renderer="generator")
    with pytest.raises(ConfigError, match=message):
        with_other.replace(renderer="generator")
    drawing = with_other.replace(probe=CONVEX, renderer="generator")
    with pytest.raises(ConfigError, match="trained to a depth of 100 mm, the probe shows 120"):
        drawing.replace(probe=CONVEX.with_depth(120.0))


def test_generator_on_another_device(simulator: Simulator) -> None:
    made = generator(Card(LINEAR, width=0.0625))
    elsewhere = replace(made, backend=TorchBackend(made.network, torch.device("meta")))
    with pytest.raises(ConfigError, match="was loaded for meta, the simulator runs on cpu; load it for that device"):
        simulator.replace(generator=elsewhere, renderer="generator")


@pytest.mark.parametrize(
    ("pose", "message"),
    [
        (np.full((4, 4), np.nan), "holds NaN or Inf"),
        (rigid(np.eye(3), [0, np.inf, 0]), "holds NaN or Inf"),
        (2 * np.eye(4), "is not rigid"),
        (rigid(np.diag([-1, 1, 1]), [0, 0, 0]), "is mirrored"),
        (np.eye(3), r"has shape \(1, 3, 3\)"),
        (np.stack([np.eye(4)] * 2), r"the poses have shape \(1, 2, 4, 4\); expected \(B, 4, 4\), or \(4, 4\)"),
    ],
)
def test_poses_that_are_refused(simulator: Simulator, pose: NDArray[np.float64], message: str) -> None:
    with pytest.raises(PoseError, match=message):
        simulator.render(pose)


def test_a_single_pose_is_no_batch(simulator: Simulator) -> None:
    with pytest.raises(PoseError, match=r"the poses have shape \(4, 4\); expected \(B, 4, 4\)"):
        simulator.render_batch(on_the_box())


# -- CUDA ------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("name", CARDS)
def test_cuda_agrees_with_the_cpu(patient: Patient, name: str) -> None:
    made = generator(CARDS[name])
    cpu = Simulator(patient, CONVEX, generator=made, device="cpu")
    on_cuda = replace(made, backend=CudaBackend(made.network, torch.device("cuda:0"), "tested"))
    cuda = Simulator(patient, CONVEX, generator=on_cuda, device="cuda")
    assert cuda.device.name.startswith("cuda:0 (")
    for pose in (on_the_box(3.0, 1.0), on_the_box(31.0, -7.0)):
        a, b = cpu.render(pose), cuda.render(pose)
        assert np.abs(image_of(a).astype(int) - image_of(b)).mean() < 0.5
        assert (a.labels == b.labels).mean() > 0.99  # type: ignore[union-attr]
        np.testing.assert_array_equal(image_of(cuda.render(pose)), image_of(b))
        assert image_of(cuda.render(pose, renderer="generator")).any()


@pytest.mark.parametrize("views", [{"image": False, "ct_slice": False}, {"ct_slice": False}])
def test_a_batch_that_breathes_and_is_pressed_in_is_its_frames_to_the_bit(
    views: Views, monkeypatch: pytest.MonkeyPatch
) -> None:
    probe = replace(preset("c5_2").with_depth(100.0), width=32, height=32, scan_lines=32, samples=64)
    mechanics = MechanicsSettings(breathing_amplitude=12.0)
    simulator = Simulator(box_patient(), probe, mechanics=mechanics, device="cpu")
    poses = np.stack([on_the_box(pressed=depth) for depth in (-20.0, 3.0, 9.0, 14.0)])
    times = [0.0, 1.0, 2.0, 2.5]
    alone = [simulator.render(pose, times=[time], **views) for pose, time in zip(poses, times, strict=True)]
    of_one = 250 * 32 * 64 if views.get("image", True) else 32 * 32 * 32  # bytes
    monkeypatch.setattr(simulator_module, "MOST_BYTES", 3 * of_one)  # so that the four take two passes
    for one, other in zip(simulator.render_batch(poses, times=times, **views), alone, strict=True):
        for name in ("image", "labels"):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
        assert one.phase == other.phase
        assert one.contact.coupling == other.contact.coupling
