"""The scan action over DDS: whole, cancelled, interrupted, refused, recorded."""

from __future__ import annotations

import csv
import gc
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from action_msgs.msg import GoalStatus
from builtin_interfaces.msg import Duration
from geometry_msgs.msg import PoseStamped
from rclpy.action import ActionClient
from rclpy.parameter import Parameter
from std_msgs.msg import Header
from std_srvs.srv import Trigger
from tests.control.flat import upright
from us_sim_msgs.action import Scan
from us_sim_msgs.srv import LoadPatient

from us_sim.ros.conversions import pose_message

if TYPE_CHECKING:
    from tests.control.conftest import FlatSim, World

    from us_sim.control.scan import ScanNode

pytestmark = pytest.mark.usefixtures("quick")
Start = Callable[..., "ScanNode"]
PLACES = ((0.0, 0.0), (20.0, 0.0))


def goal(**changes: Any) -> Scan.Goal:
    """A path of 20 mm along x at 20 mm/s with 5 N."""
    waypoints = [waypoint(x, y) for x, y in changes.pop("places", PLACES)]
    given = {"pattern": Scan.Goal.PATH, "speed": 0.02, "force": 5.0, "force_tolerance": 2.0, "line_spacing": 0.01}
    return Scan.Goal(**{**given, "waypoints": waypoints, **changes})


def waypoint(x: float, y: float, z: float = 0.0, frame: str = "ct") -> PoseStamped:
    return PoseStamped(header=Header(frame_id=frame), pose=pose_message(upright(x, y, z)))


