"""The Foxglove layout shows topics that the node has."""

from __future__ import annotations

import json
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_the_layout_names_topics_of_the_reference() -> None:
    text = (ROOT / "ros2_ws/src/us_sim/foxglove/us_sim.json").read_text()
    panels = json.loads(text)["configById"]
    assert {name.partition("!")[0] for name in panels} == {"Image", "3D", "Plot", "DiagnosticSummary"}
    page = (ROOT / "docs/reference/topics.md").read_text()
    named = set(re.findall(r'"/us_sim/(\w+)', text))
    assert named >= {"image", "ct_view", "wrench", "markers", "patient_markers"}
    assert [name for name in sorted(named) if f"`~/{name}`" not in page] == []


def test_every_panel_is_in_the_layout_once() -> None:
    layout = json.loads((ROOT / "ros2_ws/src/us_sim/foxglove/us_sim.json").read_text())
    placed = re.findall(r'"((?:Image|3D|Plot|DiagnosticSummary)!\w+)"', json.dumps(layout["layout"]))
    assert sorted(placed) == sorted(layout["configById"])
