"""`make sim` as a person uses it: one command, frames, Ctrl-C."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

rclpy = pytest.importorskip("rclpy")
pytestmark = pytest.mark.alone

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def sim() -> Iterator[subprocess.Popen[str]]:
    """`make sim` in a process group of its own, as a terminal starts it."""
    if Path(sys.prefix) != ROOT / ".venv" or os.environ.get("ROS_DISTRO"):
        pytest.skip("not in this checkout's environment with the wheels; run make test")
    process = subprocess.Popen(
        ["make", "sim"], cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
    )
    yield process
    for pid in [process.pid, *descendants(process.pid)]:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.communicate()


def descendants(pid: int) -> list[int]:
    """Return the ids of a process's children, their children, and so on."""
    parents: dict[int, int] = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(status.parent.name)] = int(status.read_text().rsplit(")", 1)[1].split()[1])
        except OSError:  # it ended in the meantime
            continue
    found, fresh = [], {pid}
    while fresh:
        fresh = {child for child, parent in parents.items() if parent in fresh}
        found += sorted(fresh)
    return found


def wait_for_a_frame(seconds: float) -> list[int]:
    """Return the grey values that occur in the first frame with anything in it."""
    from rclpy.executors import SingleThreadedExecutor
    from sensor_msgs.msg import Image

    context = rclpy.Context()
    rclpy.init(context=context)
    node = rclpy.create_node("spectator", context=context)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    frames: list[Image] = []
    node.create_subscription(Image, "us_sim/image", frames.append, 5)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and not any(max(frame.data) > 0 for frame in frames):
        executor.spin_once(timeout_sec=0.2)
    node.destroy_node()
    rclpy.shutdown(context=context)
    return sorted(set(frames[-1].data)) if frames else []


def test_frames_flow_until_ctrl_c_ends_everything(sim: subprocess.Popen[str]) -> None:
    assert len(wait_for_a_frame(seconds=120)) > 50
    started = descendants(sim.pid)
    assert len(started) == 5  # scripts/sim.sh, the runner, the node, the motion, the browser view

    os.killpg(sim.pid, signal.SIGINT)
    output, _ = sim.communicate(timeout=5)
    assert "Traceback" not in output
    assert "Error" not in output
    assert [pid for pid in started if Path(f"/proc/{pid}").exists()] == []
    assert "open http://127.0.0.1:" in output
    assert "Patient: the built-in phantom. Probe: c5_2, moved by probe_motion (liver_sweep)." in output


def test_a_wrong_argument_lists_the_known_ones() -> None:
    result = subprocess.run(
        [sys.executable, "-m", "us_sim.bringup.sim", "gian:=3"], capture_output=True, text=True, timeout=60
    )
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith("us_sim: unknown argument 'gian'; known are analysis_source, ")
