# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Does the servo find and centre the right kidney? 20 starts: 5 phantoms, 4 random poses over the right flank each.

    python -m us_sim.bringup.servo_table
    python -m us_sim.bringup.servo_table --breathing 15 --phantoms 1 --seconds 90

Simulator and servo run as processes of their own, over DDS, in real time. The servo uses topics alone; the ground
truth, the centroid of the right kidney's voxels, breathing with the patient, is used only for evaluation.
"""

from __future__ import annotations

import argparse
import math
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

import numpy as np
import rclpy
from geometry_msgs.msg import PoseStamped, WrenchStamped
from numpy.typing import NDArray
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rich.console import Console
from rich.table import Table
from scipy.ndimage import map_coordinates
from std_msgs.msg import Header, String
from us_sim_msgs.msg import ProbeInfo

from us_sim.bench.timing import machine
from us_sim.bringup.processes import own_domain, python_main
from us_sim.control.admittance import moved
from us_sim.core.command import as_command
from us_sim.core.geometry.transforms import Matrix, apply, inverse, pose_on_skin
from us_sim.core.patient.breathing import inspired, phase_at
from us_sim.core.patient.patient import Patient, builtin_patient
from us_sim.core.tissue import TissueClass
from us_sim.ros.conversions import pose_matrix, pose_message
from us_sim.ros.conversions import seconds as seconds_of
from us_sim.ros.outputs import latched_qos, stream_qos

WITHIN, HELD = 10.0, 2.0  # mm in both directions, s
AFTER = 2.0  # s for which it is watched further; a breathing patient to the end
PERIOD = 4.0  # s, of a breath
PATIENCE = 180.0  # s for a process to load and be found
RATE = 20.0  # Hz, of the start's pose until the servo takes over

Array = NDArray[np.float64]


def right_kidney(patient: Patient) -> Array:
    """Return (N, 3) mm in `ct`, the voxels of the kidney on the patient's right (+x)."""
    volume = patient.volume
    points = apply(volume.ct_from_voxel, np.argwhere(volume.tissue == TissueClass.KIDNEY))
    low, high = volume.bounds
    return points[points[:, 0] > (low[0] + high[0]) / 2]


def starts(patient: Patient, count: int, seed: int) -> list[Matrix]:
    """Return random poses, (4, 4) mm, 10 to 25 mm above the right flank, facing it within 10°, turned within 20°.

    The flank: 50° to 110° from anterior to the right, 80 mm below to 40 mm above the middle of the CT.
    """
    rng = np.random.default_rng(seed)
    middle = np.mean(patient.volume.bounds, axis=0)
    poses = []
    for _ in range(count):
        around, along = math.radians(rng.uniform(50.0, 110.0)), rng.uniform(-80.0, 40.0)
        outward = np.array([math.sin(around), math.cos(around), 0.0])
        ray = middle + [0.0, 0.0, along] + np.arange(0.0, 400.0, 0.5)[:, None] * outward
        point = ray[np.flatnonzero(patient.skin.distance_at(ray) < 0)[-1]]
        facing = pose_on_skin(point, patient.skin.normal_at(point), [-math.cos(around), math.sin(around), 0.0])
        turned = moved(facing, np.zeros(3), np.radians(rng.uniform((-10, -10, -20), (10, 10, 20))), 1.0)
        turned[:3, 3] = point - rng.uniform(10.0, 25.0) * facing[:3, 2]
        poses.append(turned)
    return poses


@dataclass(frozen=True, eq=False)
class Truth:
    """Where the kidney is: its middle at rest, (3,) mm in `ct`, and its mean motion in a breath drawn in."""

    rest: Array
    motion: Array

    @staticmethod
    def of(patient: Patient, breathing: float) -> Truth:
        """Of a patient who breathes by so many mm."""
        voxels = right_kidney(patient)
        if not breathing:
            return Truth(voxels.mean(axis=0), np.zeros(3))
        places = apply(patient.mobility.grid_from_ct, voxels).T
        share = float(map_coordinates(patient.mobility.share, places, order=1).mean())
        return Truth(voxels.mean(axis=0), breathing * share * np.array([0.0, 0.25, -1.0]))

    def offset(self, ct_from_probe: Matrix, seconds: float) -> Array:
        """(3,) mm in `probe` at the time of a stamp."""
        middle = self.rest + inspired(phase_at(seconds, PERIOD)) * self.motion
        return apply(inverse(ct_from_probe), middle)


