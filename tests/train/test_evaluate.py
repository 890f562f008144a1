"""The evaluation: its pieces by hand, its refusals, and once all of it."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from scyclegan_train import evaluate
from scyclegan_train.data.inputs import known_fan
from scyclegan_train.data.patient_source import phantom_cases
from scyclegan_train.evaluation import criteria, held_out, measure, metrics, reference_segmenter, report, stability
from scyclegan_train.evaluation.held_out import PROBE, Scene, Shuffled, along_lines, shuffle_table
from scyclegan_train.evaluation.intervals import Interval
from scyclegan_train.evaluation.measure import DEPTH_BINS, Findings, Frames, add_greys
from scyclegan_train.evaluation.reference_segmenter import ReferenceSegmenter
from scyclegan_train.method.networks import ct_generator, segmenter
from us_sim.core.generator.artifact import Generator, load_generator, save_generator
from us_sim.core.generator.card import Card
from us_sim.core.geometry.probe import preset
from us_sim.core.geometry.transforms import Matrix
from us_sim.core.patient.patient import Patient
from us_sim.core.robot.motion import motion
from us_sim.core.sampling.reslice import THIN
from us_sim.core.sampling.sampler import sampler_on
from us_sim.core.simulator import Simulator
from us_sim.core.tissue import TissueClass as T


def test_frames_lie_right_along_the_lines() -> None:
    """Grey equal to depth below the face's middle: a plane, which linear interpolation reproduces."""
    found = along_lines(PROBE.pixel_points[None, ..., 2].astype(np.float64))[0]
    wanted = PROBE.polar_points[..., 2].T
    inside = np.abs(wanted - 90) < 85
    np.testing.assert_allclose(found[inside], wanted[inside], atol=1e-3)
    assert found.shape == (PROBE.samples, PROBE.scan_lines)


def test_shuffled_labels_keep_no_organ_in_its_place() -> None:
    table = shuffle_table()
    assert table[[T.LIVER, T.KIDNEY, T.SPLEEN, T.PANCREAS]].tolist() == [T.KIDNEY, T.SPLEEN, T.PANCREAS, T.LIVER]
    assert table[T.BONE] == T.BONE
    assert sorted(table) == list(range(len(T)))


def test_every_way_to_the_labels_is_shuffled() -> None:
    """Also that of the scan lines, which a generator on a polar grid is fed from; HU and sound stay."""
    patient = phantom_cases([0])[0]()
    own, pose = sampler_on(torch.device("cpu"), patient, 0), motion("liver_sweep", patient, 3)[1:2]
    points, table = torch.tensor(PROBE.polar_points), torch.from_numpy(shuffle_table())
    shuffled = Shuffled(own)
    tissue = own.classes(points, pose)
    expected = table[tissue.long()]
    assert (expected != tissue).any()
    assert torch.equal(shuffled.slice(points, pose, THIN)[1], expected)
    assert torch.equal(shuffled.classes(points, pose), expected)
    found, whole = shuffled.anatomy(points, pose, THIN), own.anatomy(points, pose, THIN)
    assert torch.equal(found.tissue, expected)
    assert torch.equal(found.hu, whole.hu)
    assert torch.equal(found.scatter, whole.scatter)


def findings(dice: float, ridges: float, flicker: float, **more: float) -> Findings:
    found = Findings()
    for patient, aside in (("a", 0.0), ("b", 0.02)):
        for metric, value in {
            "dice organs": dice,
            "hallucinated structures": ridges,
            "flicker": flicker,
            **more,
        }.items():
            found.add(patient, metric, value + aside)
    return found


def made(dice: float = 0.79, printed: float = 0.1, physics: float = 0.8) -> criteria.Report:
    own = findings(dice, 0.03, 2.5, **{"shuffled labels: dice to shuffled map": printed})
    return criteria.Report({"physics": findings(physics, 0.02, 2.0), "own": own}, {"poses": 2},
                         kid={"own": Interval(0.01, 0.005, 0.02, 9)}, deterministic={"physics": True, "own": True},
                         milliseconds={"physics": 40.0, "own": 31.4})  # fmt: skip


