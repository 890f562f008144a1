"""What `make sim` and the launch file accept, and what reaches the nodes."""

from __future__ import annotations

import sys
from dataclasses import fields
from pathlib import Path

import pytest

arguments = pytest.importorskip("us_sim.bringup.arguments")
sim = pytest.importorskip("us_sim.bringup.sim")

from us_sim.core.config import ImageSettings, SimConfig  # noqa: E402
from us_sim.core.errors import ConfigError  # noqa: E402

LAUNCH_FILE = Path(__file__).resolve().parents[2] / "launch" / "sim.launch.py"


def test_every_setting_is_an_argument() -> None:
    settings = {item.name for config in (SimConfig, ImageSettings) for item in fields(config)}
    assert settings | {"motion", "viewer", "viewer_port", "rviz", "namespace"} <= set(arguments.ARGUMENTS)


def test_values_get_the_type_of_their_default() -> None:
    words = ["ct:=/a path/1e3", "gain:=3", "seed:=7", "publish_tf:=False", "labels:="]
    values = arguments.parse(words)
    assert values == {"ct": "/a path/1e3", "gain": 3.0, "seed": 7, "publish_tf": False}
    assert [type(value) for value in values.values()] == [str, float, int, bool]


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("gian:=3", "unknown argument 'gian'; known are analysis_source, "),
        ("ct=/p", "'ct=/p' is not an argument; expected name:=value"),
        ("namespace:=left-arm", "namespace is 'left-arm'; expected names of letters, digits and _, as in left"),
        ("namespace:=7", "namespace is '7'; expected names of letters, digits and _"),
        ("namespace:=größe", "namespace is 'größe'; expected names of letters, digits and _"),
        ("gain:=loud", "gain is 'loud'; expected a number"),
        ("gain:=nan", "gain is nan; expected -40 to 40"),
        ("gain:=100", "gain is 100.0; expected -40 to 40"),
        ("seed:=1.5", "seed is '1.5'; expected a whole number"),
        ("viewer:=no", "viewer is 'no'; expected true or false"),
        ("viewer_port:=0", "viewer_port is 0; expected 1 to 65535"),
        ("rviz:=yes", "rviz is 'yes'; expected true or false"),
        ("renderer:=magic", "renderer is 'magic'; expected one of generator, physics, ct"),
        ("motion:=dance", "motion is 'dance'; expected one of liver_sweep"),
        ("world_from_ct:=0 0 1", "world_from_ct is '0 0 1'; expected six numbers: x y z yaw pitch roll"),
        ("world_from_ct:=0 0 1 0 0 inf", "expected six numbers"),
    ],
)
def test_bad_arguments_are_refused(word: str, message: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        arguments.parse([word])
    assert message in str(refusal.value)


def test_the_defaults_written_out_are_accepted() -> None:
    values = arguments.convert({name: argument.text for name, argument in arguments.ARGUMENTS.items()})
    assert all(values[name] == arguments.ARGUMENTS[name].default for name in values)


def test_the_table_agrees_with_the_nodes() -> None:
    probe_motion, fake_arm = (pytest.importorskip(f"us_sim.ros.{name}") for name in ("probe_motion", "fake_arm"))
    own = {item.name: item for item in fields(fake_arm.ArmConfig)}
    assert {item.name for item in fields(probe_motion.MotionConfig)} < set(own)
    assert set(own) <= arguments.ARM
    shared = [item for item in fields(arguments.LaunchConfig) if item.name in own]
    assert {item.name for item in shared} == {"motion", "rate", "period", "world_from_ct", "flange_calibration"}
    for item in shared:
        assert item.default == own[item.name].default or item.name == "world_from_ct"  # where there is no arm: none
        for rule in ("low", "high"):
            assert item.metadata[rule] == own[item.name].metadata[rule]
    assert arguments.ARGUMENTS["motion"].choices == (*own["motion"].metadata["choices"], "none")


def test_each_node_gets_its_part() -> None:
    values = arguments.parse(
        ["ct:=/p/ct.nii.gz", "gain:=3", "motion:=rotation", "namespace:=/left/", "viewer_port:=9000"]
    )
    commands = sim.processes(values)
    assert list(commands) == ["us_sim", "probe_motion", "us_sim_viewer"]
    assert all(command[:2] == [sys.executable, "-c"] for command in commands.values())
    common = ["--ros-args", "-r", "__ns:=/left", "-p", 'ct:="/p/ct.nii.gz"', "-p"]
    assert commands["us_sim"][3:] == [*common, "gain:=3.0"]
    assert commands["us_sim_viewer"][3:] == ["--ros-args", "-r", "__ns:=/left", "-p", "viewer_port:=9000"]
    assert commands["probe_motion"][3:] == [*common, 'motion:="rotation"']


def test_the_controllers_wait_until_they_are_started() -> None:
    commands = sim.processes(arguments.parse(["controllers:=true", "recordings:=/r", "use_sim_time:=true"]))
    assert list(commands) == ["us_sim", "probe_motion", "us_sim_viewer", "us_sim_scan", "us_sim_servo"]
    clock = ["--ros-args", "-p", "use_sim_time:=true", "-p"]
    assert sorted(commands["us_sim_scan"][3:]) == sorted([*clock, 'recordings:="/r"'])
    assert sorted(commands["us_sim_servo"][3:]) == sorted([*clock, "autostart:=false"])
    assert "autostart:=false" not in commands["us_sim"]
    for module in ("us_sim.control.scan", "us_sim.control.servo"):
        assert any(f"import {module}" in code or f"from {module}" in code for _, _, code, *_ in commands.values())
        assert callable(pytest.importorskip(module).main)


def test_without_motion_the_probe_is_left_to_others() -> None:
    assert list(sim.processes(arguments.parse(["motion:=none", "viewer:=false"]))) == ["us_sim"]


@pytest.mark.parametrize("word", ["rviz:=true", "world_from_ct:=0 0 1 0 0 0"])
def test_what_needs_an_installation_says_so(word: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert sim.main([word]) == 2
    assert "needs a ROS 2 installation (rviz2, tf2_ros); source its setup file first" in capsys.readouterr().err


def test_a_wrong_argument_is_one_line_and_exit_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert sim.main(["gian:=3"]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_the_greeting_says_what_is_shown_and_where() -> None:
    plain = sim.greeting({})
    assert plain.startswith("Patient: the built-in phantom. Probe: c5_2, moved by probe_motion (liver_sweep).")
    assert "  /us_sim/image " in plain
    assert "Browser view: the address follows" in plain
    assert "browser" not in sim.greeting(arguments.parse(["viewer:=false"]))
    other = sim.greeting(arguments.parse(["namespace:=left", "motion:=none", "ct:=/p/ct.nii.gz"]))
    assert other.startswith("Patient: /p/ct.nii.gz. Probe: c5_2, moved by you.")
    assert "  /left/us_sim/image " in other


def test_the_launch_file_declares_the_table() -> None:
    pytest.importorskip("launch_ros", reason="needs a ROS 2 installation: launch is not there")
    from launch import LaunchContext
    from launch.launch_description_sources import PythonLaunchDescriptionSource

    description = PythonLaunchDescriptionSource(str(LAUNCH_FILE)).get_launch_description(LaunchContext())
    declared = {argument.name: argument for argument in description.get_launch_arguments()}
    assert set(declared) == set(arguments.ARGUMENTS)
    for name, argument in arguments.ARGUMENTS.items():
        assert declared[name].description.startswith(argument.description)
