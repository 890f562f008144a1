from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from tests.train.tiny import tiny_card

from scyclegan_train.data.aus_rus import AusRus
from scyclegan_train.data.fan_fit import fan_of
from scyclegan_train.data.fans import LIVER_SWEEP, FanGeometry, Resampler, fan_in_frame, read_fan
from scyclegan_train.data.faults import DataError, Faults
from scyclegan_train.data.frames import FrameFolder
from scyclegan_train.data.samples import PHYSICS, REAL
from scyclegan_train.data.us_masks import classes_of_colours, read_mask
from us_sim.core.geometry.probe import preset
from us_sim.core.tissue import TissueClass as T

# A frame of 300 × 240 pixels of 0.9 mm whose fan ends 180 mm below the face, as the card's.
SHAPE, FAN = (240, 300), FanGeometry((150.0, -30.0), (50.0, 250.0), math.radians(30), 0.9)
LIVER, SPLEEN, KIDNEY, UNLABELLED = (100, 0, 100), (255, 0, 255), (255, 255, 0), (10, 10, 10)


def fan_mask() -> NDArray[np.bool_]:
    return fan_in_frame(FAN, SHAPE)


def frame(seed: int = 0) -> NDArray[np.uint8]:
    """Speckle inside the fan, black outside."""
    grey = np.random.default_rng(seed).integers(40, 90, SHAPE)
    return np.where(fan_mask(), grey, 0).astype(np.uint8)


def disc(radius: float, angle: float, size: float = 12.0) -> NDArray[np.bool_]:
    """Pixels around a place in the fan that is given in pixels from its centre, and rad."""
    y, x = np.indices(SHAPE)
    centre = FAN.centre[0] + radius * math.sin(angle), FAN.centre[1] + radius * math.cos(angle)
    return np.asarray(np.hypot(x - centre[0], y - centre[1]) <= size)


def annotation(**areas: Any) -> NDArray[np.uint8]:
    colours = np.zeros((*SHAPE, 3), np.uint8)
    colours[fan_mask()] = UNLABELLED
    for colour, area in areas.values():
        colours[area] = colour
    return colours