def test_criteria_are_those_of_a_reviewer() -> None:
    found = {text: (value, met) for text, value, met in criteria.criteria(made(), "own")}
    assert found["organ Dice at least that of the physics frames - 0.03"] == ("-0.010", True)
    assert found["Dice against the shuffled labels below 0.2"] == ("0.110", True)
    assert found["hallucinated structures at most physics + 2 points"] == ("+1.00 points", True)
    assert found["motion-compensated change 0.3 to 1.2 times physics"] == ("1.25 times", False)
    assert found["liver ROIs within the real range"] == ("not measured", None)
    assert not criteria.criteria(made(dice=0.70), "own")[0][2]
    assert not criteria.criteria(made(printed=0.3), "own")[1][2]


def test_texture_and_contrast_are_compared_with_real_frames_or_with_physics() -> None:
    one, rng = made(), np.random.default_rng(0)
    for name, deviation in (("physics", 8.0), ("own", 2.0)):
        one.findings[name].blocks = {50.0: [rng.normal(60, deviation, (16, 20)) for _ in range(5)]}
        one.findings[name].greys[2] = [rng.uniform(0, 10 * deviation, 4000).astype(np.float32)]
    texture, contrast, _ = criteria.likeness_ratios(one, "own")
    assert (texture, contrast) == (pytest.approx(0.25, rel=0.1), pytest.approx(0.25, rel=0.05))
    found = {text: (value, met) for text, value, met in criteria.criteria(one, "own")}
    assert found["texture: SD of liver ROIs 0.5 to 2 times physics"][1] is False
    one.real_blocks = {50.0: [rng.normal(60, 2.5, (16, 20)) for _ in range(5)]}
    assert criteria.likeness_ratios(one, "own")[0] == pytest.approx(0.8, rel=0.1)
    assert dict((text, met) for text, _, met in criteria.criteria(one, "own"))[
        "texture: SD of liver ROIs 0.5 to 2 times real frames"
    ]


DEGENERATE = {
    "flat": "texture: SD of liver ROIs 0.5 to 2 times physics",
    "noise": "gCNR across borders at least half that of physics",
    "labels": "texture: SD of liver ROIs 0.5 to 2 times physics",
    "constant": "correlation of different poses at most physics + 0.2",
}


def short_sweep(patient: Patient) -> Matrix:
    """The ends of the slow sweep: 3 mm apart."""
    return whole_sweep(patient)[[0, -1]]


whole_sweep = stability.slow_sweep


def untrained_reference() -> ReferenceSegmenter:
    torch.manual_seed(0)
    return ReferenceSegmenter(segmenter(reference_segmenter.LINES, 0.05))


@pytest.fixture(scope="module")
def one_scene() -> tuple[Scene, Frames]:
    """Four poses on a held-out phantom, and the physics frames there."""
    scene = held_out.phantom_scene(2000, 4)
    return scene, held_out.drawn(scene.simulator, scene.poses, None)


@pytest.fixture(scope="module")
def of_physics(one_scene: tuple[Scene, Frames]) -> Findings:
    """What is measured of these frames."""
    found = Findings()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stability, "slow_sweep", short_sweep)
        measure.measure(one_scene[0], None, untrained_reference(), found, one_scene[1])
    return found


