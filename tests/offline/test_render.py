"""The command `us_sim_render`: poses in, PNGs and a contact sheet out, one line for what is wrong."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from us_sim.core.compute.device import Device
from us_sim.core.config import ImageSettings, SimConfig
from us_sim.core.contact.mechanics import MechanicsSettings
from us_sim.core.contact.touch import Touch, touch_at
from us_sim.core.errors import ConfigError, DeviceError
from us_sim.core.frame import Frame
from us_sim.core.geometry.probe import PRESETS, ProbeGeometry
from us_sim.core.geometry.transforms import Matrix, pose_on_skin
from us_sim.core.patient.patient import Patient
from us_sim.core.patient.surface import skin_of
from us_sim.core.patient.volume import CtVolume
from us_sim.core.tissue import CLASS_COLORS, TissueClass
from us_sim.offline import render
from us_sim.offline.sheet import CAPTION, GAP, contact_sheet, pictures

PROBE = PRESETS["c5_2"]


def body() -> Patient:
    """A box of liver, 300×210×240 mm."""
    hu = np.full((60, 45, 50), -1000, np.int16)
    tissue = np.zeros(hu.shape, np.uint8)
    hu[5:55, 5:40, 5:45], tissue[5:55, 5:40, 5:45] = 50, TissueClass.LIVER
    volume = CtVolume(hu, tissue, np.diag([6.0, 6.0, 6.0, 1.0]), "box", "0" * 64, ("made by hand",))
    return Patient(volume, skin_of(volume))


class FakeSimulator:
    """Left half of the frame bright, slice of 50 HU, all liver: what the pictures are made of is known."""

    def __init__(self) -> None:
        self.patient, self.probe, self.renderer, self.generator = body(), PROBE, "physics", None
        self.settings, self.mechanics, self.seed = ImageSettings(), MechanicsSettings(), 0
        self.device, self.touched = Device.cpu("requested"), list[Matrix]()
        self.poses: list[Matrix] = []
        self.times: list[float] = []

    def touch(self, pose: Matrix) -> Touch:
        self.touched.append(pose)
        return touch_at(self.patient, self.probe, self.mechanics, pose)

    def touches(self, poses: Matrix) -> list[Touch]:
        return [self.touch(pose) for pose in poses]

    def render_batch(
        self,
        poses: Matrix,
        *,
        times: Sequence[float],
        coupling: NDArray[np.float32] | None,
        touches: Sequence[Touch],
        ct_slice: bool,
    ) -> list[Frame]:
        self.times.extend(times)
        return [self.render(pose, touch) for pose, touch in zip(poses, touches, strict=True)]

    def render(self, pose: Matrix, touch: Touch | None = None) -> Frame:
        self.poses.append(pose)
        touch = touch or self.touch(pose)
        image = np.zeros((256, 256), np.uint8)
        image[:, :128] = 200
        liver = np.full((256, 256), TissueClass.LIVER, np.uint8)
        ct_slice = np.full((256, 256), 50, np.int16)
        return Frame(image * PROBE.fan_mask, ct_slice, liver, touch.contact, touch.wrench, pose, "physics")


@pytest.fixture
def simulator(monkeypatch: pytest.MonkeyPatch) -> FakeSimulator:
    fake = FakeSimulator()
    monkeypatch.setattr(render, "open_simulator", lambda config, settings, probe, mechanics: fake)
    return fake


def test_motion_becomes_pictures_and_a_sheet(simulator: FakeSimulator, tmp_path: Path) -> None:
    out = tmp_path / "deep" / "out"
    assert render.main(["--out", str(out), "--count", "5", "--sheet"]) == 0
    assert render.main(["--out", str(out), "--count", "5", "--sheet"]) == 0  # what it has written, it may replace
    expected = {f"{kind}_{n:03d}.png" for kind in ("image", "slice", "labels") for n in range(5)}
    assert {path.name for path in out.iterdir()} == expected | {"sheet.png"}
    image = Image.open(out / "image_003.png")
    assert image.mode == "L"
    assert image.size == (256, 256)
    dx, dz = PROBE.pixel_spacing
    assert image.info["dpi"] == pytest.approx((25.4 / dx, 25.4 / dz), rel=1e-2)  # the pixels' true size
    np.testing.assert_array_equal(
        np.asarray(image)[PROBE.fan_mask], np.where(np.arange(256) < 128, 200, 0)[np.nonzero(PROBE.fan_mask)[1]]
    )


def test_a_gpu_that_fails_is_left_for_the_cpu(
    simulator: FakeSimulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    going_on, reasons = FakeSimulator(), []

    def on_cpu(reason: str) -> FakeSimulator:
        reasons.append(reason)
        return going_on

    def fail(poses: Matrix, **outputs: Any) -> list[Frame]:
        raise DeviceError("cuda:0 failed: OutOfMemoryError")

    monkeypatch.setattr(simulator, "on_cpu", on_cpu, raising=False)
    monkeypatch.setattr(simulator, "render_batch", fail)
    assert render.main(["--out", str(tmp_path), "--count", "3"]) == 0
    assert reasons == ["cuda:0 failed: OutOfMemoryError"]
    assert len(going_on.poses) == len(list(tmp_path.glob("image_*.png"))) == 3
    assert "cuda:0 failed: OutOfMemoryError; going on with the CPU" in capsys.readouterr().err


def test_pictures_show_window_and_colours_inside_the_fan(simulator: FakeSimulator) -> None:
    frame = simulator.render(pose_on_skin([150, 240, 150], [0, 1, 0], [-1, 0, 0]))
    _, ct, labels = (np.asarray(picture) for picture in pictures(frame, PROBE))
    # 50 HU lies in the middle of −150..250: 127.5 rounds to the even 128.
    np.testing.assert_array_equal(np.unique(ct[PROBE.fan_mask]), [128])
    np.testing.assert_array_equal(ct[~PROBE.fan_mask], 0)
    assert (labels[PROBE.fan_mask] == CLASS_COLORS[TissueClass.LIVER]).all()
    np.testing.assert_array_equal(labels[~PROBE.fan_mask], 0)


def test_sheet_keeps_the_shape_of_the_fan(simulator: FakeSimulator) -> None:
    frames = [simulator.render(pose_on_skin([150, 240, 150], [0, 1, 0], [-1, 0, 0])) for _ in range(4)]
    sheet = contact_sheet(frames, PROBE, "title", columns=2)
    # The fan is 230.4 mm wide and 186.75 mm high (radii 50.4 and 230.4 mm, ±30°): pixels are square on the sheet.
    width, height = (sheet.width - GAP) / 2 / 3 - 4 / 3 * GAP, 187
    assert width / height == pytest.approx(230.4 / 186.75, rel=0.02)
    assert sheet.height == 2 * (height + CAPTION + GAP) + 2 * CAPTION + 3 * GAP
    liver = (np.asarray(sheet) == CLASS_COLORS[TissueClass.LIVER]).all(axis=-1)
    area = (230.4**2 - 50.4**2) * np.pi / 6 * (187 / 186.75) ** 2
    assert np.count_nonzero(liver) == pytest.approx(4 * area, rel=0.02)


def test_frame_without_outputs_has_no_pictures(simulator: FakeSimulator) -> None:
    full = simulator.render(np.eye(4))
    bare = replace(full, ct_slice=None)
    with pytest.raises(ValueError, match="without image, slice or labels"):
        pictures(bare, PROBE)


def test_poses_of_a_file_are_rendered_as_they_stand(simulator: FakeSimulator, tmp_path: Path) -> None:
    poses = [pose_on_skin([150, 240, z], [0, 1, 0], [-1, 0, 0]) for z in (100, 110, 120, 130, 140)]
    file = tmp_path / "poses.csv"
    np.savetxt(file, np.reshape(poses, (5, 16)), delimiter=",")
    assert render.main(["--poses", str(file), "--out", str(tmp_path)]) == 0
    np.testing.assert_allclose(simulator.poses, poses)
    simulator.poses.clear()
    assert render.main(["--poses", str(file), "--out", str(tmp_path), "--count", "3"]) == 0
    np.testing.assert_allclose(simulator.poses, poses[::2])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--ct", "/nowhere/ct.nii.gz"], "/nowhere/ct.nii.gz"),
        (["--labels", "seg.nii.gz"], "ct is empty; name the CT that the labels belong to"),
        (["--probe", "banana"], "unknown probe 'banana'; expected one of"),
        (["--depth", "900"], "depth is 900.0; expected 0 to 400"),
        (["--generator", "/nowhere/g.safetensors"], "/nowhere/g.safetensors: no such file"),
        (
            ["--probe", "l12_5"],
            "generator 'abdomen' does not fit this probe: it was trained on a convex probe, not "
            "a linear one; use renderer 'physics', or load another",
        ),
        (["--gain", "99"], "gain is 99.0; expected -40 to 40"),
        (["--breathing-amplitude", "nan"], "breathing_amplitude is nan; expected 0 to 40"),
        (["--fault-drop", "2"], "fault_drop is 2.0; expected 0 to 1"),
        (["--film", "sweep.avi"], "sweep.avi: unknown kind of film; expected a name that ends in .gif or .mp4"),
        (["--batch", "0"], "batch is 0; expected 1 to 256"),
        (["--batch", "8", "--sheet"], "--batch writes a dataset; expected --out DIR with it, and neither --film nor"),
        (["--count", "0"], "count is 0; expected 1 or more"),
        (["--poses", "/nowhere/poses.csv"], "/nowhere/poses.csv: No such file or directory; expected a file or folder"),
    ],
)
def test_bad_input_is_one_line_and_status_2(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert render.main([*arguments, "--out", str(tmp_path)]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert [line for line in lines if line.startswith("us_sim_render: ") and message in line]
    assert not any("Traceback" in line for line in lines)
    assert not list(tmp_path.iterdir())


def test_a_file_where_a_folder_belongs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    assert render.main(["--out", str(tmp_path / "file")]) == 2
    assert capsys.readouterr().err == f"us_sim_render: --out is {tmp_path / 'file'}, a file; expected a folder\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--out", "x", "--renderer", "crayon"], "argument --renderer: invalid choice: 'crayon'"),
        (["--out", "x", "--motion", "waltz"], "argument --motion: invalid choice: 'waltz'"),
        (["--out", "x", "--count", "many"], "argument --count: invalid int value: 'many'"),
        (["--out", "x", "--rate", "0"], "argument --rate: 0; expected 0.1 to 1000 poses a second"),
        (["--out", ""], "argument --out: it is empty; expected a path"),
        (["--film", ""], "argument --film: it is empty; expected a path"),
    ],
)
def test_wrong_arguments_end_with_status_2(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        render.main(arguments)
    assert end.value.code == 2
    assert f"us_sim_render: error: {message}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "no output; expected --out DIR for pictures or a dataset, or --film FILE"),
        (["--film", "sweep.gif", "--sheet"], "--sheet is written to a folder; expected --out DIR with it"),
        (
            ["--batch", "8", "--film", "sweep.gif"],
            "--batch writes a dataset; expected --out DIR with it, and neither --film nor --sheet",
        ),
    ],
)
def test_something_must_be_made(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert render.main(arguments) == 2
    assert capsys.readouterr().err == f"us_sim_render: {message}\n"


def test_motions_are_seen_at_the_rate_that_is_asked_for(simulator: FakeSimulator, tmp_path: Path) -> None:
    assert render.main(["--count", "4", "--rate", "8", "--out", str(tmp_path)]) == 0
    assert simulator.times == [0.0, 0.125, 0.25, 0.375]


def test_flags_follow_the_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    seen: list[tuple[SimConfig, ImageSettings, MechanicsSettings]] = []

    def refuse(config: SimConfig, settings: ImageSettings, probe: ProbeGeometry, mechanics: MechanicsSettings) -> None:
        seen.append((config, settings, mechanics))
        raise ConfigError("far enough")

    monkeypatch.setattr(render, "open_simulator", refuse)
    arguments = ["--label-scheme", "totalsegmentator", "--seed", "7", "--dynamic-range", "50", "--no-deformation",
                 "--breathing-amplitude", "12", "--out", str(tmp_path)]  # fmt: skip
    assert render.main(arguments) == 2
    config, settings, mechanics = seen[0]
    assert (config.label_scheme, config.seed, settings.dynamic_range) == ("totalsegmentator", 7, 50.0)
    assert mechanics == MechanicsSettings(deformation=False, breathing_amplitude=12.0)


def test_the_real_simulator_renders_without_ros(tmp_path: Path) -> None:
    code = (
        "import sys; from us_sim.offline.render import main; status = main(sys.argv[1:]); "
        "assert not [m for m in sys.modules if m.startswith(('rclpy', 'us_sim.ros'))]; sys.exit(status)"
    )
    arguments = ["--motion", "fan_tilt", "--count", "2", "--sheet", "--out", str(tmp_path)]
    subprocess.run([sys.executable, "-c", code, *arguments], check=True, timeout=240)
    image = np.asarray(Image.open(tmp_path / "image_000.png"))
    assert image[PROBE.fan_mask].mean() > 5
    assert not image[~PROBE.fan_mask].any()


def test_an_interrupt_leaves_whole_pictures_alone(
    simulator: FakeSimulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def save_half(picture: Image.Image, file: Path, **about: Any) -> None:
        save(picture, file, **about)
        if "labels_001" in file.name:
            file.write_bytes(file.read_bytes()[:20])
            raise KeyboardInterrupt

    save, command = Image.Image.save, ["--out", str(tmp_path), "--count", "3"]
    with monkeypatch.context() as patch:
        patch.setattr(Image.Image, "save", save_half)
        assert render.main(command) == 130
    assert capsys.readouterr().err.strip().endswith("us_sim_render: interrupted")
    there = sorted(path.name for path in tmp_path.iterdir())
    assert there == ["image_000.png", "image_001.png", "labels_000.png", "slice_000.png", "slice_001.png"]
    assert render.main(command) == 0


@pytest.mark.parametrize("name", ["image_002.png", "labels_000.png", "sheet.png"])
def test_a_picture_of_somebody_else_stays(
    name: str, simulator: FakeSimulator, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / name).write_bytes(b"mine")
    assert render.main(["--out", str(tmp_path), "--count", "5", "--sheet"]) == 2
    told = f"us_sim_render: {tmp_path / name}: is there already and was not written by us_sim_render; give another name"
    assert told in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_bytes() == b"mine"
