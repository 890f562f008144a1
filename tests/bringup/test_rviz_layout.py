"""What the launch file fills into a layout of rviz."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from us_sim.bringup.rviz_layout import filled

FOLDER = Path(__file__).resolve().parents[2] / "ros2_ws" / "src" / "us_sim" / "rviz"


def topics(layout: dict[str, Any]) -> list[str]:
    displays = layout["Visualization Manager"]["Displays"]
    return [d[key]["Value"] for d in displays for key in ("Topic", "Description Topic") if key in d]


@pytest.mark.parametrize("name", ["us_sim", "arm"])
def test_without_a_namespace_only_the_fixed_frame_changes(name: str) -> None:
    before, after = (yaml.safe_load(text) for text in (text_of(name), filled(text_of(name), "", "other")))
    assert after["Visualization Manager"]["Global Options"].pop("Fixed Frame") == "other"
    del before["Visualization Manager"]["Global Options"]["Fixed Frame"]
    assert after == before


@pytest.mark.parametrize("namespace", ["left", "/left", "left/"])
def test_topics_and_robot_stand_behind_the_namespace(namespace: str) -> None:
    layout = yaml.safe_load(filled(text_of("arm"), namespace, "world"))
    assert "/left/us_sim/image" in topics(layout)
    assert "/left/robot_description" in topics(layout)
    assert all(topic.startswith("/left/") for topic in topics(layout))
    prefixes = [d["TF Prefix"] for d in layout["Visualization Manager"]["Displays"] if "TF Prefix" in d]
    assert prefixes == ["left"]  # rviz puts the slash between


def test_a_robot_without_the_probe_leaves_its_marker_to_be_drawn() -> None:
    hidden = [d for d in displays("arm", True) if "Namespaces" in d]
    assert [d["Namespaces"] for d in hidden] == [{"probe": False}]
    assert not [d for d in displays("arm", False) if "Namespaces" in d]


def test_the_windows_state_stays_on_one_line() -> None:
    state = yaml.safe_load(text_of("arm"))["Window Geometry"]["QMainWindow State"]
    assert f"QMainWindow State: {state}\n" in filled(text_of("arm"), "left", "world")


def text_of(name: str) -> str:
    return (FOLDER / f"{name}.rviz").read_text()


def displays(name: str, robot_has_probe: bool) -> list[dict[str, Any]]:
    layout = yaml.safe_load(filled(text_of(name), "", "world", robot_has_probe=robot_has_probe))
    return list(layout["Visualization Manager"]["Displays"])
