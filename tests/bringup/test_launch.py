"""What the launch files start, where launch_ros is installed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

pytest.importorskip("launch_ros", reason="needs a ROS 2 installation: launch is not there")

from launch import LaunchContext
from launch.actions import IncludeLaunchDescription, OpaqueFunction, SetEnvironmentVariable
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.logging import launch_config
from launch.substitutions import TextSubstitution

from us_sim.bringup.arguments import ARGUMENTS
from us_sim.bringup.dds import VARIABLES
from us_sim.core.errors import ConfigError

FOLDER = Path(__file__).resolve().parents[2] / "launch"
TABLE = "--x 0.55 --y -0.04 --z 0.15 --yaw 3.14159265 --pitch 0.0 --roll 1.57079633"


def description(name: str) -> Any:
    return PythonLaunchDescriptionSource(str(FOLDER / name)).get_launch_description(LaunchContext())


def started(**given: str) -> dict[str, str]:
    """Executable, and for the second of its name a number, and the words it is given."""
    context = LaunchContext()
    context.launch_configurations.update({name: given.get(name, a.text) for name, a in ARGUMENTS.items()})
    (start,) = (entity for entity in description("sim.launch.py").entities if isinstance(entity, OpaqueFunction))
    found: dict[str, str] = {}
    for node in start.execute(context):
        words = ["".join(part.text for part in word if isinstance(part, TextSubstitution)) for word in node.cmd]
        name = node.node_executable
        found[name if name not in found else f"{name} {len(found)}"] = " ".join(filter(None, words))
    return found


def test_frames_of_some_mb_get_their_profile(monkeypatch: pytest.MonkeyPatch) -> None:
    def variables() -> list[str]:
        entities = description("sim.launch.py").entities
        return ["".join(part.text for part in e.name) for e in entities if isinstance(e, SetEnvironmentVariable)]

    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    assert variables() == list(VARIABLES)
    monkeypatch.setenv(VARIABLES[0], "mine.xml")
    assert variables() == []


def test_by_default_node_motion_and_view() -> None:
    assert list(started()) == ["us_sim", "probe_motion", "us_sim_viewer"]
    assert list(started(motion="none", viewer="false")) == ["us_sim"]
    assert list(started(viewer="false", controllers="true"))[2:] == ["us_sim_scan", "us_sim_servo"]


def test_the_arm_brings_its_tf() -> None:
    nodes = started(arm="true", viewer="false", namespace="left")
    assert list(nodes)[:4] == ["us_sim", "fake_arm", "robot_state_publisher", "static_transform_publisher"]
    assert "--frame-id world --child-frame-id left/base_link" in nodes["static_transform_publisher"]
    assert f"--frame-id world --child-frame-id left/ct {TABLE}" in nodes["static_transform_publisher 4"]
    assert len(nodes) == 5


def test_a_probe_of_another_name_is_tied_to_the_arms() -> None:
    nodes = started(arm="true", viewer="false", preset="clarius")
    assert "--frame-id probe --child-frame-id clarius_probe --x 0.0" in nodes["static_transform_publisher 4"]


def test_any_arm_gets_the_probe_in_its_flange_and_the_patient_on_the_table() -> None:
    nodes = started(
        pose_source="tf",
        motion="none",
        viewer="false",
        flange_frame_id="tool0",
        flange_calibration="0.01 0 0.2 0.1 0.2 0.3",
        world_from_ct="1 2 3 4 5 6",
    )
    assert list(nodes) == ["us_sim", "static_transform_publisher", "static_transform_publisher 2"]
    assert (
        "--frame-id world --child-frame-id ct --x 1.0 --y 2.0 --z 3.0 --yaw 4.0 --pitch 5.0 --roll 6.0"
        in nodes["static_transform_publisher"]
    )
    assert (
        "--frame-id tool0 --child-frame-id probe --x 0.01 --y 0.0 --z 0.2 --roll 0.1 --pitch 0.2 --yaw 0.3"
        in nodes["static_transform_publisher 2"]
    )


@pytest.mark.parametrize(
    ("given", "frame", "prefix"),
    [
        ({}, "left/ct", ""),
        ({"arm": "true"}, "world", "left"),
        ({"pose_source": "tf", "world_from_ct": "1 2 3 4 5 6"}, "world", "left"),
    ],
)
def test_rviz_gets_a_layout_for_what_is_started(
    given: dict[str, str], frame: str, prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launch_config, "_log_dir", str(tmp_path))
    words = started(rviz="true", namespace="left", **given)["rviz2"]
    assert f"--display-config {tmp_path / 'us_sim.rviz'}" in words
    manager = yaml.safe_load((tmp_path / "us_sim.rviz").read_text())["Visualization Manager"]
    assert manager["Global Options"]["Fixed Frame"] == frame
    robots = [display["TF Prefix"] for display in manager["Displays"] if "TF Prefix" in display]
    assert robots == ([prefix] if prefix else [])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"flange_calibration": "0 0 1"}, "flange_calibration is '0 0 1'; expected six numbers: x y z roll pitch yaw"),
        ({"arm": "true", "motion": "none"}, "arm is true, but motion is 'none'"),
        ({"preset": "telemed"}, "preset is 'telemed'; expected one of none, clarius"),
    ],
)
def test_what_cannot_be_is_refused(given: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        started(**given)


def test_the_arms_launch_file_includes_the_simulators() -> None:
    (include,) = description("arm.launch.py").entities
    assert isinstance(include, IncludeLaunchDescription)
    assert [(str(name), str(value)) for name, value in include.launch_arguments] == [("arm", "true")]
