"""Recording messages to MCAP: read back by the library's own decoder, field by field."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from geometry_msgs.msg import Point, Pose, PoseStamped, Quaternion
from mcap.reader import make_reader
from mcap_ros2.decoder import DecoderFactory
from rclpy.duration import Duration
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import Image
from us_sim_msgs.msg import RenderedFrame

from us_sim.core.errors import RecordingError
from us_sim.poses.trajectory import read_trajectory
from us_sim.ros import mcap_recorder
from us_sim.ros.mcap_recorder import McapRecorder, definition


def pose(seconds: int) -> PoseStamped:
    message = PoseStamped()
    message.header.frame_id, message.header.stamp.sec = "ct", seconds
    message.pose = Pose(position=Point(x=0.1, y=-1 / 3, z=7.0), orientation=Quaternion(x=0.6, y=0.0, z=0.8, w=0.0))
    return message


def test_messages_come_back_as_they_were(tmp_path: Path) -> None:
    file = tmp_path / "new" / "sweep.mcap"
    frame = RenderedFrame(image=Image(height=1, width=3, data=[1, 2, 3]))
    with McapRecorder(file) as recorder:
        recorder.write("/us_sim/probe_pose", pose(5), log_time=11)
        recorder.write("/frames", frame, log_time=12)
        recorder.write("/us_sim/probe_pose", pose(6), log_time=13)
        assert recorder.count == 3
    recorder.close()
    with file.open("rb") as stream:
        reader = make_reader(stream, decoder_factories=[DecoderFactory()])
        assert reader.get_header().profile == "ros2"
        found = list(reader.iter_decoded_messages())
    assert [(schema.name, channel.topic, message.log_time) for schema, channel, message, _ in found if schema] == [
        ("geometry_msgs/msg/PoseStamped", "/us_sim/probe_pose", 11),
        ("us_sim_msgs/msg/RenderedFrame", "/frames", 12),
        ("geometry_msgs/msg/PoseStamped", "/us_sim/probe_pose", 13),
    ]
    first, second, third = (decoded for *_, decoded in found)
    assert (first.header.stamp.sec, third.header.stamp.sec, first.header.frame_id) == (5, 6, "ct")
    assert (first.pose.position.x, first.pose.position.y, first.pose.position.z) == (0.1, -1 / 3, 7.0)
    assert (first.pose.orientation.x, first.pose.orientation.z, first.pose.orientation.w) == (0.6, 0.8, 0.0)
    assert (second.image.width, bytes(second.image.data)) == (3, b"\x01\x02\x03")


def test_a_schema_names_all_that_it_contains_once() -> None:
    text = definition(PoseStamped)
    parts = [line for line in text.splitlines() if line.startswith("MSG: ")]
    assert parts == [
        "MSG: geometry_msgs/Pose", "MSG: geometry_msgs/Point", "MSG: geometry_msgs/Quaternion", "MSG: std_msgs/Header",
        "MSG: builtin_interfaces/Time",
    ]  # fmt: skip
    assert text.count("=" * 80) == 5


def test_a_topic_tells_its_hash_and_the_qos_it_was_offered_with(tmp_path: Path) -> None:
    """As `ros2 bag record` of Jazzy does: the hash by `ros2 topic info -v`, policies by rmw's names, version 9."""
    file, asked = tmp_path / "sweep.mcap", []

    def offered(topic: str) -> list[QoSProfile]:
        asked.append(topic)
        return [
            QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL, lifespan=Duration(nanoseconds=2**63 - 1))
        ]

    with McapRecorder(file, offered) as recorder:
        for number in range(3):
            recorder.write("/us_sim/probe_pose", pose(number), log_time=number)
    assert asked == ["/us_sim/probe_pose"]
    with file.open("rb") as stream:
        summary = make_reader(stream).get_summary()
    assert summary is not None
    (channel,) = summary.channels.values()
    assert channel.metadata["topic_type_hash"] == (
        "RIHS01_10f3786d7d40fd2b54367835614bff85d4ad3b5dab62bf8bca0cc232d73b4cd8"
    )
    (profile,) = yaml.safe_load(channel.metadata["offered_qos_profiles"])
    assert profile == {
        "history": "keep_last", "depth": 1, "reliability": "reliable", "durability": "transient_local",
        "deadline": {"sec": 0, "nsec": 0}, "lifespan": {"sec": 9223372036, "nsec": 854775807},
        "liveliness": "system_default", "liveliness_lease_duration": {"sec": 0, "nsec": 0},
        "avoid_ros_namespace_conventions": False,
    }  # fmt: skip
    assert [chunk.compression for chunk in summary.chunk_indexes] == [""]
    assert summary.chunk_indexes[0].message_index_length > 0  # without it rosbag2 cannot play in order


def test_a_recording_is_never_written_over(tmp_path: Path) -> None:
    file = tmp_path / "sweep.mcap"
    file.write_text("kept")
    with pytest.raises(RecordingError, match=r"sweep\.mcap is there already; remove it, or give another name"):
        McapRecorder(file)
    assert file.read_text() == "kept"


def test_a_recording_is_called_mcap(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match=r"sweep\.bag: expected a name that ends in \.mcap"):
        McapRecorder(tmp_path / "sweep.bag")


def test_a_type_without_definition_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mcap_recorder.os, "environ", {"AMENT_PREFIX_PATH": "/nowhere"})
    with (
        McapRecorder(tmp_path / "sweep.mcap") as recorder,
        pytest.raises(
            RecordingError, match=r"geometry_msgs/PoseStamped: no definition in AMENT_PREFIX_PATH \(/nowhere\); source"
        ),
    ):
        recorder.write("/pose", pose(1))


KILLED = """
import sys
from pathlib import Path
from geometry_msgs.msg import PoseStamped
from us_sim.ros.mcap_recorder import McapRecorder
recorder = McapRecorder(Path(sys.argv[1]))
message = PoseStamped()
message.header.frame_id, message.pose.orientation.w = "ct", 1.0
for number in range(int(sys.argv[2])):
    message.header.stamp.sec = number
    recorder.write("/us_sim/probe_pose", message, number + 1)
recorder.flush()
recorder.write("/us_sim/probe_pose", message, number + 2)  # is lost
print("flushed", flush=True)
sys.stdin.read()
"""


def test_what_was_flushed_outlives_a_kill(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "killed.mcap"
    command = [sys.executable, "-c", KILLED, str(file), "3000"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "flushed\n"
        os.kill(process.pid, signal.SIGKILL)
    found = read_trajectory(file)
    assert found.stamps.tolist() == [max(1, 1_000_000_000 * number) for number in range(3000)]
    assert "killed.mcap: cut short; the 3000 messages that are whole of " in capsys.readouterr().err


def test_it_flushes_each_second_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(mcap_recorder.time, "monotonic", lambda: now[0])
    with McapRecorder(tmp_path / "sweep.mcap") as recorder:
        recorder.write("/us_sim/probe_pose", pose(5), log_time=11)
        before = recorder.path.stat().st_size
        now[0] += mcap_recorder.FLUSH + 0.01
        recorder.write("/us_sim/probe_pose", pose(6), log_time=12)
        assert recorder.path.stat().st_size > before
        assert read_trajectory(recorder.path).stamps.tolist() == [5 * 10**9, 6 * 10**9]