@dataclass
class Trial:
    """One start, as it is seen from outside.

    Attributes:
        truth: of the patient.
        offsets: (3,) mm for each pose of the servo.
        times: s since the servo took over.
        forces: N, since the servo has pressed on.
        state: the servo's last words.
        said: when it said that it holds the organ, s; None: it has not.
        held: when, after that, the middle had stayed within WITHIN for HELD, s; None if it has not.
    """

    truth: Truth
    offsets: list[Array] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    forces: list[float] = field(default_factory=list)
    state: str = ""
    said: float | None = None
    held: float | None = None
    _since: float | None = None

    def add(self, seconds: float, offset: Array) -> None:
        """Take a pose of the servo: its time, and where the middle lies in `probe`."""
        self.times.append(seconds)
        self.offsets.append(offset)
        if np.abs(offset[:2]).max() > WITHIN:
            self._since = None
        elif self._since is None:
            self._since = seconds
        if self.held is None and self.said is not None and self._since is not None and seconds - self._since >= HELD:
            self.held = seconds


class Watcher(Node):
    """Puts the probe at the start, and watches the servo's poses, force and state."""

    def __init__(self, context: rclpy.Context) -> None:
        super().__init__("servo_table", context=context)
        self.trial: Trial | None = None
        self.start: Matrix | None = None
        self.patient = ""
        self._first: float | None = None
        self._poses = self.create_publisher(PoseStamped, "us_sim/probe_pose", stream_qos())
        self.create_subscription(PoseStamped, "us_sim/probe_pose", self._on_pose, stream_qos())
        self.create_subscription(WrenchStamped, "us_sim/wrench", self._on_wrench, stream_qos())
        self.create_subscription(String, "us_sim_servo/state", self._on_state, latched_qos())
        self.create_subscription(ProbeInfo, "us_sim/probe_info", self._on_info, latched_qos())
        self.create_timer(1 / RATE, self._put)

    def begin(self, start: Matrix, truth: Truth) -> Trial:
        """Begin a trial."""
        self.trial, self.start, self._first = Trial(truth), start, None
        return self.trial

    def _put(self) -> None:
        if self.start is not None:
            header = Header(stamp=self.get_clock().now().to_msg(), frame_id="ct")
            self._poses.publish(PoseStamped(header=header, pose=pose_message(self.start)))

    def _on_info(self, info: ProbeInfo) -> None:
        self.patient = info.patient_sha256

    def _on_state(self, state: String) -> None:
        if self.trial is not None:
            self.trial.state = state.data
            if not state.data.startswith("waiting for us_sim and"):
                self.start = None  # the servo holds the probe
            if state.data == "hold" and self.trial.said is None:
                self.trial.said = self.trial.times[-1]

    def _on_pose(self, message: PoseStamped) -> None:
        if self.trial is None or self.start is not None:
            return
        now = seconds_of(message.header.stamp)
        self._first = now if self._first is None else self._first
        self.trial.add(now - self._first, self.trial.truth.offset(pose_matrix(message.pose), now))

    def _on_wrench(self, message: WrenchStamped) -> None:
        if self.trial is not None and self.trial.state in ("search", "sweep", "centre", "hold"):
            self.trial.forces.append(-message.wrench.force.z)


