"""The README says what the code has: parameters, topics, services, commands."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest

from us_sim.bringup.arguments import LaunchConfig
from us_sim.control.config import ScanConfig, ServoConfig
from us_sim.core.config import ImageSettings, SimConfig
from us_sim.ros import parameters
from us_sim.viewer.config import ViewerConfig

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()
PACKAGE = ROOT / "ros2_ws/src/us_sim/us_sim"
SOURCES = "\n".join(path.read_text() for room in ("ros", "control") for path in (PACKAGE / room).glob("*.py"))


def row(item: object) -> str:
    """The table's row of one settings field."""
    name, default, rule = item.name, item.default, item.metadata  # type: ignore[attr-defined]
    text = f"{default:g}" if isinstance(default, float) else str(default).lower()
    live = " (live)" if name in parameters.LIVE else ""
    choices = f": {', '.join(f'`{choice}`' for choice in rule['choices'])}" if rule["choices"] else ""
    span = f", {rule['low']:g} to {rule['high']:g}" if rule["low"] is not None else ""
    return f"| `{name}`{live} | {f'`{text}`' if text != '' else ''} | {rule['description']}{choices}{span} |"


@pytest.mark.parametrize("config", [*parameters.CONFIGS, LaunchConfig, ViewerConfig, ScanConfig, ServoConfig])
def test_every_parameter_has_its_row(config: type) -> None:
    missing = [row(item) for item in fields(config) if row(item) not in README]
    assert not missing, "\n".join(missing)


def test_the_settings_of_the_core_are_all_parameters() -> None:
    assert {SimConfig, ImageSettings} <= set(parameters.CONFIGS)


def test_every_topic_and_service_is_named() -> None:
    published = re.findall(r'self\._publisher\(\w+, "(\w+)"', SOURCES)
    names = {*re.findall(r'[,(]\s*"(~/\w+)"', SOURCES), *(f"~/{name}" for name in published)}
    assert len(names) >= 14
    assert sorted(name for name in names if f"`{name}`" not in README and f"`{name}` (in)" not in README) == []


def test_the_commands_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    commands = re.findall(r"(?:^    |`)make (\w+)", README, re.M)
    assert {"sim", "test", "bench"} <= set(commands)
    for target in commands:
        assert re.search(rf"^{target}:", makefile, re.M), target


def test_every_linked_file_exists() -> None:
    for page in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")):
        for target in re.findall(r"\]\((?!http)([^)#]+)\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