def save(path: Path, pixels: NDArray[Any], **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three frames; two have masks, and one mask has no frame."""
    for n in range(3):
        save(tmp_path / "images" / f"f{n}.png", frame(n))
    for n in (0, 2, 9):
        save(tmp_path / "masks" / f"f{n}.png", annotation(liver=(LIVER, disc(150, 0.1))))
    return tmp_path


def opened(folder: Path, **options: Any) -> FrameFolder:
    return FrameFolder(folder / "images", tiny_card(), FAN, masks=folder / "masks", **options)


# -- geometry -----------------------------------------------------------------------------------------------


def test_a_disc_lands_at_its_polar_cell(tmp_path: Path) -> None:
    angle = math.radians(-20)
    grey = np.where(disc(150, angle), 255, 0).astype(np.uint8)
    save(tmp_path / "images" / "a.png", grey)
    save(tmp_path / "masks" / "a.png", annotation(kidney=(KIDNEY, disc(150, angle))))
    batch = opened(tmp_path, weak_lines=0).batch([0])
    # 100 pixels of 0.9 mm below the face: row 90 / (180 / 64) = 32; line (−20 + 30) / 60 · 32 = 5.3.
    rows, lines = torch.nonzero(batch.image[0] > 128, as_tuple=True)
    assert rows.float().mean() + 0.5 == pytest.approx(32.0, abs=0.3)
    assert lines.float().mean() + 0.5 == pytest.approx(32 / 6, abs=0.3)
    assert set(batch.tissue[batch.image > 250].tolist()) == {T.KIDNEY}


def test_the_same_on_a_cartesian_grid(tmp_path: Path) -> None:
    card = tiny_card("cartesian")
    save(tmp_path / "a.png", np.where(disc(150, 0.3), 255, 0).astype(np.uint8))
    image = FrameFolder(tmp_path, card, FAN, weak_lines=0).batch([0]).image[0]
    places = card.probe.pixel_points[image.numpy() > 128].mean(axis=0)
    # The card's face has a radius of 50.4 mm, the frame's of 45: the line's angle and the depth are kept.
    expected = (50.4 + 90) * math.sin(0.3), (50.4 + 90) * math.cos(0.3) - 50.4
    assert places[[0, 2]] == pytest.approx(expected, abs=2.5)


def test_without_spacing_depth_is_stretched_to_the_card() -> None:
    fan = FanGeometry((150, -30), (50, 150), 0.5)
    resampler = Resampler(tiny_card().probe, fan, polar=True)
    middle = resampler.y[:, 16]  # a central line: 100 pixels over 64 samples
    assert middle[0] == pytest.approx(-30 + 50 + 100 * 0.5 / 64, abs=0.05)
    assert middle[63] == pytest.approx(-30 + 50 + 100 * 63.5 / 64, abs=0.05)
    assert resampler.inside.all()


@pytest.mark.parametrize("polar", [False, True])
def test_as_a_whole_a_frame_is_moved_and_scaled_but_not_stretched(polar: bool) -> None:
    probe = preset("p4_2")  # 90° to 160 mm, its centre 10 mm behind the face
    fan = FanGeometry((100.0, 5.0), (30.0, 340.0), math.radians(30))  # 2 pixels a mm
    resampler = Resampler(probe, fan, polar, whole=True)
    points = probe.polar_points.transpose(1, 0, 2) if polar else probe.pixel_points
    np.testing.assert_allclose(resampler.x, 100 + 2 * points[..., 0], atol=1e-3)
    np.testing.assert_allclose(resampler.y, 5 + 2 * (points[..., 2] + 10), atol=1e-3)
    inside, radius = resampler.inside.numpy(), np.hypot(points[..., 0], points[..., 2] + 10)
    assert np.abs(np.degrees(np.arctan2(points[..., 0], points[..., 2] + 10)))[inside].max() == pytest.approx(30, abs=1)
    assert (radius[inside].min(), radius[inside].max()) == (pytest.approx(15, abs=1), pytest.approx(170, abs=1))


def test_as_a_whole_no_fan_goes_to_parallel_lines() -> None:
    with pytest.raises(DataError, match="cannot be laid over parallel scan lines as a whole; expected fit: lines"):
        Resampler(preset("l12_5"), LIVER_SWEEP, polar=False, whole=True)


def test_what_lies_deeper_than_the_frame_shows_is_not_valid(tmp_path: Path) -> None:
    shallow = FanGeometry(FAN.centre, (50.0, 150.0), FAN.half_angle, 0.9)  # 90 mm
    save(tmp_path / "a.png", frame())
    valid = FrameFolder(tmp_path, tiny_card(), shallow, weak_lines=0).batch([0]).valid[0]
    assert valid[:32].all()
    assert not valid[33:].any()


def test_outer_lines_of_a_wider_fan_go_to_the_outer_lines() -> None:
    wide = Resampler(tiny_card().probe, FanGeometry((150, -30), (50, 250), 0.6, 0.9), polar=True)
    angle = np.arctan2(wide.x - 150, wide.y + 30)
    assert angle[0, 0] == pytest.approx(-0.6 * 31 / 32)
    assert angle[9, 31] == pytest.approx(0.6 * 31 / 32)


def test_weak_lines_are_not_valid(tmp_path: Path) -> None:
    y, x = np.indices(SHAPE)
    dark = np.arctan2(x - 150, y + 30) < math.radians(-15)
    save(tmp_path / "a.png", np.where(dark, frame() // 10, frame()))
    for grid in ("polar", "cartesian"):
        card = tiny_card(grid)
        valid = FrameFolder(tmp_path, card, FAN).batch([0]).valid[0]
        x_mm, z_mm = card.probe.pixel_points[..., 0], card.probe.pixel_points[..., 2]
        angle = np.arctan2(x_mm, z_mm + 50.4) if grid == "cartesian" else np.tile(card.probe.line_angles, (64, 1))
        fan = torch.tensor(card.probe.fan_mask) if grid == "cartesian" else torch.ones_like(valid)
        assert not valid[torch.from_numpy(angle < math.radians(-19))].any()
        assert valid[torch.from_numpy(angle > math.radians(-11)) & fan].all()
    assert FrameFolder(tmp_path, tiny_card(), FAN, weak_lines=0).batch([0]).valid.all()


def test_imfusions_geometry_is_read(tmp_path: Path) -> None:
    convex = {"offset_px": [369.0, 22.0], "short_radius_px": 161.0, "long_radius_px": 724.0,
              "half_opening_angle_deg": 30.0}  # fmt: skip
    path = tmp_path / "geometry.json"
    path.write_text(json.dumps({"pixel_spacing_mm": 0.3, "convex": convex}))
    fan = read_fan(path)
    assert fan.centre == (369.0, -139.0)
    assert fan.half_angle == pytest.approx(math.pi / 6)
    assert (fan.radii, fan.spacing) == ((161.0, 724.0), 0.3)


def test_our_own_geometry_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "fan.json"
    path.write_text(json.dumps({"centre": [1, 2], "radii": [3, 40], "half_angle": 0.5}))
    assert read_fan(path) == FanGeometry((1, 2), (3, 40), 0.5, None)


@pytest.mark.parametrize("text", ["", "{}", '{"centre": [1], "radii": [1, 2], "half_angle": 1}', "[1]"])
def test_other_geometry_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "fan.json"
    path.write_text(text)
    with pytest.raises(DataError, match=r"fan\.json: no fan geometry"):
        read_fan(path)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"radii": (50, 20)}, "radii is"),
        ({"half_angle": 30.0}, "half_angle is 30"),
        ({"spacing": 0.0}, "spacing is 0"),
        ({"centre": (math.nan, 0)}, "centre is"),
    ],
)
def test_impossible_fans_are_refused(changes: dict[str, Any], match: str) -> None:
    values: dict[str, Any] = {"centre": (0, 0), "radii": (1, 2), "half_angle": 0.5, "spacing": 1.0}
    with pytest.raises(DataError, match=match):
        FanGeometry(**{**values, **changes})


def test_the_fan_is_found_in_the_frames(tmp_path: Path) -> None:
    logo = frame()
    logo[5:15, 5:40] = 255
    paths = [save(tmp_path / f"{n}.png", logo if n % 2 else frame(n)) for n in range(6)]
    found = fan_of(paths)
    assert found.centre == pytest.approx(FAN.centre, abs=4)
    assert found.half_angle == pytest.approx(FAN.half_angle, abs=0.02)
    assert found.radii == pytest.approx(FAN.radii, abs=4)


@pytest.mark.parametrize(
    ("pixels", "match"),
    [
        (np.pad(np.full((4, 4), 200, np.uint8), 60), "too few for a fan"),
        (np.pad(np.full((200, 120), 200, np.uint8), 20), r"no straight side|not like a fan's"),
    ],
)
def test_frames_without_a_fan_are_refused(tmp_path: Path, pixels: NDArray[np.uint8], match: str) -> None:
    with pytest.raises(DataError, match=match):
        fan_of([save(tmp_path / "a.png", pixels)])


# -- masks --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("colour", "expected"),
    [
        (LIVER, T.LIVER), (KIDNEY, T.KIDNEY), (SPLEEN, T.SPLEEN), ((0, 0, 255), T.PANCREAS), ((255, 0, 0), T.VESSEL),
        ((0, 255, 255), 0), ((0, 255, 0), T.FLUID), ((255, 255, 255), T.BONE), (UNLABELLED, 0), ((0, 0, 0), 0),
    ],
)  # fmt: skip
def test_colours_of_the_table(colour: tuple[int, int, int], expected: int) -> None:
    assert (classes_of_colours(np.full((8, 8, 3), colour, np.uint8)) == expected).all()


def test_an_alpha_channel_is_dropped(tmp_path: Path) -> None:
    colours = annotation(liver=(LIVER, disc(150, 0)))
    alpha = np.full((*SHAPE, 1), 77, np.uint8)
    plain = read_mask(save(tmp_path / "rgb.png", colours))
    assert np.array_equal(plain, read_mask(save(tmp_path / "rgba.png", np.concatenate([colours, alpha], axis=2))))
    assert np.array_equal(plain == T.LIVER, disc(150, 0))


def test_bleeding_edges_do_not_make_other_organs(tmp_path: Path) -> None:
    area = disc(150, 0.2, size=20)
    truth = annotation(spleen=(SPLEEN, area))
    small = Image.fromarray(truth).resize((150, 120), Image.Resampling.BILINEAR)
    blurred = np.asarray(small.resize((300, 240), Image.Resampling.BICUBIC))
    assert (np.abs(blurred.astype(int) - LIVER).max(axis=-1) < 40).any()  # the trap is there
    for path in (
        save(tmp_path / "a.jpg", truth, quality=75),
        save(tmp_path / "b.png", blurred),
    ):
        classes = read_mask(path)
        assert set(np.unique(classes)) == {0, T.SPLEEN}
        overlap = np.count_nonzero((classes == T.SPLEEN) & area)
        assert 2 * overlap / (np.count_nonzero(classes) + np.count_nonzero(area)) > 0.95


def test_single_channel_masks_hold_class_ids(tmp_path: Path) -> None:
    ids = np.where(disc(150, 0), int(T.KIDNEY), 0).astype(np.uint8)
    assert np.array_equal(read_mask(save(tmp_path / "a.png", ids)), ids)


def test_colours_outside_the_table_are_refused_by_name() -> None:
    colours = annotation(strange=((0, 128, 128), disc(150, 0)))
    with pytest.raises(DataError, match=r"colour \(0, 128, 128\) in \d+ pixels is not in the table"):
        classes_of_colours(colours)


def test_a_photo_is_no_annotation() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (40, 40, 3)).astype(np.uint8)
    with pytest.raises(DataError, match="no flat areas"):
        classes_of_colours(noise)


# -- folders ------------------------------------------------------------------------------------------------


def test_frames_without_masks_take_part_without_labels(folder: Path) -> None:
    frames = opened(folder)
    batch = frames.batch(range(3))
    assert sorted(batch.has_mask.tolist()) == [False, True, True]
    assert not batch.tissue[~batch.has_mask].any()
    assert all((tissue == T.LIVER).any() for tissue in batch.tissue[batch.has_mask])
    assert (batch.source == REAL).all()
    notes = dict(frames.faults.notes)
    assert notes[str(folder / "images" / "f1.png")] == "has no mask: it takes part without segmentation loss"
    assert "without an image" in notes[str(folder / "masks" / "f9.png")]
    assert not frames.faults.found


def test_an_epoch_shows_every_frame_once_in_an_order_of_its_own(folder: Path) -> None:
    frames = opened(folder)
    epochs = [frames.batch(range(3), epoch).image.sum(dim=(1, 2)).tolist() for epoch in range(4)]
    assert all(sorted(epoch) == sorted(epochs[0]) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) > 1
    assert torch.equal(frames.batch([2], 1).image, opened(folder).batch([0, 2], 1).image[1:])


def bad(folder: Path, what: str) -> str:
    """Spoil one file; return what is said about it."""
    images, masks = folder / "images", folder / "masks"
    if what == "unreadable":
        (images / "f0.png").write_bytes(b"no image")
        return "cannot be read as an image"
    if what == "truncated":
        (images / "f0.png").write_bytes((images / "f0.png").read_bytes()[:2000])
        return "cannot be read as an image"
    if what == "empty":
        save(images / "f0.png", np.zeros(SHAPE, np.uint8))
        return "every pixel is 0"
    if what == "deep":
        save(images / "f0.png", frame().astype(np.uint16) * 200)
        return "expected 8 bits"
    if what == "size":
        save(images / "f0.png", frame()[:-20])
        (masks / "f0.png").unlink()
        return "its size 300 x 220 is not that of the others"
    if what == "mask size":
        save(masks / "f0.png", annotation()[:-20])
        return "its size 300 x 220 is not that of its image, 300 x 240"
    if what == "colour":
        save(masks / "f0.png", annotation(strange=((200, 120, 0), disc(150, 0))))
        return r"colour \(200, 120, 0\)"
    if what == "ids":
        save(masks / "f0.png", np.full(SHAPE, 200, np.uint8))
        return "single-channel values from 200 to 200"
    assert what == "overlap"
    save(masks / "f0.png", annotation(liver=(LIVER, ~fan_mask())))
    return "0 % of its labels lie in the image's fan"


SPOILED = ["unreadable", "truncated", "empty", "deep", "size", "mask size", "colour", "ids", "overlap"]


@pytest.mark.parametrize("what", SPOILED)
def test_bad_files_are_left_out_and_named(folder: Path, what: str) -> None:
    reason = bad(folder, what)
    frames = opened(folder)
    assert len(frames) == 2
    [(path, found)] = frames.faults.found
    assert path.endswith("f0.png")
    with pytest.raises(DataError, match=reason):
        raise DataError(found)


@pytest.mark.parametrize("what", SPOILED)
def test_strict_stops_at_bad_files(folder: Path, what: str) -> None:
    reason = bad(folder, what)
    with pytest.raises(DataError, match=rf"f0\.png: .*{reason}"):
        opened(folder, faults=Faults(strict=True))


def test_a_folder_without_frames_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no images in it"):
        FrameFolder(tmp_path, tiny_card(), FAN)
    with pytest.raises(DataError, match="no such folder"):
        FrameFolder(tmp_path / "none", tiny_card(), FAN)


def test_a_folder_of_bad_frames_only_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"no usable frames among 1 files.*a\.png"):
        FrameFolder(tmp_path, tiny_card(), FAN)


def test_frames_that_are_not_there_are_refused(folder: Path) -> None:
    with pytest.raises(DataError, match="holds 3 frames; places up to 3"):
        opened(folder, places=[0, 3])


def test_faults_are_counted_and_printed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad(folder, "colour")
    opened(folder).faults.report()
    printed = capsys.readouterr().err
    assert "1 files left out" in printed
    assert "f0.png: colour (200, 120, 0)" in printed
    assert "f9.png: is a mask without an image" in printed


# -- US simulation & segmentation ---------------------------------------------------------------------------


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """The layout in small: AUS with masks, RUS with masks for a part of `test` and no folder for `train`."""
    root = tmp_path / "abdominal_US" / "abdominal_US"
    for part, split, count, masked, suffix in (
        ("AUS", "train", 3, 3, "png"), ("AUS", "test", 2, 2, "png"),
        ("RUS", "train", 3, 0, "jpg"), ("RUS", "test", 3, 1, "jpg"),
    ):  # fmt: skip
        for n in range(count):
            seed = 10 * n + len(part + split) + (part == "RUS") * 100
            save(root / part / "images" / split / f"{part}{n}.{suffix}", frame(seed))
        for n in range(masked):
            mask = annotation(liver=(LIVER, disc(150, 0)), vessel=((255, 0, 0), disc(150, 0, 3)))
            save(root / part / "annotations" / split / f"{part}{n}.png", mask)
    return tmp_path


def test_the_data_sets_parts_and_splits_are_read(dataset: Path) -> None:
    card = tiny_card()
    aus, rus = AusRus(dataset, "train", card, part="AUS"), AusRus(dataset, "train", card, part="RUS")
    test = AusRus(dataset / "abdominal_US", "test", card, part="RUS")
    assert (len(aus), len(rus), len(test)) == (3, 3, 3)
    assert aus.batch([0, 1, 2]).has_mask.all()
    assert not rus.batch([0, 1, 2]).has_mask.any()
    assert test.batch([0, 1, 2]).has_mask.sum() == 1
    assert (aus.batch([0]).source.item(), rus.batch([0]).source.item()) == (PHYSICS, REAL)
    tissue = aus.batch([0]).tissue[0]
    assert set(tissue.unique().tolist()) == {0, T.LIVER, T.VESSEL}
    # 100 of 200 pixels below the face, whatever the spacing: half way down.
    rows, lines = torch.nonzero(tissue == T.LIVER, as_tuple=True)
    assert rows.float().mean() + 0.5 == pytest.approx(32, abs=1)
    assert lines.float().mean() + 0.5 == pytest.approx(16, abs=1)


def test_frames_of_several_depths_in_one_size_get_their_own_fans(tmp_path: Path) -> None:
    """Nearer and wider: the same probe looks less deep, and its face lies lower in the frame."""
    near = FanGeometry((150.0, -60.0), (100.0, 280.0), math.radians(30), 0.6)
    for n in range(3):
        grey = np.random.default_rng(n).integers(40, 90, SHAPE)
        save(tmp_path / f"far{n}.png", frame(n))
        save(tmp_path / f"near{n}.png", np.where(fan_in_frame(near, SHAPE), grey, 0).astype(np.uint8))
    frames = FrameFolder(tmp_path, tiny_card(), None)
    assert [item.image.stem for item in frames.items] == ["far0", "far1", "far2", "near0", "near1", "near2"]
    assert not frames.faults.found
    means = frames.in_order(range(6)).image[:, 4:60, 3:29].mean(dim=(1, 2))
    assert means.tolist() == pytest.approx([64.5] * 6, abs=4)  # speckle fills the grid, whatever the depth


def test_too_few_frames_of_a_depth_are_named(tmp_path: Path) -> None:
    near = FanGeometry((150.0, -60.0), (100.0, 280.0), math.radians(30), 0.6)
    for n in range(3):
        save(tmp_path / f"far{n}.png", frame(n))
    save(tmp_path / "near.png", np.where(fan_in_frame(near, SHAPE), 70, 0).astype(np.uint8))
    frames = FrameFolder(tmp_path, tiny_card(), None)
    assert len(frames) == 3
    assert [(str(path), text) for path, text in frames.faults.found] == [
        (str(tmp_path / "near.png"), "its depth is that of 1 of 4 frames; expected 3 or more of each depth to find its "
         "fan, or a fan.json")
    ]  # fmt: skip


def test_the_data_sets_fan_may_lie_beside_its_frames(dataset: Path) -> None:
    part = dataset / "abdominal_US" / "abdominal_US" / "RUS"
    (part / "fan.json").write_text(json.dumps({"centre": [150, -30], "radii": [50, 150], "half_angle": 0.5}))
    whole = AusRus(dataset, "test", tiny_card(), part="RUS", fan=FAN).in_order([0]).image
    half = AusRus(dataset, "test", tiny_card(), part="RUS").in_order([0]).image
    assert (half - whole).abs().mean() > 5
    (part / "images" / "fan.json").write_text("{}")
    with pytest.raises(DataError, match="no fan geometry"):
        AusRus(dataset, "test", tiny_card(), part="RUS")


def test_frames_of_two_machines_get_their_own_fans(dataset: Path) -> None:
    images = dataset / "abdominal_US" / "abdominal_US" / "RUS" / "images" / "train"
    half = Image.fromarray(frame(5)).resize((SHAPE[1] // 2, SHAPE[0] // 2), Image.Resampling.NEAREST)
    half.save(images / "RUS0.jpg")
    rus = AusRus(dataset, "train", tiny_card(), part="RUS")
    assert len(rus) == 3
    assert not rus.faults.found
    # Speckle of the same brightness fills the fan, whatever the size of the frame.
    means = rus.batch([0, 1, 2]).image[:, 4:60, 3:29].mean(dim=(1, 2))
    assert means.tolist() == pytest.approx([64.5] * 3, abs=4)


def test_an_image_in_both_splits_is_left_out_of_training(dataset: Path) -> None:
    images = dataset / "abdominal_US" / "abdominal_US" / "AUS" / "images"
    with Image.open(images / "test" / "AUS0.png") as twin:  # the same pixels in a file of other bytes
        twin.convert("RGB").save(images / "train" / "AUS1.png", compress_level=1)
    aus = AusRus(dataset, "train", tiny_card())
    assert len(aus) == 2
    assert aus.faults.found == [
        (str(images / "train" / "AUS1.png"), "is in two splits: the same image as test/AUS0.png")
    ]
    with pytest.raises(DataError, match=r"AUS1\.png: is in two splits"):
        AusRus(dataset, "train", tiny_card(), faults=Faults(strict=True))


def test_other_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no folder RUS/images"):
        AusRus(tmp_path, "train", tiny_card(), part="RUS")
    with pytest.raises(DataError, match="expected AUS or RUS"):
        AusRus(tmp_path, "val", tiny_card())


# -- the real sweep -----------------------------------------------------------------------------------------


def test_the_real_sweep_fills_the_card(shared_data: Path) -> None:
    places = range(0, 102, 10)
    frames = FrameFolder(shared_data / "us_liver_sweep" / "frames", tiny_card(), LIVER_SWEEP, places=places)
    batch = frames.batch(range(len(frames)))
    assert len(frames) == 11
    assert not batch.has_mask.any()
    assert 0.7 < batch.valid.float().mean() < 0.99
    # Brightest near the skin, dark at depth; and no black corner: the fan fits.
    assert batch.image[:, 1:8].mean() > 50
    assert batch.image[:, 60:].mean() < 15
    assert batch.image[:, 2].min() > 10


def test_the_fan_of_the_real_sweep_is_found(shared_data: Path) -> None:
    found = fan_of(sorted((shared_data / "us_liver_sweep" / "frames").glob("*.png"))[::7], spacing=0.314818)
    assert found.centre == pytest.approx(LIVER_SWEEP.centre, abs=4)
    assert found.radii == pytest.approx(LIVER_SWEEP.radii, abs=4)
    assert found.half_angle == pytest.approx(LIVER_SWEEP.half_angle, abs=0.01)
