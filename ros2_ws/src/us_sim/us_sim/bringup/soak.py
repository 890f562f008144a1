# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""The simulator under load for a long time: memory, descriptors and threads of its processes, and whether they grow.

python -m us_sim.bringup.soak --minutes 30 renderer:=physics
"""

from __future__ import annotations

import argparse
import os
import socket
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import DEVNULL, Popen, TimeoutExpired
from typing import Any

import msgspec
import numpy as np
import rclpy
import viser
from numpy.typing import ArrayLike
from rclpy.executors import SingleThreadedExecutor
from rich.console import Console
from sensor_msgs.msg import Image
from websockets.sync.client import connect

from us_sim.bench.timing import machine
from us_sim.bringup.arguments import parse
from us_sim.bringup.processes import own_domain
from us_sim.bringup.sim import processes
from us_sim.core.command import as_command
from us_sim.core.errors import ConfigError

PATIENCE = 600.0  # s for the first frame
WARM = 1 / 3  # share of the time after which caches are filled and growth counts
SAMPLES = 300  # looks at each process, over all the time
QUANTITIES = {"memory, MiB": 20.0, "descriptors": 3.0, "threads": 3.0}  # growth an hour that is none
CAMERA = {
    "type": "ViewerCameraMessage", "wxyz": [1, 0, 0, 0], "position": [1, 1, 1], "fov": 1.0, "near": 0.01, "far": 100.0,
    "image_height": 900, "image_width": 1440, "look_at": [0, 0, 0], "up_direction": [0, 0, 1],
}  # fmt: skip


@dataclass
class Record:
    """What one process took at each look: (time in h, then the quantities)."""

    rows: list[tuple[float, ...]] = field(default_factory=list)

    def look(self, pid: int, hours: float) -> None:
        """Add what /proc says of a process."""
        status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
        memory = int(status["VmRSS"].split()[0]) / 1024
        self.rows.append((hours, memory, len(os.listdir(f"/proc/{pid}/fd")), int(status["Threads"])))

    def grown(self, column: int) -> tuple[float, float, float]:
        """Return a quantity's last value, its growth an hour once warm, and that figure's standard error."""
        table = np.array(self.rows)
        warm = table[table[:, 0] >= WARM * table[-1, 0]]
        return (float(table[-1, column]), *slope(warm[:, 0], warm[:, column]))


def slope(times: ArrayLike, values: ArrayLike) -> tuple[float, float]:
    """Return the slope of the least-squares line through (N,) values, N of 3 or more, and its standard error."""
    x, y = np.asarray(times, float), np.asarray(values, float)
    off = x - x.mean()
    spread = float(off @ off)
    rise = float(off @ y) / spread
    left = y - y.mean() - rise * off
    return rise, float(np.sqrt(left @ left / (len(x) - 2) / spread))


class Watcher(threading.Thread):
    """A client of the page, which looks at it as a browser does and reads all that it is sent."""

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self._port, self.messages, self.mebibytes = port, 0, 0.0

    def run(self) -> None:
        """Read until the page ends."""
        protocol: Any = f"viser-v{viser.__version__}"
        with connect(f"ws://127.0.0.1:{self._port}", subprotocols=[protocol], max_size=None) as page:
            page.send(msgspec.msgpack.encode(CAMERA))  # until then viser counts nobody
            for message in page:
                self.messages += 1
                self.mebibytes += len(message) / 2**20


@contextmanager
def started(commands: dict[str, list[str]], environment: dict[str, str]) -> Iterator[dict[str, Popen[bytes]]]:
    """All processes of the simulator, by name."""
    running = {name: Popen(words, env=environment, stdin=DEVNULL, stdout=DEVNULL) for name, words in commands.items()}
    try:
        yield running
    finally:
        for process in running.values():
            process.terminate()
        for process in running.values():
            try:
                process.wait(20)
            except TimeoutExpired:
                process.kill()
                process.wait()


def soaked(minutes: float, words: Sequence[str]) -> tuple[dict[str, Record], Watcher, int]:
    """Run the simulator; return what its processes took, who watched the page, and how many frames came.

    Raises:
        ConfigError: a process has ended, or nothing was shown.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    commands = processes(parse([*words, f"viewer_port:={port}"]))
    domain = own_domain()
    environment = {**os.environ, "ROS_DOMAIN_ID": str(domain)}
    context, frames, watcher = rclpy.Context(), [0], Watcher(port)
    rclpy.init(args=[], context=context, domain_id=domain)
    node = rclpy.create_node("soak", context=context)
    node.create_subscription(Image, "us_sim/image", lambda _: frames.__setitem__(0, frames[0] + 1), 5)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    records = {name: Record() for name in commands}
    try:
        with started(commands, environment) as running:
            _spin(executor, PATIENCE, running, until=frames)
            watcher.start()
            begin = time.monotonic()
            for number in range(SAMPLES):
                _spin(executor, begin + (number + 1) * 60 * minutes / SAMPLES - time.monotonic(), running)
                for name, process in running.items():
                    records[name].look(process.pid, (time.monotonic() - begin) / 3600)
        return records, watcher, frames[0]
    finally:
        executor.shutdown()
        node.destroy_node()
        rclpy.try_shutdown(context=context)


def _spin(
    executor: SingleThreadedExecutor, seconds: float, running: dict[str, Popen[bytes]], until: list[int] | None = None
) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end and not (until and until[0]):
        executor.spin_once(timeout_sec=0.1)
        for name, process in running.items():
            if process.poll() is not None:
                raise ConfigError(f"{name} has ended with exit code {process.returncode}; its log says why")
    if until is not None and not until[0]:
        raise ConfigError(f"no frame within {seconds:.0f} s; the node's log says why")


@as_command("us_sim.bringup.soak")
def main(argv: list[str] | None = None) -> int:
    """Run, print a table in Markdown, and return 1 where something grows by more than chance and QUANTITIES allow."""
    parser = argparse.ArgumentParser(prog="us_sim.bringup.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0, help="how long (%(default)g)")
    parser.add_argument("words", nargs="*", metavar="name:=value", help="arguments of the simulator")
    given = parser.parse_args(argv)
    if not 0.5 <= given.minutes <= 10_000:
        raise ConfigError(f"--minutes is {given.minutes}; expected 0.5 to 10000")
    records, watcher, frames = soaked(given.minutes, given.words)
    console, growing = Console(width=150), []
    console.print(", ".join(f"{key} {value}" for key, value in machine().items()), highlight=False)
    console.print(f"{given.minutes:g} minutes, {frames} frames; the page's client read {watcher.messages} messages of "
                  f"{watcher.mebibytes:.0f} MiB in all", highlight=False)  # fmt: skip
    console.print("| process | quantity | at the end | growth an hour |\n|---|---|---|---|", highlight=False)
    for name, record in records.items():
        for column, (quantity, most) in enumerate(QUANTITIES.items(), start=1):
            last, rise, error = record.grown(column)
            console.print(f"| {name} | {quantity} | {last:.0f} | {rise:+.1f} ± {2 * error:.1f} |", highlight=False)
            growing += [f"{quantity} of {name}"] if rise - 2 * error > most else []
    unseen = watcher.messages < SAMPLES
    if growing or unseen:
        print(f"grows: {', '.join(growing) or 'nothing, but nobody watched the page'}", file=sys.stderr)
    return int(bool(growing) or unseen)


if __name__ == "__main__":
    sys.exit(main())
