"""Datasets: what the shards hold, that a batch equals single frames, and that an interrupted one goes on."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from tests.core.patients import box_patient

from us_sim.core import patient_source
from us_sim.core.compute.device import Device
from us_sim.core.config import ImageSettings
from us_sim.core.contact.force import wrench
from us_sim.core.contact.mechanics import MechanicsSettings
from us_sim.core.errors import DeviceError, RecordingError
from us_sim.core.faults import FaultSettings, is_lost
from us_sim.core.files import is_partial
from us_sim.core.geometry.probe import PRESETS
from us_sim.core.patient.patient import Patient, builtin_patient
from us_sim.core.robot.motion import motion
from us_sim.core.simulator import Simulator
from us_sim.offline import dataset, render
from us_sim.offline.dataset import Dataset, card_of
from us_sim.offline.replay import Replay
from us_sim.poses.trajectory import paced


@lru_cache
def phantom() -> Patient:
    return builtin_patient(0)


@pytest.fixture(scope="module")
def patient() -> Patient:
    return phantom()


@pytest.fixture(scope="module")
def simulator(patient: Patient) -> Simulator:
    return Simulator(patient, device="cpu", mechanics=MechanicsSettings(breathing_amplitude=9.0))


@pytest.fixture(autouse=True)
def _small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dataset, "SHARD", 4)


@lru_cache
def sweep() -> NDArray[np.float64]:
    return motion("liver_sweep", phantom(), 10)


def replay(simulator: Simulator, faults: FaultSettings | None = None) -> Replay:
    return Replay(simulator, paced(sweep(), 2.0), faults or FaultSettings(), print)


def filled(folder: Path, of: Replay, batch: int = 3, ct_slice: bool = True) -> list[dict[str, Any]]:
    made = Dataset(folder, card_of(of, {"motion": "liver_sweep"}, ct_slice=ct_slice))
    assert sum(made.fill(of, batch, ct_slice=ct_slice)) == 10
    assert made.missing() == []
    return shards(folder)


def shards(folder: Path) -> list[dict[str, Any]]:
    return [dict(np.load(file, allow_pickle=False)) for file in sorted(folder.glob("shard_*.npz"))]


def digests(folder: Path) -> dict[str, str]:
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in folder.iterdir()}


def test_a_dataset_holds_what_single_frames_show(simulator: Simulator, tmp_path: Path) -> None:
    of = replay(simulator)
    found = filled(tmp_path / "set", of)
    assert [len(shard["number"]) for shard in found] == [4, 4, 2]
    whole = {name: np.concatenate([shard[name] for shard in found]) for name in found[0]}
    poses, before = of.trajectory.poses, None
    np.testing.assert_array_equal(whole["number"], np.arange(10))
    np.testing.assert_array_equal(whole["stamp"], 500_000_000 * np.arange(10))
    np.testing.assert_array_equal(whole["ct_from_probe"], poses)
    assert {str(device) for device in whole["device"]} == {"cpu"}
    for number, pose in enumerate(poses):
        frame = simulator.render(pose, times=[0.5 * number])
        now = simulator.indentation(pose)
        felt = wrench(now, simulator.mechanics, before, 0.5)
        for name in ("image", "labels", "ct_slice"):
            np.testing.assert_array_equal(whole[name][number], getattr(frame, name))
        assert whole["coupling"][number] == np.float32(frame.contact.coupling)
        assert whole["penetration"][number] == frame.contact.penetration
        np.testing.assert_array_equal(whole["force"][number], felt.force)
        np.testing.assert_array_equal(whole["torque"][number], felt.torque)
        before = now
    assert whole["image"].dtype == np.uint8
    assert whole["ct_slice"].dtype == np.int16


def test_the_card_says_what_it_was_made_with(simulator: Simulator, tmp_path: Path) -> None:
    filled(tmp_path, replay(simulator), ct_slice=False)
    card = json.loads((tmp_path / "card.json").read_text())
    assert card["patient"] == {"name": simulator.patient.name, "sha256": simulator.patient.sha256}
    assert card["poses"]["motion"] == "liver_sweep"
    assert card["poses"]["count"] == 10
    assert (card["probe"]["kind"], card["probe"]["depth"], card["seed"]) == ("convex", PRESETS["c5_2"].depth, 0)
    assert (card["settings"]["gain"], card["mechanics"]["breathing_amplitude"]) == (0.0, 9.0)
    assert (card["renderer"], card["generator"], card["classes"]["liver"]) == ("physics", None, 1)
    assert card["versions"]["numpy"] == np.__version__
    assert "ct_slice" not in shards(tmp_path)[0]


def test_a_shard_that_is_not_whole_is_made_again(simulator: Simulator, tmp_path: Path) -> None:
    """Emptied, changed, and never noted: a disk that was full, a copy that was cut, a kill before the note."""
    filled(tmp_path, replay(simulator))
    before = digests(tmp_path)
    (tmp_path / "shard_00000.npz").write_bytes(b"")
    data = bytearray((tmp_path / "shard_00001.npz").read_bytes())
    data[3000] ^= 1
    (tmp_path / "shard_00001.npz").write_bytes(data)
    sums = (tmp_path / "shards.sha256").read_text().splitlines(keepends=True)
    assert sums == [f"{before[f'shard_0000{n}.npz']}  shard_0000{n}.npz\n" for n in range(3)]
    (tmp_path / "shards.sha256").write_text("".join(sums[:2]))
    of = replay(simulator)
    made = Dataset(tmp_path, card_of(of, {"motion": "liver_sweep"}, ct_slice=True))
    assert made.damaged == ["shard_00000.npz", "shard_00001.npz", "shard_00002.npz"]
    assert sum(made.fill(of, 3, ct_slice=True)) == 10
    assert digests(tmp_path) == before


def test_an_interrupted_dataset_goes_on_to_the_same_bytes(simulator: Simulator, tmp_path: Path) -> None:
    filled(tmp_path / "whole", replay(simulator))
    of = replay(simulator)
    made = Dataset(tmp_path / "cut", card_of(of, {"motion": "liver_sweep"}, ct_slice=True))
    steps = made.fill(of, 3, ct_slice=True)
    for _ in range(7):
        next(steps)
    steps.close()  # as an exception in the loop does
    assert [file.name for file in sorted((tmp_path / "cut").iterdir())] == [
        "card.json",
        "shard_00000.npz",
        "shards.sha256",
    ]
    (tmp_path / "cut" / ".shard_00001.1.partial.npz").write_bytes(b"half a shard")
    assert [list(shard) for shard in made.missing()] == [[4, 5, 6, 7], [8, 9]]
    again = Dataset(tmp_path / "cut", card_of(of, {"motion": "liver_sweep"}, ct_slice=True))
    assert sum(again.fill(of, 2, ct_slice=True)) == 6
    assert digests(tmp_path / "cut") == digests(tmp_path / "whole")


def test_other_settings_are_refused_by_name(simulator: Simulator, tmp_path: Path) -> None:
    filled(tmp_path, replay(simulator))
    before = digests(tmp_path)
    other = replay(simulator.replace(settings=ImageSettings(gain=3.0), seed=7), FaultSettings(fault_flip=True))
    with pytest.raises(
        RecordingError,
        match=r"holds a dataset of other settings: settings\.gain is 0\.0 there, 3\.0 here; faults\.fault_flip is "
        r"False there, True here; seed is 0 there, 7 here; give it the settings of its card, or take another folder",
    ):
        Dataset(tmp_path, card_of(other, {"motion": "liver_sweep"}, ct_slice=True))
    with pytest.raises(RecordingError, match="ct_slice is True there, False here"):
        Dataset(tmp_path, card_of(replay(simulator), {"motion": "liver_sweep"}, ct_slice=False))
    assert digests(tmp_path) == before


def test_a_folder_of_other_files_is_left_alone(simulator: Simulator, tmp_path: Path) -> None:
    card = card_of(replay(simulator), {}, ct_slice=False)
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(RecordingError, match="holds other files; expected an empty or new folder, or a dataset"):
        Dataset(tmp_path, card)
    (tmp_path / "card.json").write_text("{")
    with pytest.raises(RecordingError, match=r"card\.json: not JSON .*; expected a dataset's card: take another"):
        Dataset(tmp_path, card)
    with pytest.raises(FileExistsError):
        Dataset(tmp_path / "notes.txt", card)


def test_lost_frames_are_left_out(simulator: Simulator, tmp_path: Path) -> None:
    faults = FaultSettings(fault_drop=0.6)
    found = filled(tmp_path, replay(simulator, faults))
    kept = [n for n in range(10) if not is_lost(faults, 0, 500_000_000 * n)]
    assert 0 < len(kept) < 10
    np.testing.assert_array_equal(np.concatenate([shard["number"] for shard in found]), kept)
    everything = filled(tmp_path / "none", replay(simulator, FaultSettings(fault_drop=1.0)))
    assert [shard["image"].shape for shard in everything] == [(0, 256, 256)] * 3
    assert everything[0]["ct_from_probe"].shape == (0, 4, 4)


def test_a_full_disk_ends_it(simulator: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    of = replay(simulator)
    made = Dataset(tmp_path, card_of(of, {}, ct_slice=False))
    monkeypatch.setattr(dataset.np, "savez", full)
    with pytest.raises(OSError, match="No space left on device"):
        list(made.fill(of, 3, ct_slice=False))
    assert [len(shard) for shard in made.missing()] == [4, 4, 2]


class Gpu:
    """A simulator that pretends to be on a GPU, counts its batches and fails at the third."""

    device = Device(torch.device("cpu"), "cuda:0 (pretended)", "requested")

    def __init__(self, real: Simulator) -> None:
        self.real, self.sizes = real, []  # type: ignore[var-annotated]

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)

    def on_cpu(self, reason: str) -> Simulator:
        self.reason = reason
        return self.real

    def render_batch(self, poses: Any, **outputs: Any) -> Any:
        self.sizes.append(len(poses))
        if len(self.sizes) == 3:
            raise DeviceError("cuda:0 failed: OutOfMemoryError")
        return self.real.render_batch(poses, **outputs)


def test_a_gpu_draws_full_batches_and_is_left_when_it_fails(
    simulator: Simulator, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gpu: Any = Gpu(simulator)
    found = filled(tmp_path, replay(gpu), batch=3)
    assert gpu.sizes == [3, 3, 3]  # a shard of four: three, then one filled up to three; then the GPU fails
    assert gpu.reason == "cuda:0 failed: OutOfMemoryError"
    assert "cuda:0 failed: OutOfMemoryError; going on with the CPU" in capsys.readouterr().out
    assert [str(device).split()[0] for device in np.concatenate([shard["device"] for shard in found])] == (
        ["cuda:0"] * 4 + ["cpu"] * 6
    )
    np.testing.assert_array_equal(np.concatenate([shard["number"] for shard in found]), np.arange(10))


# -- the command -----------------------------------------------------------------------------------------


def arguments(folder: Path, count: int) -> list[str]:
    return ["--batch", "2", "--count", str(count), "--renderer", "physics", "--generator", "abdomen_lite", "--out",
            str(folder)]  # fmt: skip


def test_the_command_survives_a_kill(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "import sys; from us_sim.offline import dataset, render; dataset.SHARD = 4; "
               "sys.exit(render.main(sys.argv[1:]))", *arguments(tmp_path, 400)]  # fmt: skip
    process = subprocess.Popen(command, env={**os.environ, "OMP_NUM_THREADS": "1"}, stderr=subprocess.PIPE)
    end = time.monotonic() + 200
    while len(list(tmp_path.glob("shard_*.npz"))) < 3:
        assert process.poll() is None
        assert time.monotonic() < end
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    whole = shards(tmp_path)  # every one can be read
    assert [shard["number"].tolist() for shard in whole] == [[4 * i, 4 * i + 1, 4 * i + 2, 4 * i + 3]
                                                             for i in range(len(whole))]  # fmt: skip


def test_the_command_goes_on_and_says_so(
    patient: Patient, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patient_source, "builtin_patient", lambda seed, detail=True: patient)
    assert render.main(arguments(tmp_path, 6)) == 0
    (tmp_path / "shard_00001.npz").unlink()
    assert render.main(arguments(tmp_path, 6)) == 0
    assert "4 of 6 poses are done already" in capsys.readouterr().err
    assert render.main([*arguments(tmp_path, 6), "--gain", "6"]) == 2
    assert "other settings: settings.gain is 0.0 there, 6.0 here; give it" in capsys.readouterr().err
    drawn = [*arguments(tmp_path / "drawn", 2), "--renderer", "generator"]
    assert render.main(drawn) == 0
    assert {str(device).split()[0] for device in shards(tmp_path / "drawn")[0]["device"]} == {"cpu,"}
    assert render.main([*drawn, "--generator", "abdomen"]) == 2
    told = capsys.readouterr().err
    assert "generator.sha256 is " in told
    assert "generator.card" not in told


def test_workers_fill_shard_by_shard_what_one_process_fills(
    patient: Patient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def spread(work: Any, items: Any, workers: int, scheduler: str) -> Any:
        assert (workers, scheduler) == (2, "tcp://here:1")
        return [(item, work(item)) for item in reversed(list(items))]

    monkeypatch.setattr(patient_source, "builtin_patient", lambda seed, detail=True: patient)
    monkeypatch.setattr(render, "spread", spread)
    assert render.main(arguments(tmp_path / "one", 6)) == 0
    assert render.main([*arguments(tmp_path / "two", 6), "--workers", "2", "--scheduler", "tcp://here:1"]) == 0
    names = [path.name for path in sorted((tmp_path / "one").iterdir())]
    assert names == [path.name for path in sorted((tmp_path / "two").iterdir())]
    assert all((tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes() for name in names)


def killed_in_the_middle(options: tuple[tuple[str, Any], ...], shard: range, told: Path) -> None:
    """`_shard` in a worker; the first is killed -9 when its shard is written, but not yet in its place."""
    dataset.SHARD = 4
    try:
        told.touch(exist_ok=False)
        Path.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)  # type: ignore[assignment,method-assign]
    except FileExistsError:
        pass
    render._shard(options, shard)


def test_two_workers_of_which_one_is_killed_write_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("distributed", reason="Dask is not installed: extra cluster")
    volume = box_patient().volume
    nibabel.save(nibabel.Nifti1Image(volume.hu, volume.ct_from_voxel), tmp_path / "box.nii.gz")
    made = ["--ct", str(tmp_path / "box.nii.gz"), "--motion", "liver_sweep"]
    assert render.main([*arguments(tmp_path / "one", 12), *made]) == 0
    monkeypatch.setattr(render, "_shard", partial(killed_in_the_middle, told=tmp_path / "killed"))
    assert render.main([*arguments(tmp_path / "two", 12), *made, "--workers", "2"]) == 0
    assert (tmp_path / "killed").exists()
    written = [
        {path.name: path.read_bytes() for path in (tmp_path / name).iterdir() if not is_partial(path)}
        for name in ("one", "two")
    ]
    assert len(written[0]) == 5  # card, checksums, three shards
    assert written[0] == written[1]


def test_an_interrupt_says_how_to_go_on(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
                                        tmp_path: Path) -> None:  # fmt: skip
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(render, "_render", interrupted)
    assert render.main(arguments(tmp_path, 6)) == 130
    assert capsys.readouterr().err == "us_sim_render: interrupted; the same command resumes where it stopped\n"
