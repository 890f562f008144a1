# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Node `us_sim_scan`: an action that moves the probe over the skin with constant force and records what it sees."""

from __future__ import annotations

import time
from typing import Any

from builtin_interfaces.msg import Duration
from geometry_msgs.msg import PoseStamped
from rclpy.action import ActionServer, CancelResponse, GoalResponse
from rclpy.action.server import ServerGoalHandle
from rclpy.node import Node
from rclpy.task import Future
from std_msgs.msg import Header
from std_srvs.srv import Trigger
from us_sim_msgs.action import Scan

from us_sim.control.config import ScanConfig
from us_sim.control.goals import duration, recording_folder, scan_of
from us_sim.control.robot import Robot
from us_sim.control.scan_recorder import ScanRecorder
from us_sim.control.scanning import SkinScan, Stage
from us_sim.core.command import as_command
from us_sim.core.errors import ConfigError, UsSimError
from us_sim.ros import parameters
from us_sim.ros.conversions import pose_message
from us_sim.ros.running import run
from us_sim.ros.worker import in_worker

FEEDBACK = 0.1  # s between two messages
NO_FRAMES = "scanned, but no frame was received to record; remap us_sim/image, us_sim/labels and us_sim/frame_info"
NO_SIMULATOR = "no simulator on us_sim/probe_info; start it, or remap the topics"


class Run:
    """One goal under way.

    Attributes:
        done: fulfilled when the probe is off the skin, or the simulator is gone.
        handle: of the goal.
        scan: its path and state.
        recorder: where it is recorded to; None if it is not.
        patient: SHA-256 of the patient it was begun on.
    """

    def __init__(self, handle: ServerGoalHandle, scan: SkinScan, recorder: ScanRecorder | None, patient: str) -> None:
        self.done = Future()
        self.handle, self.scan, self.recorder, self.patient = handle, scan, recorder, patient
        self.ends = time.monotonic() + (duration(handle.request) or float("inf"))
        self.reported = 0.0
        self.attended = time.monotonic()  # when its client was last seen


