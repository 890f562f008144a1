"""Configurations: what is shipped loads, what is wrong is named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scyclegan_train.config import Config
from scyclegan_train.config_file import CONFIGS, config_of, load_config, to_yaml
from scyclegan_train.run.schedule import Schedule
from us_sim.core.errors import ConfigError


@pytest.mark.parametrize("file", sorted(CONFIGS.glob("*.yaml")), ids=lambda file: file.stem)
def test_every_shipped_configuration_survives_being_saved(file: Path, tmp_path: Path) -> None:
    config = load_config(file.name)
    (tmp_path / "config.yaml").write_text(to_yaml(config))
    assert load_config(tmp_path / "config.yaml") == config


def test_the_papers_run_is_as_published() -> None:
    config = load_config("paper.yaml")
    method, schedule, card = config.method, config.schedule, config.generator.card()
    assert (method.adversarial, method.cycle_ct, method.cycle_us, method.segmentation) == ("vanilla", 10, 10, 0.5)
    assert (method.pool, method.fake_mask, [c.field for c in method.critics]) == (50, "predicted", [70])
    assert (schedule.rate, schedule.beta1, schedule.batch) == (2e-4, 0.5, 1)
    assert (schedule.constant, schedule.constant + schedule.decay) == (100, 300)
    assert (card.width, card.encoding, card.grid, card.size, card.classes) == (
        1, "paper", "cartesian", (256, 256), (0, 1, 2, 3, 4),
    )  # fmt: skip


def test_the_defaults_are_the_papers_method() -> None:
    default, paper = Config(), load_config("paper.yaml", ["generator.probe=c5_2"])  # the simulator's own fan
    assert (default.method, default.generator, default.schedule.rate) == (
        paper.method, paper.generator, paper.schedule.rate,
    )  # fmt: skip


def test_the_papers_fan_is_a_circle_on_the_whole_slice() -> None:
    probe = load_config("paper.yaml").generator.card().probe
    row, column = np.indices((256, 256))  # half of 512 × 512: centre at column 256, row −20, radius 500, 60° to 120°
    x, y = 2 * column + 0.5 - 256, 2 * row + 0.5 + 20
    radius, angle = np.hypot(x, y), np.degrees(np.arctan2(y, x))
    expected = (radius <= 500) & (angle >= 60) & (angle <= 120)
    assert np.count_nonzero(probe.fan_mask != expected) < 20  # the arc at the face is flat there, and rounding
    assert probe.pixel_spacing == (1.6, 1.6)


def test_the_baseline_is_a_plain_cyclegan() -> None:
    config = load_config("cyclegan.yaml")
    assert not config.method.mask_input
    assert not config.method.segments
    assert config.schedule.pretrain == 0
    paper = load_config("paper.yaml")
    assert (config.generator, config.data) == (paper.generator, paper.data)


def test_the_two_stage_pipeline_is_fed_physics_frames() -> None:
    assert load_config("two_stage.yaml").generator.card().source == "physics"


def test_values_on_the_command_line_win_over_the_file() -> None:
    changes = ["schedule.batch=4", "method.cycle_us=2", "schedule.rate=1e-4", "generator.classes=[background, liver]"]
    config = load_config("paper.yaml", changes)
    assert config.schedule.batch == 4
    assert config.method.cycle_us == 2.0
    assert config.schedule.rate == 1e-4  # which YAML 1.1 takes for text
    assert config.generator.card().classes == (0, 1)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("metod: {}", r"unknown name 'metod'; expected one of generator, method, schedule, prepare, data"),
        ("method: {lamda: 1}", r"method: unknown name 'lamda'"),
        ("method: {cycle_ct: -1}", r"method: cycle_ct is -1.0; expected 0 to 1000"),
        ("method: {adversarial: wgan}", r"adversarial is 'wgan'; expected one of vanilla, lsgan"),
        ("method: {cycle_ct: ten}", r"cycle_ct is 'ten'; expected a value of type float"),
        ("method: {cycle_ct: nan}", r"cycle_ct is 'nan'; expected a value of type float"),
        ("method: {mask_input: 1}", r"mask_input is 1; expected a value of type bool"),
        ("schedule: {batch: true}", r"batch is True; expected a value of type int"),
        ("schedule: {batch: 0}", r"batch is 0; expected 1 to 1024"),
        ("method: {critics: [{field: 50}]}", r"critics\[0\]: field is 50; expected one of 70, 34"),
        ("method: {critics: [{weight: [1, -1]}]}", r"weight of a critic is \(1.0, -1.0\); expected two numbers"),
        ("method: {critics: [{weight: [1]}]}", r"weight is \[1\]; expected 2 values"),
        ("generator: {classes: [background, heart]}", r"unknown class 'heart'; expected of background, liver"),
        ("generator: {classes: [liver, background]}", r"classes is \(1, 0\); expected different ids"),
        ("generator: {probe: x9}", r"unknown probe 'x9'"),
        ("generator: {pixels: 100}", r"grid size is \(100, 100\); expected multiples of 8"),
        ("generator: {scan_lines: 16}", r"scan_lines is 16; expected 24 to 1024"),  # which a discriminator needs
        ("generator: {encoding: rich, windows: [[0, 1], [0, 2], [0, 3], [0, 4]]}", r"windows are 4; expected 1 to 3"),
        ("data: {ct: []}", r"ct has no source"),
        ("data: {ct: 5}", r"ct is 5; expected a list"),
        ("[generator, method]", r"found \['generator', 'method'\]; expected names and values"),
        ("schedule: {pretrain: 0, constant: 0, decay: 0}", r"warm_up, constant and decay are all 0; expected epochs"),
        ("data: {ct: [{seeds: [5, 5]}]}", r"ct\[0\]: seeds are \[5, 5\]; expected the first and one after the last"),
        ("data: {us: [{kind: frames, frames: [9, 3]}]}", r"us\[0\]: frames are \[9, 3\]; expected the first and one"),
        ("data: {us: [{weight: 0}, {weight: 2}]}", r"us has sources of weights \[0.0, 2.0\]; expected all 0, or none"),
        ("data: 5", r"data: found 5; expected names and values"),
        ("method: [", r"cannot be read as YAML \(while parsing"),
        ("method: {pool: 1}\nmethod: {pool: 2}", r"cannot be read as YAML \(it has 'method' twice\)"),
        ("method: &m {pool: 1}\nloop: *m", r"cannot be read as YAML \(it has aliases"),
    ],
)
def test_a_bad_configuration_is_refused_by_name(text: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=message) as caught:
        load_config(file)
    assert str(file) in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("schedule.batch", r"--set schedule.batch: expected section.name=value"),
        ("data.strict.x=1", r"strict holds no names"),
        ("loop.sead=1", r"unknown name 'sead'"),
        ("data.ct=[{kind: phantoms}", r"--set data.ct=\[{kind: phantoms}: cannot be read as YAML"),
    ],
)
def test_a_bad_change_is_refused(change: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "some.yaml"
    file.write_text("data: {strict: true}")
    with pytest.raises(ConfigError, match=message):
        load_config(file, [change])


def test_what_a_run_saved_is_read_back_and_what_was_spoiled_is_refused() -> None:
    config = load_config("ours.yaml")
    assert config_of(to_yaml(config), "run") == config
    with pytest.raises(ConfigError, match="run: cannot be read as YAML"):
        config_of("{", "run")


def test_a_list_is_no_configuration_with_changes_either(tmp_path: Path) -> None:
    file = tmp_path / "list.yaml"
    file.write_text("- paper")
    with pytest.raises(ConfigError, match=r"list.yaml: found \['paper'\]; expected names and values"):
        load_config(file, ["loop.seed=1"])


def test_places_of_a_list_are_changed_by_number(tmp_path: Path) -> None:
    config = load_config("paper.yaml", ["data.ct.0.fold=[2, 5]", "data.us.0.weight=2", "data.us.1.weight=3"])
    assert config.data.ct[0].fold == (2, 5)
    assert [source.weight for source in config.data.us] == [2, 3]
    with pytest.raises(ConfigError, match=r"--set data.ct.4.fold=1: 4 is no place in a list of 1, counted from 0"):
        load_config("paper.yaml", ["data.ct.4.fold=1"])
    with pytest.raises(ConfigError, match=r"fold is \[6, 5\]; expected \[i, k\] with i from 1 to k"):
        load_config("paper.yaml", ["data.ct.0.fold=[6, 5]"])


def test_a_missing_file_names_the_shipped_ones() -> None:
    with pytest.raises(ConfigError, match=r"nowhere.yaml: no such file; give a path or one of .*paper.yaml"):
        load_config("nowhere.yaml")


def test_a_schedule_goes_through_its_phases() -> None:
    schedule = Schedule(pretrain=2, warm_up=3, constant=4, decay=4)
    assert schedule.steps == 13
    assert [schedule.phase(step)[0] for step in range(13)] == [*"pp", *"www", *"aaaaaaaa"]
    assert [schedule.rate(step) for step in (0, 8, 9, 10, 11, 12)] == [1, 1, 1, 0.75, 0.5, 0.25]
    assert [schedule.progress(step) for step in (0, 5, 9, 12)] == [0, 0, 0.5, 0.875]


def test_epochs_are_counted_in_steps_or_in_batches_of_the_source() -> None:
    config: Any = load_config("paper.yaml", ["schedule.epoch=10", "schedule.pretrain=0.5"]).schedule
    assert Schedule.of(config, 7) == Schedule(5, 0, 1000, 2000)
    config = load_config("paper.yaml", ["schedule.epoch=0"]).schedule
    assert Schedule.of(config, 7).constant == 700
