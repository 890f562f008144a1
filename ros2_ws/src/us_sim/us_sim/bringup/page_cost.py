# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""What an open page costs the simulator on the same machine: python -m us_sim.bringup.page_cost

`make sim` runs with its demo, heard by a subscriber that does nothing, and by the page in a browser without a graphics
card, in turns. CPU times are those of whole processes, for each frame of the node. Leave the machine alone meanwhile.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from sensor_msgs.msg import Image
from us_sim_msgs.msg import FrameInfo

from us_sim.bringup.browser import Browser, require_browser
from us_sim.bringup.processes import own_domain, python_main
from us_sim.core.command import as_command
from us_sim.ros.outputs import stream_qos

PATIENCE = 120.0  # s for the first frame, and for the page
SETTLE = 5.0  # s before each measurement
TOPICS = ("image",)  # of each frame, as the page hears them
PARTS = {"us_sim.ros.started": "node", "us_sim.viewer.node": "viewer"}  # by what stands in their command lines
SOFTWARE = "--disable-gpu-compositing"
COUNT = """(() => { const pen = document.getElementById("image").getContext("2d"), draw = pen.drawImage.bind(pen);
    window.drawn = 0; pen.drawImage = (...given) => { window.drawn += 1; draw(...given); }; })()"""


class Found(NamedTuple):
    """Of one measurement: frames and pictures a second, CPU in ms for each frame by process."""

    frames: float
    pictures: float
    cpu: dict[str, float]

    @property
    def line(self) -> str:
        """For people."""
        cpu = ", ".join(f"{part} {ms:.0f}" for part, ms in self.cpu.items())
        return f"node {self.frames:.1f} frames/s, page {self.pictures:.1f} pictures/s; CPU ms for each frame: {cpu}"


class Ear:
    """Counts the simulator's frames, and hears them in the page's place."""

    def __init__(self, node: Node, executor: SingleThreadedExecutor) -> None:
        self._node, self._executor = node, executor
        self._heard: list[Any] = []
        self.frames = 0
        node.create_subscription(FrameInfo, "us_sim/frame_info", self._count, stream_qos())

    def _count(self, _: FrameInfo) -> None:
        self.frames += 1

    def listen(self, wanted: bool) -> None:
        """Subscribe to frames, or no longer."""
        for subscription in self._heard:
            self._node.destroy_subscription(subscription)
        self._heard = [
            self._node.create_subscription(Image, f"us_sim/{topic}", lambda _: None, stream_qos())
            for topic in TOPICS
            if wanted
        ]

    def wait(self, seconds: float) -> float:
        """Hear for some seconds; return how many they were."""
        start = time.monotonic()
        while time.monotonic() - start < seconds:
            self._executor.spin_once(timeout_sec=0.1)
        return time.monotonic() - start


def descendants(parent: int) -> set[int]:
    """Return a process and all that it has started."""
    children: dict[int, list[int]] = {}
    for process in _processes():
        fields = _read(process, "stat").rpartition(")")[2].split()
        if fields:
            children.setdefault(int(fields[1]), []).append(process)
    found, new = set(), [parent]
    while new:
        found.add(process := new.pop())
        new += children.get(process, [])
    return found


def cpu_seconds(simulator: int, browser: int | None) -> dict[str, float]:
    """Return the CPU time of node and viewer below a process, and of a browser."""
    total = dict.fromkeys((*PARTS.values(), "browser"), 0.0)
    for process in descendants(simulator):
        line = _read(process, "cmdline")
        for word, part in PARTS.items():
            if word in line:
                total[part] += _seconds(process)
    for process in descendants(browser) if browser is not None else ():
        total["browser"] += _seconds(process)
    return total


def _processes() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def _read(process: int, file: str) -> str:
    try:
        return Path(f"/proc/{process}/{file}").read_text(errors="replace")
    except OSError:
        return ""  # it has ended


def _seconds(process: int) -> float:
    fields = _read(process, "stat").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK") if fields else 0.0


def measured(ear: Ear, simulator: int, seconds: float, browser: Browser | None = None) -> Found:
    """Measure for some seconds, after a while."""
    ear.wait(SETTLE)
    if browser is not None:
        browser.evaluate(COUNT)
    pid = None if browser is None else browser.pid
    frames, before = ear.frames, cpu_seconds(simulator, pid)
    passed = ear.wait(seconds)
    frames, after = ear.frames - frames, cpu_seconds(simulator, pid)
    pictures = 0 if browser is None else int(browser.evaluate("window.drawn"))
    cpu = {part: 1e3 * (after[part] - before[part]) / max(1, frames) for part in before}
    return Found(frames / passed, pictures / passed, cpu)


def turn(ear: Ear, simulator: int, url: str, seconds: float) -> tuple[Found, Found]:
    """Measure without the page and with it."""
    ear.listen(True)
    without = measured(ear, simulator, seconds)
    browser = Browser(1280, 720, [SOFTWARE])
    try:
        ear.listen(False)
        browser.open(url)
        end = time.monotonic() + PATIENCE
        while not browser.evaluate("document.getElementById('image')?.width > 400"):
            if time.monotonic() > end:
                raise TimeoutError(f"the page shows no picture after {PATIENCE:.0f} s")
            ear.wait(0.5)
        return without, measured(ear, simulator, seconds, browser)
    finally:
        browser.close()


@contextmanager
def simulated(arguments: list[str]) -> Iterator[tuple[Ear, int]]:
    """A simulator with arguments of its launch: who counts its frames, and its process."""
    context = rclpy.Context()
    rclpy.init(args=[], context=context)
    executor, node = SingleThreadedExecutor(context=context), rclpy.create_node("page_cost", context=context)
    executor.add_node(node)
    ear, start = Ear(node, executor), time.monotonic()
    command = [*python_main("us_sim.bringup.sim"), *arguments]
    simulator = subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True)
    try:
        ear.listen(True)
        while not ear.frames:
            if time.monotonic() - start > PATIENCE or simulator.poll() is not None:
                raise TimeoutError(f"no frame after {time.monotonic() - start:.0f} s; see what `make sim` says")
            ear.wait(0.1)
        yield ear, simulator.pid
    finally:
        simulator.send_signal(signal.SIGINT)
        simulator.wait()
        node.destroy_node()
        rclpy.shutdown(context=context)


@as_command("us_sim.bringup.page_cost")
def main(argv: list[str] | None = None) -> int:
    """Measure in turns and print each, and how much slower the node is with the page."""
    parser = argparse.ArgumentParser(prog="us_sim.bringup.page_cost", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--turns", type=int, default=2, help="measurements without and with the page (2)")
    parser.add_argument("--seconds", type=float, default=12.0, help="length of each (12)")
    parser.add_argument("--port", type=int, default=8190, help="of the page (8190)")
    parser.add_argument("arguments", nargs="*", default=["generator:=abdomen_lite"], help="of the launch")
    given = parser.parse_args(argv)
    require_browser()
    os.environ["ROS_DOMAIN_ID"] = str(own_domain())
    rates = []
    with simulated(["rows:=512", f"viewer_port:={given.port}", *given.arguments]) as (ear, simulator):
        for _ in range(given.turns):
            without, shown = turn(ear, simulator, f"http://127.0.0.1:{given.port}", given.seconds)
            print(f"without the page: {without.line}\nwith the page:    {shown.line}", flush=True)
            rates.append((without.frames, shown.frames))
    before, after = (sum(column) for column in zip(*rates, strict=True))
    print(
        f"the page slows the node by {100 * (1 - after / before):.0f} %; load of the machine {os.getloadavg()[0]:.1f}"
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
