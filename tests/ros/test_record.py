"""Recording and playing poses: over DDS into a file, and from the file over DDS."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from geometry_msgs.msg import PoseStamped
from mcap.reader import make_reader
from mcap_ros2.decoder import DecoderFactory
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile
from tests.ros.conftest import DOMAIN, World

from us_sim.poses.bags import read_bag
from us_sim.ros import play, record
from us_sim.ros.conversions import nanoseconds
from us_sim.ros.mcap_recorder import McapRecorder
from us_sim.ros.play import Player
from us_sim.ros.record import Recorder


def recording(file: Path, world: World, count: int, step: float) -> Path:
    with McapRecorder(file) as recorder:
        for number in range(count):
            recorder.write("/us_sim/probe_pose", world.pose(5.0 + step * number, x=1.5 * number), number)
    return file


def test_poses_are_written_as_they_come(world: World, tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "poses.mcap", context=world.context)
    world.add(recorder)
    publisher = world.client.create_publisher(PoseStamped, "us_sim/probe_pose", QoSProfile(depth=50))
    world.until(publisher.get_subscription_count)
    for number in range(20):
        publisher.publish(world.pose(3.25 + 0.01 * number, x=float(number)))
    world.until(lambda: recorder.file.count == 20)
    recorder.file.close()
    poses = read_bag(tmp_path / "poses.mcap")
    assert [pose.stamp for pose in poses] == [3_250_000_000 + 10_000_000 * n for n in range(20)]
    assert [pose.position[0] for pose in poses] == [n / 1000 for n in range(20)]
    assert {pose.frame_id for pose in poses} == {"ct"}


def test_a_pose_without_stamp_is_stamped_when_it_comes(world: World, tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "poses.mcap", context=world.context)
    before = recorder.get_clock().now().nanoseconds
    recorder._write("/us_sim/probe_pose", PoseStamped())
    recorder.destroy_node()
    assert before <= read_bag(tmp_path / "poses.mcap")[0].stamp <= world.client.get_clock().now().nanoseconds


def test_frames_are_recorded_where_they_are_asked_for(world: World, tmp_path: Path) -> None:
    node = world.start()
    recorder = Recorder(tmp_path / "run.mcap", frames=True, context=world.context)
    world._executor.add_node(recorder)  # in this thread: nothing comes while its file is closed
    out = node.session.outputs
    world.listened(out.image, out.labels, out.frame_info, out.wrench)
    send = world.sender(node)

    def topics() -> set[str]:
        send(world.pose(2.0, x=7.0))
        return {topic.split("/")[-1] for topic in recorder.file._channels}

    expected = {"probe_pose", "image", "labels", "frame_info", "contact", "wrench", "probe_info"}
    world.until(lambda: topics() == expected)
    recorder.destroy_node()
    with (tmp_path / "run.mcap").open("rb") as stream:
        reader = make_reader(stream, decoder_factories=[DecoderFactory()])
        summary = reader.get_summary()
        images = [message for *_, message in reader.iter_decoded_messages("/us_sim/image")]
    assert summary is not None
    about = {channel.topic: channel.metadata for channel in summary.channels.values()}
    assert "durability: transient_local" in about["/us_sim/probe_info"]["offered_qos_profiles"]
    assert "durability: volatile" in about["/us_sim/image"]["offered_qos_profiles"]
    assert (images[-1].header.frame_id, images[-1].encoding) == ("probe", "mono8")


def test_played_poses_come_with_their_stamps_at_their_pace(world: World, tmp_path: Path) -> None:
    poses = read_bag(recording(tmp_path / "poses.mcap", world, 6, 0.2))
    came: list[tuple[PoseStamped, float]] = []
    player = Player(poses, speed=2.0, context=world.context)
    world.client.create_subscription(
        PoseStamped, "us_sim/probe_pose", lambda pose: came.append((pose, time.monotonic())), QoSProfile(depth=50)
    )
    world.add(player)
    world.until(lambda: len(came) == 6)
    assert [nanoseconds(pose.header.stamp) for pose, _ in came] == [pose.stamp for pose in poses]
    np.testing.assert_allclose([pose.pose.position.x for pose, _ in came], [0.0015 * n for n in range(6)])
    assert came[-1][1] - came[0][1] >= 0.8 * 5 * 0.1  # 1 s of stamps, twice as fast; never much too early


def run(module: Any, *arguments: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "ROS_DOMAIN_ID": str(DOMAIN)}
    command = [sys.executable, "-m", module.__name__, *arguments]
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_recording_is_whole(world: World, tmp_path: Path, ending: signal.Signals) -> None:
    file = tmp_path / "poses.mcap"
    process = run(record, str(file), "--ros-args", "-r", "us_sim/probe_pose:=/arm/pose")
    publisher = world.client.create_publisher(PoseStamped, "/arm/pose", QoSProfile(depth=50))
    world.until(publisher.get_subscription_count)
    publisher.publish(world.pose(4.0))
    sent = 1

    def written() -> bool:  # best effort: the first may be lost, and what is buffered does not show in the file
        nonlocal sent
        publisher.publish(world.pose(4.0 + 0.001 * sent))
        sent += 1
        return sent > 40

    world.until(written)
    process.send_signal(ending)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 0, said
    poses = read_bag(file)
    assert f"{len(poses)} messages in {file}" in said
    assert 1 <= len(poses) <= sent


def test_a_player_ends_after_the_last_pose(world: World, tmp_path: Path) -> None:
    file = recording(tmp_path / "poses.mcap", world, 3, 0.1)
    came = world.listen(PoseStamped, "us_sim/probe_pose")
    process = run(play, str(file))
    world.until(lambda: len(came) == 3)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "3 poses sent" in said


@pytest.mark.parametrize(
    ("main", "arguments", "message"),
    [
        (play.main, ["/nowhere/poses.mcap"], "us_sim_play: /nowhere/poses.mcap: No such file or directory; expected"),
        (play.main, [__file__], "neither MCAP nor SQLite"),
        (
            record.main,
            ["/proc/nowhere/poses.mcap"],
            ": No such file or directory; expected a file or folder that can be used",
        ),
    ],
)
def test_what_is_wrong_is_one_line(
    main: Any, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    assert message in capsys.readouterr().err


def test_a_recording_that_is_there_is_kept(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "poses.mcap"
    file.write_text("kept")
    assert record.main([str(file)]) == 1
    assert "is there already; remove it, or give another name" in capfd.readouterr().err
    assert file.read_text() == "kept"


@pytest.mark.parametrize("speed", ["0", "nan", "fast"])
def test_a_speed_that_cannot_be(speed: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        play.main(["poses.mcap", "--speed", speed])
    assert end.value.code == 2
    assert "us_sim_play: error: " in capsys.readouterr().err


def test_the_clock_of_a_recording_may_be_simulated(world: World, tmp_path: Path) -> None:
    simulated = [Parameter("use_sim_time", value=True)]
    recorder = Recorder(tmp_path / "poses.mcap", context=world.context, parameter_overrides=simulated)
    recorder._write("/us_sim/probe_pose", world.pose(8.0))
    recorder.destroy_node()
    assert read_bag(tmp_path / "poses.mcap")[0].stamp == 8 * 10**9
