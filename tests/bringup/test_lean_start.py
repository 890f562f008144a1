"""What `make sim` starts beside the node loads no more than it needs: while they start, all share the cores."""

from __future__ import annotations

import subprocess
import sys

CODE = """
import sys
for module, heavy in (
    ("us_sim.bringup.sim", ("scipy", "torch", "trimesh", "pydicom")),
    ("us_sim.ros.probe_motion", ("torch", "trimesh", "pydicom", "nibabel")),
    ("us_sim.viewer.node", ("torch", "pydicom", "nibabel")),
):
    __import__(module)
    print(module, sorted(set(heavy) & set(sys.modules)))
"""


def test_the_processes_beside_the_node_load_nothing_that_they_do_not_use() -> None:
    said = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True, timeout=280).stdout
    assert said.split("\n") == ["us_sim.bringup.sim []", "us_sim.ros.probe_motion []", "us_sim.viewer.node []", ""]