class Client:
    """Sends goals and waits for what comes of them."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._client = ActionClient(world.client, Scan, "us_sim_scan/scan")
        self.feedback: list[Scan.Feedback] = []
        self._closed = False

    def send(self, wished: Scan.Goal) -> Any:
        """Return the handle."""
        self._world.until(self._client.server_is_ready)
        sent = self._client.send_goal_async(wished, lambda message: self.feedback.append(message.feedback))
        self._world.until(sent.done)
        return sent.result()

    def close(self) -> None:
        """Be gone, once."""
        if not self._closed:
            self._client.destroy()
            del self._client
        self._closed = True

    def result(self, handle: Any) -> Any:
        """Return status and result."""
        future = handle.get_result_async()
        self._world.until(future.done, 120.0)
        return future.result()

    def under_way(self, progress: float = 0.1) -> None:
        """Wait until a part of the path is done."""
        self._world.until(lambda: self.feedback and self.feedback[-1].progress > progress)


@pytest.fixture
def client(world: World) -> Iterator[Client]:
    client = Client(world)
    yield client
    client.close()
    gc.collect()  # a scan of a later test would take what is left of it for its own client


def ready(world: World, node: ScanNode) -> None:
    """Wait until the node has heard of the simulator."""
    world.until(lambda: node._robot.info is not None)


def test_a_scan_comes_to_its_end(world: World, flat_sim: FlatSim, scan_node: Start, client: Client) -> None:
    ready(world, scan_node())
    outcome = client.result(client.send(goal()))
    result = outcome.result
    assert outcome.status == GoalStatus.STATUS_SUCCEEDED
    assert result.success, result.message
    assert (result.message, result.recording, result.frames) == ("", "", 0)
    assert result.coverage == pytest.approx(1.0)
    assert result.force_mean == pytest.approx(5.0, abs=0.5)
    assert result.force_max < 6.0
    last = client.feedback[-1]
    assert last.pose.header.frame_id == "ct"
    assert [f.progress for f in client.feedback] == sorted(f.progress for f in client.feedback)
    assert any(f.wrench.wrench.force.z < -4.0 for f in client.feedback)
    world.until(lambda: flat_sim.poses[-1][2, 3] < 0.0)  # off the skin


def test_its_force_limit_cannot_change_in_silence(world: World, flat_sim: FlatSim, scan_node: Start) -> None:
    node = scan_node()
    (refused,) = node.set_parameters([Parameter("force_limit", value=8.0)])
    assert refused.reason == "force_limit is read when us_sim_scan starts; stop it and start it with force_limit"
    assert node.get_parameter("force_limit").value == 25.0


def test_a_raster_is_scanned(world: World, flat_sim: FlatSim, scan_node: Start, client: Client) -> None:
    ready(world, scan_node())
    corners = ((0.0, 0.0), (20.0, 0.0), (20.0, 10.0), (0.0, 10.0))
    outcome = client.result(client.send(goal(pattern=Scan.Goal.RASTER, places=corners, speed=0.05)))
    assert outcome.result.success, outcome.result.message
    ways = np.array([pose[:3, 3] for pose in flat_sim.poses])
    assert ways[ways[:, 2] > 3.0][:, 1].max() == pytest.approx(10.0, abs=1.5)


def test_a_cancelled_scan_lifts_off_and_says_so(
    world: World, flat_sim: FlatSim, scan_node: Start, client: Client
) -> None:
    ready(world, scan_node())
    handle = client.send(goal(speed=0.005))
    client.under_way()
    handle.cancel_goal_async()
    outcome = client.result(handle)
    assert outcome.status == GoalStatus.STATUS_CANCELED
    assert not outcome.result.success
    assert outcome.result.message.startswith("cancelled (scanning, ")
    assert 0.0 < outcome.result.coverage < 1.0
    world.until(lambda: flat_sim.poses[-1][2, 3] < 0.0)  # off the skin
    assert client.result(client.send(goal())).result.success  # the next one is taken


def test_stop_lifts_off_whoever_sent_the_goal(
    world: World, flat_sim: FlatSim, scan_node: Start, client: Client
) -> None:
    ready(world, scan_node())
    idle = world.call(Trigger, "us_sim_scan/stop", Trigger.Request())
    assert (idle.success, idle.message) == (False, "no scan is under way")
    handle = client.send(goal(speed=0.005))
    client.under_way()
    assert world.call(Trigger, "us_sim_scan/stop", Trigger.Request()).success
    outcome = client.result(handle)
    assert outcome.status == GoalStatus.STATUS_ABORTED
    assert outcome.result.message.startswith("stopped by ~/stop (scanning, ")
    world.until(lambda: flat_sim.poses[-1][2, 3] < 0.0)  # off the skin


@pytest.mark.parametrize("timeout", [0.2, 0.0])
def test_a_scan_without_a_client_stops_unless_it_is_let(
    world: World, flat_sim: FlatSim, scan_node: Start, client: Client, timeout: float
) -> None:
    """Ctrl-C of `ros2 action send_goal` leaves no word: its client is just gone."""
    node = scan_node(client_timeout=timeout)
    ready(world, node)
    client.send(goal(speed=0.001 if timeout else 0.02))  # 18 s for DDS to say that it is gone
    client.under_way()
    assert node._run is not None
    scan = node._run.scan
    client.close()
    world.until(lambda: node._run is None)
    if timeout:
        assert scan.failure.startswith("its client has been gone for 0.2 s (scanning, ")
    else:
        assert (scan.failure, scan.progress) == ("", 1.0)
    world.until(lambda: flat_sim.poses[-1][2, 3] < 0.0)  # off the skin


def test_another_goal_meanwhile_is_refused(world: World, flat_sim: FlatSim, scan_node: Start, client: Client) -> None:
    ready(world, scan_node())
    first = client.send(goal())
    assert not client.send(goal()).accepted
    assert client.result(first).result.success


def test_a_patient_swapped_meanwhile_ends_it(world: World, flat_sim: FlatSim, scan_node: Start, client: Client) -> None:
    ready(world, scan_node())
    handle = client.send(goal(speed=0.005))
    client.under_way()
    flat_sim.show_patient("two")
    outcome = client.result(handle)
    assert outcome.status == GoalStatus.STATUS_ABORTED
    assert outcome.result.message.startswith("the patient was changed to two (scanning")
    world.until(lambda: flat_sim.poses[-1][2, 3] < 0.0)  # off the skin


def test_a_scan_gives_up_after_its_timeout(world: World, flat_sim: FlatSim, scan_node: Start, client: Client) -> None:
    ready(world, scan_node())
    outcome = client.result(client.send(goal(timeout=Duration(sec=0, nanosec=200_000_000))))
    assert outcome.status == GoalStatus.STATUS_ABORTED
    assert outcome.result.message.startswith("the timeout of 0.2 s is over")


def test_a_simulator_that_falls_silent_ends_it(
    world: World, flat_sim: FlatSim, scan_node: Start, client: Client
) -> None:
    ready(world, scan_node())
    handle = client.send(goal(speed=0.005))
    client.under_way()
    flat_sim.mute = True
    outcome = client.result(handle)
    assert outcome.status == GoalStatus.STATUS_ABORTED
    assert outcome.result.message.startswith("the simulator has stopped responding")


def test_without_a_simulator_a_goal_is_aborted(world: World, scan_node: Start, client: Client) -> None:
    scan_node()
    outcome = client.result(client.send(goal()))
    assert outcome.status == GoalStatus.STATUS_ABORTED
    assert outcome.result.message.startswith("no simulator on us_sim/probe_info")


def test_goals_that_cannot_be_move_nothing_and_the_next_one_is_taken(
    world: World, flat_sim: FlatSim, scan_node: Start, client: Client
) -> None:
    ready(world, scan_node())
    for changes, text in (
        ({"speed": math.nan}, "speed is nan"),
        ({"waypoints": []}, "the goal has no waypoints"),
        ({"recording": "../elsewhere"}, "recording '../elsewhere' lies outside"),
    ):
        outcome = client.result(client.send(goal(**changes)))
        assert outcome.status == GoalStatus.STATUS_ABORTED
        assert outcome.result.message.startswith(text)
    assert not flat_sim.poses
    assert client.result(client.send(goal())).result.success


def test_a_recording_holds_the_frames_of_the_course(
    world: World, scan_node: Start, client: Client, tmp_path: Path
) -> None:
    """With the simulator's own node, on its ball of a patient: frames lie between the ends of the path."""
    world.start()
    ready(world, scan_node())
    places = [waypoint(x, 0.0, -60.0) for x in (-5.0, 5.0)]
    result = client.result(client.send(goal(waypoints=places, recording="sweeps"))).result
    assert result.success, result.message
    folder = Path(result.recording)
    assert folder.parent == tmp_path / "sweeps"
    rows = list(csv.DictReader((folder / "poses.csv").open()))
    assert len(rows) == result.frames > 5
    assert all((folder / row["image"]).exists() and (folder / row["labels"]).exists() for row in rows)
    x = np.array([float(row["x"]) for row in rows])
    assert -0.008 < x.min() < x.max() < 0.008
    assert np.all(np.diff(x) > -1e-3)


def test_a_recording_that_cannot_be_made_is_told_before_the_probe_moves(
    world: World, flat_sim: FlatSim, scan_node: Start, client: Client, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    ready(world, scan_node())
    outcome = client.result(client.send(goal(recording="file")))
    assert outcome.status == GoalStatus.STATUS_ABORTED
    assert "Not a directory" in outcome.result.message or "File exists" in outcome.result.message
    assert not flat_sim.poses


def test_the_nodes_own_patient_swapped_meanwhile(
    world: World, scan_node: Start, client: Client, tmp_path: Path
) -> None:
    world.start()
    ready(world, scan_node())
    (tmp_path / "other.nii.gz").touch()
    handle = client.send(goal(waypoints=[waypoint(x, 0.0, -60.0) for x in (-10.0, 10.0)], speed=0.002))  # 10 s to load
    client.under_way(0.05)
    loaded = world.call(LoadPatient, "us_sim/load_patient", LoadPatient.Request(ct=str(tmp_path / "other.nii.gz")))
    assert loaded.success
    outcome = client.result(handle)
    assert outcome.status == GoalStatus.STATUS_ABORTED
    assert outcome.result.message.startswith("the patient was changed to other.nii.gz")