@pytest.mark.parametrize("kind", DEGENERATE)
def test_a_degenerate_generator_fails(
    kind: str, one_scene: tuple[Scene, Frames], of_physics: Findings, artifact: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Flat grey, noise, a picture of the labels, and one good frame for every pose."""
    scene, physics = one_scene
    monkeypatch.setattr(stability, "slow_sweep", short_sweep)

    def drawn(simulator: Simulator, poses: Matrix, generator: Generator | None) -> Frames:
        if generator is None:
            return real_drawn(simulator, poses, None)
        return degenerate(len(poses))

    def degenerate(count: int) -> Frames:
        noise = np.random.default_rng(0).normal(60, 30, (count, *physics.shape[1:])).clip(0, 255)
        labels = 18.0 * scene.tissue[np.arange(count) % len(scene.tissue)]
        return {"flat": np.full_like(noise, 60), "noise": noise, "labels": labels,
                "constant": np.repeat(physics[:1], count, axis=0)}[kind]  # fmt: skip

    real_drawn = held_out.drawn
    monkeypatch.setattr(held_out, "drawn", drawn)
    monkeypatch.setattr(held_out, "drawn_shuffled", lambda scene, generator, chosen: degenerate(len(scene.poses)))
    found = {"physics": of_physics, kind: Findings()}
    measure.measure(scene, load_generator(artifact), untrained_reference(), found[kind], physics)
    met = {text: met for text, _, met in criteria.criteria(criteria.Report(found, {}), kind)}
    assert met[DEGENERATE[kind]] is False, met


def test_one_picture_at_every_pose_correlates_by_1() -> None:
    rng = np.random.default_rng(0)
    frames, where = rng.uniform(0, 255, (3, 20, 20)), np.ones((3, 20, 20), bool)
    assert abs(metrics.pose_correlation(frames, where)) < 0.15
    assert metrics.pose_correlation(frames[[0, 0, 0]], where) == pytest.approx(1)
    assert math.isnan(metrics.pose_correlation(np.full_like(frames, 60), where))


def test_a_weak_segmenter_does_not_judge() -> None:
    assert criteria.criteria(made(dice=0.1, physics=0.1), "own")[0][1:] == ("not measured", None)


def test_differences_are_paired_by_patient() -> None:
    one = made()
    found = criteria.difference(one.findings["own"], one.findings["physics"], "flicker")
    assert (found.value, found.low, found.high) == pytest.approx((0.5, 0.5, 0.5))  # each patient differs by as much
    assert found.clusters == 2


def test_report_says_numbers_intervals_and_what_was_not_tested(tmp_path: Path) -> None:
    report.write(made(), tmp_path, np.zeros((8, 8, 3), np.uint8))
    text = (tmp_path / "report.md").read_text()
    assert "| flicker | 2.01 (2 to 2.02) | 2.51 (2.5 to 2.52) | 0.5 (0.5 to 0.5) |" in text
    assert "| own | 31 | True |" in text
    assert "## Not tested" in text
    assert "no folder of real frames was given" in text
    data = json.loads((tmp_path / "report.json").read_text())
    assert data["renderers"]["own"]["means"]["dice organs"]["value"] == pytest.approx(0.80)
    assert data["criteria"]["own"][8] == {
        "criterion": "liver ROIs within the real range", "found": "not measured", "met": None,
    }  # fmt: skip
    assert (tmp_path / "depth.png").stat().st_size > 1000


def test_too_little_to_measure_is_a_dash() -> None:
    assert report.interval_text(None) == report.interval_text(Interval(math.nan, math.nan, math.nan, 0)) == "—"
    assert report.interval_text(Interval(1.23456, math.nan, math.nan, 1)) == "1.23"


def test_greys_are_sorted_by_depth() -> None:
    found = Findings()
    lines = np.tile(np.arange(4.0)[None, :, None], (2, 1, 3))
    where = np.ones(lines.shape, bool)
    where[0] = False
    add_greys(found, lines, where, np.array([1.0, 14.0, 16.0, 179.0], np.float32))
    assert found.greys[0][0].tolist() == [0, 0, 0, 1, 1, 1]
    assert found.greys[1][0].tolist() == [2, 2, 2]
    assert found.greys[-1][0].tolist() == [3, 3, 3]
    assert len(found.greys) == len(DEPTH_BINS) - 1


@pytest.fixture
def artifact(tmp_path: Path) -> Path:
    """An untrained generator."""
    probe = replace(preset("c5_2"), scan_lines=32, samples=64)
    card = Card(probe, grid="polar", width=0.05)
    torch.manual_seed(0)
    save_generator(tmp_path / "untrained.safetensors", ct_generator(card), card)
    return tmp_path / "untrained.safetensors"


def test_all_of_it_for_an_untrained_generator(artifact: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluate, "TIMED", 1)
    monkeypatch.setattr(stability, "slow_sweep", short_sweep)
    found = evaluate.evaluate([load_generator(artifact)], tmp_path, seeds=[2000], count=2,
                              reference=untrained_reference())  # fmt: skip
    assert list(found.findings) == ["physics", "untrained"]
    assert found.deterministic == {"physics": True, "untrained": True}
    physics, own = (criteria.means(found.findings[name]) for name in ("physics", "untrained"))
    assert 0 <= physics["hallucinated structures"].value < 0.05
    assert physics["gCNR liver/vessel"].value > 0.3 > own["gCNR liver/vessel"].value or math.isnan(
        physics["gCNR liver/vessel"].value
    )
    assert physics["tissue-locked texture"].value > physics["screen-locked texture"].value
    assert own["correlation"].value < 0.5
    assert (tmp_path / "frames.png").is_file()
    assert "untrained" in (tmp_path / "report.md").read_text()


def test_real_frames_stand_beside(shared_data: Path) -> None:
    folder = shared_data / "us_liver_sweep" / "frames"
    real = evaluate.real_frames(folder, (112, 140), 4, known_fan(folder))
    seen = evaluate.real_frames(folder, (0, 102), 12, known_fan(folder))
    assert real.image.shape == (7, PROBE.samples, PROBE.scan_lines)
    found = made()
    reference = untrained_reference()
    for name in found.findings:  # the real frames in the place of simulated ones
        found.findings[name] = replace(evaluate.real_findings(real, reference), rows=found.findings[name].rows)
    evaluate.add_real(found, reference, real, seen)
    kid = found.kid["own"]
    assert abs(kid.value) < found.kid["real, other frames of the sweep"].value + 1e-2
    assert found.grey["own"] == 0 < found.grey[evaluate.OTHERS] < 20
    assert found.frd["own"] < -5 < found.frd[evaluate.OTHERS]
    assert sorted(found.real_blocks) == [35.0, 50.0, 65.0, 80.0]
    assert found.real_greys is not None
    assert 40 < np.median(np.concatenate(found.real_greys.greys[3])) < 65  # liver, 45 to 60 mm deep
    text = report.markdown(found)
    assert "| real, other frames of the sweep |" in text
    assert "no folder of real frames" not in text


def test_what_cannot_be_evaluated_is_named(artifact: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, few = ["--out", str(tmp_path / "out")], tmp_path / "few"
    few.mkdir()
    for name in "ab":
        Image.new("L", (8, 8)).save(few / f"{name}.png")
    for given, message in (
        (["--generator", str(tmp_path / "none.safetensors")], "no such file"),
        (["--generator", str(artifact), "--generator", str(artifact)], "expected files of different names"),
        (["--count", "1"], "expected --count of 2 or more"),
        (["--use-frames", "8"], "--use-frames of 16 or more"),
        (["--frames", str(tmp_path / "none")], "no such folder of frames"),
        (["--frames", str(few), "--held-out", "0", "9"], "holds 2 frames; places up to 8 were requested"),
    ):
        assert evaluate.main([*out, *given]) == 2
        assert message in capsys.readouterr().err
    card = Card(preset("p4_2"), grid="polar", width=0.05)
    save_generator(tmp_path / "phased.safetensors", ct_generator(card), card)
    assert evaluate.main([*out, "--generator", str(tmp_path / "phased.safetensors")]) == 2
    assert "cannot be evaluated on the default probe: it was trained on a phased probe" in capsys.readouterr().err
    assert held_out.PHYSICS == "physics"
