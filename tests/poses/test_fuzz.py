"""Damaged recordings, tables and probes by the hundred, from fixed seeds: each is read, or refused in one sentence."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.accidents import VARIANTS, outcome, spoiled

from us_sim.core.geometry.probe_file import load_probe
from us_sim.poses.trajectory import read_trajectory

ROOT = Path(__file__).resolve().parents[2]
TABLE = "stamp,x,y,z,qx,qy,qz,qw\n" + "".join(f"{k / 10},0.0{k},-0.1,0.2,0,0,0,1\n" for k in range(9))
PROBE = (
    "kind: convex\ndepth: 120\nradius_of_curvature: 50\nfield_of_view: 60\nscan_lines: 128\nwidth: 400\nheight: 300\n"
)


def recording() -> bytes:
    return (ROOT / "examples/press/press.mcap").read_bytes()


@pytest.mark.parametrize(
    ("name", "make", "read", "head"),
    [
        ("poses.mcap", recording, read_trajectory, 600),
        ("poses.csv", TABLE.encode, read_trajectory, len(TABLE)),
        ("probe.yaml", PROBE.encode, lambda path: load_probe(str(path)), len(PROBE)),
    ],
)
def test_damaged_files(
    tmp_path: Path, name: str, make: Callable[[], bytes], read: Callable[[Path], Any], head: int
) -> None:
    path, whole = tmp_path / name, make()
    rng, found = np.random.default_rng(len(name)), []
    for _ in range(VARIANTS):
        path.write_bytes(spoiled(whole, rng, head))
        found.append(outcome(lambda: read(path)))
    assert set(found) == {"read", "refused"}
