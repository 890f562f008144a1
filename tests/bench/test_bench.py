"""The libraries in the benchmark do the same work as ours; figures stand where they belong."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path
from subprocess import Popen
from typing import Any, cast

import numpy as np
import pytest
import torch
from scipy.ndimage import binary_dilation
from tests.core.patients import box_patient, on_the_box

from us_sim.bench import frame_profile, generators, suite, timing
from us_sim.core.compute.cores import cores
from us_sim.core.contact.mechanics import MechanicsSettings
from us_sim.core.generator import quantisation
from us_sim.core.generator.card import Card
from us_sim.core.generator.inference import accelerated
from us_sim.core.generator.unet import Drawn
from us_sim.core.geometry.probe import ProbeGeometry, ProbeKind
from us_sim.core.sampling.reslice import reslice
from us_sim.core.simulator import Simulator

PROBE = ProbeGeometry(ProbeKind.CONVEX, 150.0, 50.0, 1.0, width=64, height=64, scan_lines=32, samples=64)
CARD = Card(PROBE, width=0.0625, norm="batch")


@pytest.mark.parametrize("library", ["scipy", "sitk", "vtk"])
def test_every_library_gives_the_same_slice(library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if library != "scipy":
        pytest.importorskip({"sitk": "SimpleITK", "vtk": "vtkmodules"}[library])
    monkeypatch.setattr(suite, "SHAPE", (64, 60, 50))
    volume, pose = suite.big_volume(), suite.oblique_poses(1)[0]
    pose[:3, 3] = -170, -170, -125  # the middle of the small volume
    hu, tissue = reslice(volume, suite.POINTS, pose)
    theirs = [np.asarray(array).reshape(hu.shape) for array in getattr(suite, f"{library}_slice")(volume)(pose)]
    assert (hu > -1000).sum() > 500, "the plane misses the volume"
    assert (np.abs(theirs[0] - hu) > 1).mean() < 0.002  # SimpleITK and VTK round HU, and treat the border otherwise
    assert (theirs[1] != tissue).mean() < 0.005


# -- generators ------------------------------------------------------------------------------------------


def test_a_batch_is_compared_with_single_calls() -> None:
    poses = np.stack([on_the_box(x) for x in (0.0, 5.0, 10.0)])
    simulator = Simulator(box_patient(), PROBE, device="cpu")
    outputs = {"image": False, "ct_slice": False}
    rows = suite.batch.compared("labels", simulator, outputs, poses, 3)
    alone, together = rows["single call, labels"], rows["batch of 3, labels"]
    assert together["over_single"] == pytest.approx(alone["median"] / together["median"])
    assert together["most"] == pytest.approx(alone["median"] * cores() / together["cpu"])
    assert alone["median"] <= alone["p95"]


def test_a_batch_is_compared_with_another_version(monkeypatch: pytest.MonkeyPatch) -> None:
    """The other version takes 0.2 s for its two single calls, 100 ms each, and is asked for the row by its name."""
    asked = []

    def answer(process: object, line: str) -> str:
        asked.append((process, line))
        time.sleep(0.2)
        return "done"

    monkeypatch.setattr(suite.batch.against, "asked", answer)
    simulator, theirs = Simulator(box_patient(), PROBE, device="cpu"), cast("Popen[str]", object())
    poses = np.stack([on_the_box(x) for x in (0.0, 5.0)])
    row = suite.batch.compared("labels", simulator, {"image": False}, poses, 3, theirs)["batch of 2, labels"]
    assert row["over_other"] * row["median"] == pytest.approx(100.0, rel=0.5)
    assert asked == [(theirs, "labels")] * 4  # the first warms up


def test_any_version_runs_the_text_of_the_rows() -> None:
    """In a namespace of its own: nothing of the module is missing from it."""
    pytest.importorskip("gymnasium")
    given: dict[str, Any] = {}
    exec(suite.batch.against.text_of(suite.batch.simulators, call="made = list"), given)
    names = [name for name, _, _ in given["made"](given["simulators"](box_patient()))]
    assert names == ["labels 64x64", "labels 256x256", "physics 64x64", "physics 128x128", "lite"]


def test_random_weights_are_the_same_each_time_and_draw_something() -> None:
    one, other = generators.random_generator(CARD), generators.random_generator(CARD)
    assert one.sha256 == other.sha256
    assert len(one.sha256) == 64
    slices = generators.seen(one, box_patient(), 2)
    assert slices.shape == (2, 4, 64, 64)
    assert float(one.backend(slices).image.std()) > 0.05


def test_frames_are_timed_whole_and_without_their_network() -> None:
    """A network that takes 20 ms: what is besides it takes less, the whole frame more."""
    generator = generators.random_generator(CARD)
    eager = generator.backend

    class Slow:
        name, reason, device = "slow", "", eager.device

        def __call__(self, x: torch.Tensor) -> Drawn:
            end = time.perf_counter() + 0.02
            while time.perf_counter() < end:
                drawn = eager(x)
            return drawn

    rows = generators.frames("small", replace(generator, backend=Slow()), box_patient(), 5)
    assert list(rows) == [
        "frame by small, slow", "frame by small, slow, with slice and labels",
        "frame by small, slow, with slice and labels, all but the network",
        "frame by small, slow, with tissue deformation, all but the network",
    ]  # fmt: skip
    _, whole, besides, _ = (row["median"] for row in rows.values())
    assert whole > 20
    assert 0 < besides < whole - 10


def test_every_backend_is_measured_against_the_reference(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("US_SIM_CACHE", str(tmp_path))
    monkeypatch.setattr(quantisation, "SLICES", 4)
    generator = generators.random_generator(CARD)
    slices = generators.seen(generator, box_patient(), 3)
    rows = generators.measured(generator, slices, slices)
    assert next(iter(rows)) == "torch fp32"
    assert "openvino int8" in rows
    assert rows["torch fp32"]["eager"] == 1
    assert rows["torch fp32"]["ssim"] == pytest.approx(1)
    for row in rows.values():
        assert row["eager"] == pytest.approx(rows["torch fp32"]["median"] / row["median"])
        assert 0 < row["median"] <= row["p95"] * 1.001
        assert row["ssim"] > 0.5
    assert "ssim" not in generators.measured(generator, slices, None)["torch fp32"]


def test_likeness_looks_inside_the_fan_and_takes_the_worst() -> None:
    random = np.random.default_rng(0)
    expected = random.uniform(0, 255, (2, 64, 64)).astype(np.float32)
    drawn = expected.copy()
    far = ~binary_dilation(PROBE.fan_mask, np.ones((9, 9)))  # no window of 7 pixels around one of the fan meets it
    assert far.sum() > 50
    drawn[:, far] = 0
    assert generators.likeness(drawn, expected, CARD) == pytest.approx(1)
    polar = replace(CARD, grid="polar", probe=replace(PROBE, samples=64, scan_lines=64))  # has no outside
    assert generators.likeness(drawn, expected, polar) < 0.999
    drawn[1] = random.uniform(0, 255, (64, 64))
    assert generators.likeness(drawn, expected, CARD) < 0.1


def test_real_slices_are_compared_where_they_are_at_hand(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("US_SIM_DATA", str(tmp_path))
    assert generators.real_patient() is None
    monkeypatch.delenv("US_SIM_DATA")
    monkeypatch.chdir(tmp_path)
    assert generators.real_patient() is None


def test_works_take_turns() -> None:
    order: list[str] = []
    rows = timing.in_turns([lambda x: order.append(f"a{x}"), lambda x: order.append(f"b{x}")], [1, 2])
    assert order == ["a1", "b1", "a1", "b1", "a2", "b2"]  # the first turn warms up
    assert [set(row) for row in rows] == [{"median", "p95", "cpu"}] * 2


def test_cpu_time_is_apart_from_waiting() -> None:
    waits, counts = timing.in_turns([lambda _: time.sleep(0.05), lambda n: sum(range(n))], [10**6] * 3)
    assert waits["cpu"] < 0.5 * waits["median"]
    assert counts["cpu"] > 0


# -- the report ------------------------------------------------------------------------------------------


def test_figures_go_to_the_table_json_and_markdown(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    planes = {"us_sim reslice, sweep": {"median": 0.5, "p95": 1.0}, "scipy, sweep": {"median": 4.0, "p95": 5.0}}
    backends = {"generator x, openvino int8": {"median": 8.0, "p95": 9.0, "eager": 6.25, "ssim": 0.9876}}
    monkeypatch.setattr(suite, "slices", lambda repeats: planes)
    monkeypatch.setattr(suite, "frames", lambda repeats: {})
    monkeypatch.setattr(generators, "rows", lambda repeats: backends)
    batches = {"batch of 64, labels": {"median": 0.25, "p95": 0.25}}
    stepped = {"8 environments, labels": {"median": 0.5, "p95": 1.0}}
    monkeypatch.setattr(suite.batch, "rows", lambda repeats: batches)
    monkeypatch.setattr(suite.batch, "steps", lambda repeats: stepped)
    trips = {"round trip, x: image": {"median": 20.0, "p95": 25.0, "rate": 29.6}}
    monkeypatch.setattr(suite, "round_trips", lambda seconds: trips)
    json_file, markdown = tmp_path / "suite.json", tmp_path / "suite.md"
    assert suite.main(["--json", str(json_file), "--markdown", str(markdown)]) == 0
    report = json.loads(json_file.read_text())
    assert report["ms"] == {**planes, **batches, **stepped, **backends, **trips}
    about, empty, head, rule, *lines = markdown.read_text().splitlines()
    assert about.startswith(f"cpu {report['machine']['cpu']}, cores ")
    assert (empty, head.count("|"), rule.count("---")) == ("", 8, 7)
    assert lines == [
        "| us_sim reslice, sweep | 0.50 | 1.00 | 2000 | 1.0 |  |  |",
        "| scipy, sweep | 4.00 | 5.00 | 250 | 8.0 |  |  |",
        "| batch of 64, labels | 0.25 | 0.25 | 4000 |  |  |  |",
        "| 8 environments, labels | 0.50 | 1.00 | 2000 |  |  |  |",
        "| generator x, openvino int8 | 8.00 | 9.00 | 125 |  | 6.2 | 0.988 |",
        "| round trip, x: image | 20.00 | 25.00 | 30 |  |  |  |",
    ]
    assert "generator x, openvino int8" in capsys.readouterr().out
    monkeypatch.setattr(suite.batch, "rows", lambda repeats: {})  # without Gymnasium
    assert suite.main(["--json", str(json_file)]) == 0
    assert json.loads(json_file.read_text())["ms"] == {**planes, **backends, **trips}
    assert suite.main(["--quick", "--json", str(json_file)]) == 0
    assert json.loads(json_file.read_text())["ms"] == planes


def test_round_trips_are_left_out_where_they_cannot_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(suite.sys, "executable", "/bin/false")
    assert suite.round_trips(1.0) == {}
    assert "round trip of abdomen left out: no word" in capsys.readouterr().err


def test_the_stages_of_a_frame_add_up() -> None:
    card = Card(PROBE, "rich", "polar", width=0.0625, norm="batch")
    generator = accelerated(generators.random_generator(card), torch.device("cpu"))
    simulator = Simulator(box_patient(), PROBE, renderer="generator", generator=generator, device="cpu",
                          mechanics=MechanicsSettings())  # fmt: skip
    found = frame_profile.profiled(simulator, [on_the_box(x) for x in (0.0, 5.0, 10.0)], {})
    whole = found.pop("whole frame")
    assert sum(found.values()) == pytest.approx(whole)
    assert min(found.values()) > 0  # every stage is there, and none is counted twice
    assert found["the rest"] < 0.6 * whole


def test_traffic_of_a_network_by_hand() -> None:
    """64 × 64 pixels of 4 channels go into two convolutions of 4 filters, and so on down to 8 × 8 of 32."""
    generator = generators.random_generator(CARD)
    assert [block[0].out_channels for block in generator.network.down] == [4, 8, 16, 32]  # type: ignore[index]
    levels = [4096, 1024, 256, 64]
    down = [(4, 4), (4, 4), (4, 8), (8, 8), (8, 16), (16, 16), (16, 32), (32, 32)]
    values = sum(levels[i // 2] * (a + b) for i, (a, b) in enumerate(down))
    values += sum(levels[i + 1] * 2 * n + levels[i] * n for i, n in enumerate((4, 8, 16)))  # up
    values += sum(levels[i] * (2 * n + n + n + n) for i, n in enumerate((4, 8, 16)))  # after joining
    values += levels[0] * (4 + 3)
    of_norm = 2 * 2 * ((4 + 8 + 16 + 32) + (4 + 8 + 16))  # scale and shift, two layers in a block
    weights = sum(p.numel() for p in generator.network.parameters()) - of_norm
    assert frame_profile.traffic(generator) == 2 * (values + weights)


def test_the_profile_is_printed(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frame_profile, "SIDE", 64)
    monkeypatch.setattr(frame_profile, "COPIED", 1 << 16)
    monkeypatch.setattr(frame_profile, "builtin_patient", lambda seed: box_patient())
    monkeypatch.setattr(frame_profile, "motion", lambda name, patient, count: np.stack([on_the_box()] * count))
    assert frame_profile.main(["--device", "cpu", "--frames", "2", "--image-only"]) == 0
    told = capsys.readouterr().out
    for text in ("network", "arithmetic", "whole frame", "without the profiler: median"):
        assert text in told
