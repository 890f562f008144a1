"""The reference is what docs/generate_reference.py writes, and that covers every setting, topic and service."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest

from docs import generate_reference as reference
from us_sim.bringup.arguments import LaunchConfig
from us_sim.control.config import ScanConfig, ServoConfig
from us_sim.ros import parameters
from us_sim.viewer.config import ViewerConfig

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = [*parameters.CONFIGS, LaunchConfig, ViewerConfig, ScanConfig, ServoConfig]


@pytest.mark.parametrize("name", reference.PAGES)
def test_a_page_is_what_the_script_writes(name: str) -> None:
    assert (reference.FOLDER / name).read_text() == reference.PAGES[name](), "run: python docs/generate_reference.py"


@pytest.mark.parametrize("config", CONFIGS)
def test_every_setting_has_its_row(config: type) -> None:
    pages = "".join((reference.FOLDER / name).read_text() for name in reference.PAGES)
    assert [item.name for item in fields(config) if f"| `{item.name}`" not in pages] == []


def test_a_setting_is_shown_with_default_description_and_range() -> None:
    (gain,) = (item for item in fields(parameters.CONFIGS[1]) if item.name == "gain")
    assert reference.row(gain) == ("`gain` *live*", "`0`", "overall gain, dB", "-40 to 40")


def test_the_demo_nodes_names_are_listed() -> None:
    rooms = (ROOT / "ros2_ws/src/us_sim/us_sim" / room for room in ("ros", "control"))
    sources = "\n".join(path.read_text() for room in rooms for path in room.glob("*.py"))
    names = set(re.findall(r'[,(]\s*"(~/\w+)"', sources))
    assert {"~/scan", "~/state", "~/offset"} <= names
    page = (reference.FOLDER / "topics.md").read_text()
    assert [name for name in sorted(names) if f"`{name}`" not in page] == []