class ScanNode(Node):
    """Action server `~/scan`. Poses go to `us_sim/probe_pose`; goals that cannot be are aborted with the reason."""

    def __init__(self, **kwargs: object) -> None:
        super().__init__("us_sim_scan", **kwargs)
        parameters.declare(self, ScanConfig)
        self._config = parameters.read(self, ScanConfig)
        parameters.fix(self, vars(self._config))
        self._robot = Robot(self)
        self._busy = False
        self._run: Run | None = None
        self._server = ActionServer(
            self, Scan, "~/scan", self._execute, goal_callback=self._take, cancel_callback=self._cancel
        )
        self.create_service(Trigger, "~/stop", self._stop)
        self._status = f"{self.get_fully_qualified_name()}/scan/_action/status"  # every action client listens to it
        self.create_timer(1.0 / self._config.control_rate, self._tick)
        self.get_logger().info(f"waiting for goals on {self.get_fully_qualified_name()}/scan")

    def destroy_node(self) -> None:
        """Finish a recording first."""
        if hasattr(self, "_server"):  # Kilted's context also destroys a node whose constructor failed
            if self._run is not None and self._run.recorder is not None:
                self._run.recorder.close()
            self._server.destroy()
        super().destroy_node()

    # -- goals ---------------------------------------------------------------------------------------------

    def _take(self, goal: Scan.Goal) -> GoalResponse:
        if self._busy:
            self.get_logger().warning("a goal is refused: another one is under way; cancel that first")
            return GoalResponse.REJECT
        self._busy = True
        return GoalResponse.ACCEPT

    def _cancel(self, handle: ServerGoalHandle) -> CancelResponse:
        return CancelResponse.ACCEPT

    def _stop(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        """Lift the probe off, whoever sent the goal."""
        response.success = self._run is not None and not self._run.done.done()
        if response.success:
            self._run.scan.stop("stopped by ~/stop")  # type: ignore[union-attr]
        else:
            response.message = "no scan is under way"
        return response

    async def _execute(self, handle: ServerGoalHandle) -> Scan.Result:
        try:
            return await self._scan(handle)
        except (UsSimError, OSError) as error:
            self.get_logger().warning(f"a goal is aborted: {error}")
            handle.abort()
            return Scan.Result(message=str(error))
        finally:
            self._busy, self._run = False, None
            self._robot.leave()

    async def _scan(self, handle: ServerGoalHandle) -> Scan.Result:
        """Run one goal to its end."""
        goal, info = handle.request, self._robot.info
        if info is None:
            raise ConfigError(NO_SIMULATOR)
        scan = scan_of(goal, info, self._config.force_limit)
        folder = recording_folder(self._config.recordings, goal.recording)
        recorder = ScanRecorder(self, folder, info) if folder else None
        run = Run(handle, scan, recorder, info.patient_sha256)
        self._robot.hold_demo()
        self._robot.move(scan.begin(self._robot.shown))
        self._run = run  # from here on `_tick` moves the probe
        await run.done
        self._run = None
        if recorder is not None:
            recorder.stop_listening()
            await in_worker(self.executor, recorder.close)
            if not (scan.failure or recorder.count):
                scan.failure = NO_FRAMES
        if not scan.failure:
            handle.succeed()
        elif handle.is_cancel_requested:
            handle.canceled()
        else:
            handle.abort()
        return _result(scan, recorder)

    # -- step by step ----------------------------------------------------------------------------------------

    def _tick(self) -> None:
        run = self._run
        if run is None or run.done.done():
            return
        self._robot.hold_demo()
        self._watch(run)
        answer = self._robot.sensed()
        if self._robot.silent:
            run.scan.stop("the simulator has stopped responding")
            run.done.set_result(None)
        elif answer is not None:
            try:
                self._step(run, *answer)
            except (ValueError, ArithmeticError, UsSimError) as error:  # of a wrench or contact that cannot be
                run.scan.stop(f"the simulator's contact or wrench is invalid: {error}")
                run.done.set_result(None)
        if time.monotonic() - run.reported > FEEDBACK:
            run.reported = time.monotonic()
            run.handle.publish_feedback(self._feedback(run))

    def _watch(self, run: Run) -> None:
        """Abort for reasons other than force."""
        info, gone, now = self._robot.info, self._config.client_timeout, time.monotonic()
        if self.count_subscribers(self._status):
            run.attended = now
        if run.handle.is_cancel_requested:
            run.scan.stop("cancelled")
        elif now > run.ends:
            run.scan.stop(f"the timeout of {duration(run.handle.request):g} s is over")
        elif gone and now - run.attended > gone:
            run.scan.stop(f"its client has been gone for {gone:g} s")
        elif info is not None and info.patient_sha256 != run.patient:
            run.scan.stop(f"the patient was changed to {info.patient}")
        elif run.recorder is not None and run.recorder.failure:
            run.scan.stop(run.recorder.failure)

    def _step(self, run: Run, *answer: Any) -> None:
        assert self._robot.pose is not None
        self._robot.move(run.scan.step(self._robot.pose, *answer))
        if run.recorder is not None and run.scan.stage is Stage.SCAN:
            run.recorder.begin(self._robot.stamp)
        if run.recorder is not None and run.scan.stage is Stage.LIFT:
            run.recorder.end(self._robot.stamp)
        if run.scan.stage is Stage.DONE:
            run.done.set_result(None)

    def _feedback(self, run: Run) -> Scan.Feedback:
        feedback = Scan.Feedback(progress=run.scan.progress, remaining=_duration(run.scan.remaining))
        if self._robot.pose is not None and self._robot.info is not None:
            header = Header(stamp=self.get_clock().now().to_msg(), frame_id=self._robot.info.ct_frame)
            feedback.pose = PoseStamped(header=header, pose=pose_message(self._robot.pose))
        if self._robot.wrench is not None:
            feedback.wrench = self._robot.wrench
        feedback.frames = run.recorder.count if run.recorder is not None else 0
        return feedback


def _result(scan: SkinScan, recorder: ScanRecorder | None) -> Scan.Result:
    return Scan.Result(
        success=not scan.failure, message=scan.failure,
        recording=str(recorder.folder) if recorder is not None else "",
        frames=recorder.count if recorder is not None else 0,
        coverage=scan.progress, force_mean=float(scan.forces.mean), force_max=float(scan.forces.greatest),
    )  # fmt: skip


def _duration(seconds: float) -> Duration:
    whole = int(seconds)
    return Duration(sec=whole, nanosec=int((seconds - whole) * 1e9))


@as_command("us_sim_scan")
def main(args: list[str] | None = None) -> int:
    """Run the node until it is interrupted; return the exit code."""
    return run(ScanNode, lambda _: None, args)
