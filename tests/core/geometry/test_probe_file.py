"""Probes by name and from YAML."""

from __future__ import annotations

from pathlib import Path

import pytest

from us_sim.core.errors import ProbeError
from us_sim.core.geometry.probe import PRESETS, ProbeKind
from us_sim.core.geometry.probe_file import load_probe

SHIPPED = Path(__file__).resolve().parents[3] / "ros2_ws/src/us_sim/us_sim/resources/config/my_probe.yaml"


def test_a_name_gives_the_preset() -> None:
    assert load_probe("l12_5") is PRESETS["l12_5"]


def test_the_shipped_example_is_a_probe() -> None:
    probe = load_probe(str(SHIPPED))
    assert (probe.kind, probe.radius_of_curvature, probe.depth) == (ProbeKind.CONVEX, 60.0, 160.0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("kind: convex\nradius: 60", "unknown keys radius; expected some of kind, depth"),
        ("kind: curved", "kind is 'curved'; expected one of convex, linear, phased"),
        ("kind: linear\naperture: 40", "missing or of the wrong type .*depth"),
        ("kind: linear\naperture: 40\ndepth: deep", "missing or of the wrong type"),
        ("kind: linear\naperture: 40\ndepth: 4", "depth is 4; expected 10 to 400 mm"),
        ("- 1", "holds list; expected lines"),
        ("a: [", "cannot be read as YAML"),
    ],
)
def test_bad_files_are_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "probe.yaml"
    path.write_text(text)
    with pytest.raises(ProbeError, match=f"probe.yaml: .*{message}"):
        load_probe(str(path))


def test_a_missing_file_is_named() -> None:
    with pytest.raises(ProbeError, match=r"nowhere\.yaml: cannot be read as YAML"):
        load_probe("nowhere.yaml")


def test_an_unknown_name_lists_the_presets() -> None:
    with pytest.raises(ProbeError, match="unknown probe 'c9'; expected one of c5_2, l12_5, p4_2, paper"):
        load_probe("c9")
