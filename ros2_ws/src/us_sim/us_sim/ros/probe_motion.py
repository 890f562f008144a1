"""The demo that moves the probe: a motion over the skin, again and again, as poses for `us_sim`.

It loads the patient itself, from the same parameters: a motion stands on the skin, which no topic carries, and
this node needs nothing of the simulator's to run. If the simulator shows another patient, it says so.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import cycle

from geometry_msgs.msg import PoseStamped
from rclpy.node import Node
from std_msgs.msg import Header
from std_srvs.srv import SetBool
from us_sim_msgs.msg import ProbeInfo

from us_sim.core import assembly
from us_sim.core.config import SimConfig, check_ranges, setting
from us_sim.core.motion import MOTIONS, motion
from us_sim.ros import parameters
from us_sim.ros.conversions import pose_message
from us_sim.ros.outputs import latched_qos, stream_qos
from us_sim.ros.running import run

PATIENT = ("ct", "labels", "label_scheme", "seed")


@dataclass(frozen=True)
class MotionConfig:
    """How the probe moves.

    Raises:
        ConfigError: a value outside its range or choices.
    """

    motion: str = setting("liver_sweep", "how the probe moves over the skin", choices=tuple(MOTIONS))
    rate: float = setting(30.0, "poses per second, Hz", 1.0, 200.0)
    period: float = setting(12.0, "duration of one motion, s", 1.0, 600.0)
    ct_frame_id: str = setting("ct", "frame of the poses; by default behind the node's namespace")

    def __post_init__(self) -> None:
        check_ranges(self)


class ProbeMotion(Node):
    """Node `probe_motion`.

    Raises:
        UsSimError: the patient cannot be loaded, or the motion does not fit it.
    """

    def __init__(self, **kwargs: object) -> None:
        super().__init__("probe_motion", **kwargs)
        parameters.declare(self, SimConfig, PATIENT)
        parameters.declare(self, MotionConfig)
        ct, labels, label_scheme, seed = (self.get_parameter(name).value for name in PATIENT)
        patient = assembly.open_patient(ct, labels, label_scheme, seed)
        config = parameters.read(self, MotionConfig)
        poses = motion(config.motion, patient, max(2, round(config.rate * config.period)))
        self._poses = cycle([pose_message(pose) for pose in poses])
        self._patient, self._frame, self._compared = patient, config.ct_frame_id, ""
        # Reliable, so that recorders of either kind can listen; the simulator takes only the newest anyway.
        self._publisher = self.create_publisher(PoseStamped, "us_sim/probe_pose", stream_qos())
        self.create_subscription(ProbeInfo, "us_sim/probe_info", self._compare, latched_qos())
        self._runs = True
        self.create_service(SetBool, "~/run", self._run)
        self.create_timer(1.0 / config.rate, self._step)
        self.get_logger().info(f"{config.motion} over {patient.name}, {len(poses)} poses, again and again")

    def _run(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        """Go on from where the motion stopped, or stop and send nothing: somebody else moves the probe."""
        self._runs, response.success = request.data, True
        return response

    def _step(self) -> None:
        if not self._runs:
            return
        header = Header(stamp=self.get_clock().now().to_msg(), frame_id=self._frame)
        self._publisher.publish(PoseStamped(header=header, pose=next(self._poses)))

    def _compare(self, info: ProbeInfo) -> None:
        if info.patient_sha256 not in (self._patient.sha256, self._compared):
            self._compared = info.patient_sha256
            self.get_logger().warning(
                f"the motion was made for {self._patient.name}, but the simulator shows {info.patient}; "
                "start probe_motion with the same ct and labels")


def main(args: list[str] | None = None) -> int:
    """Run the node until it is interrupted; return the exit code."""
    return run(ProbeMotion, lambda _: None, args)