class Bench:
    """Starts simulator and servo, and lets them run."""

    def __init__(self, breathing: float, renderer: str, seconds: float) -> None:
        self._breathing, self._renderer, self._seconds = breathing, renderer, seconds
        self._domain = own_domain()
        self._context = rclpy.Context()
        rclpy.init(args=[], context=self._context, domain_id=self._domain)
        self.watcher = Watcher(self._context)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self.watcher)
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def close(self) -> None:
        """End it."""
        self._executor.shutdown()
        self.watcher.destroy_node()
        rclpy.try_shutdown(context=self._context)

    def trials(self, seed: int, count: int) -> Iterator[Trial]:
        """Yield the trials on one phantom."""
        patient = builtin_patient(seed)
        truth = Truth.of(patient, self._breathing)
        given = {"seed": seed, "renderer": self._renderer, "breathing_amplitude": self._breathing,
                 "breathing_period": PERIOD}  # fmt: skip
        with self._process("us_sim.ros.node", given):
            self._spin(PATIENCE, lambda: self.watcher.patient == patient.sha256)
            for start in starts(patient, count, seed):
                yield self._trial(start, truth)

    def _trial(self, start: Matrix, truth: Truth) -> Trial:
        trial = self.watcher.begin(start, truth)
        with self._process("us_sim.control.servo", {}):
            self._spin(PATIENCE, lambda: bool(trial.times))
            self._spin(self._seconds + PATIENCE, lambda: self._ended(trial))
        return trial

    def _ended(self, trial: Trial) -> bool:
        enough = trial.held is not None and trial.times[-1] > trial.held + AFTER and not self._breathing
        return enough or trial.times[-1] > self._seconds or trial.state.startswith(("absent", "failed"))

    @contextmanager
    def _process(self, module: str, given: dict[str, object]) -> Iterator[None]:
        words = [word for name, value in given.items() for word in ("-p", f"{name}:={value}")]
        environment = {**os.environ, "ROS_DOMAIN_ID": str(self._domain)}
        process = subprocess.Popen([*python_main(module), "--ros-args", "--log-level", "warn", *words], env=environment)
        self._running[module] = process
        try:
            yield
        finally:
            del self._running[module]
            process.terminate()
            process.wait(20)

    def _spin(self, seconds: float, done: Callable[[], bool]) -> None:
        end = time.monotonic() + seconds
        while not done():
            if time.monotonic() > end:
                raise TimeoutError(f"nothing happens within {seconds:.0f} s; see the logs")
            for module, process in self._running.items():
                if process.poll() is not None:
                    raise RuntimeError(f"{module} has ended with exit code {process.returncode}; see the logs")
            self._executor.spin_once(timeout_sec=0.1)


def row(seed: int, number: int, trial: Trial) -> list[str]:
    """Return the words of one trial; offsets: 95th percentiles while it held the kidney, else the last."""
    held, forces = trial.held, np.array(trial.forces or [np.nan])
    times, offsets = np.array(trial.times), np.abs(trial.offsets)
    x, y = np.percentile(offsets[times >= held], 95, axis=0)[:2] if held is not None else offsets[-1, :2]
    return [str(seed), str(number), f"{held:.1f}" if held is not None else "no", f"{x:.1f}", f"{y:.1f}",
            f"{forces.mean():.1f}", f"{forces.min():.1f} to {forces.max():.1f}", trial.state]  # fmt: skip


@as_command("us_sim.bringup.servo_table")
def main(argv: list[str] | None = None) -> int:
    """Measure and print; exit code 1 if fewer than 9 of 10 starts were held in time."""
    parser = argparse.ArgumentParser(prog="us_sim.bringup.servo_table", description=__doc__)
    parser.add_argument("--phantoms", type=int, default=5, help="how many, by their seeds 0, 1, ... (5)")
    parser.add_argument("--starts", type=int, default=4, help="random poses on each (4)")
    parser.add_argument("--seconds", type=float, default=60.0, help="within which the kidney is to be held (60)")
    parser.add_argument("--breathing", type=float, default=0.0, help="respiratory amplitude, mm (0: breath-hold)")
    parser.add_argument("--renderer", default="physics", help="renderer of the frames (physics)")
    given = parser.parse_args(argv)
    table = Table("phantom", "start", "held, s", "|x| mm, 95 %", "|y| mm, 95 %", "force, N", "from, to", "state")
    met, count = 0, given.phantoms * given.starts
    with ExitStack() as stack:
        bench = Bench(given.breathing, given.renderer, given.seconds)
        stack.callback(bench.close)
        for seed in range(given.phantoms):
            for number, trial in enumerate(bench.trials(seed, given.starts)):
                met += trial.held is not None and trial.held <= given.seconds
                table.add_row(*row(seed, number, trial))
                print(f"phantom {seed}, start {number}: {trial.state}", file=sys.stderr, flush=True)
    console = Console(width=120)
    console.print(", ".join(f"{key} {value}" for key, value in machine().items()))
    console.print(table)
    console.print(f"within {WITHIN:g} mm for {HELD:g} s, in {given.seconds:g} s: {met} of {count}")
    return int(met < 0.9 * count)


if __name__ == "__main__":
    sys.exit(main())
