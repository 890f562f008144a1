"""Poses from files: CSV, MCAP, rosbag2 folders; what is wrong with one is said with its place."""

from __future__ import annotations

import io
import re
import sqlite3
from contextlib import redirect_stderr
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from mcap.writer import CompressionType
from mcap_ros2.writer import Writer

from us_sim.core.errors import PoseError, RecordingError
from us_sim.poses import bags
from us_sim.poses.bags import DEFINITION, POSE
from us_sim.poses.trajectory import Trajectory, paced, read_csv, read_trajectory

METADATA = """rosbag2_bagfile_information:
  version: 9
  storage_identifier: {kind}
  relative_file_paths: [{files}]
"""


def message(stamp: int, x: float, frame: str = "ct", w: float = 1.0) -> dict[str, Any]:
    """A PoseStamped, m and ns."""
    return {
        "header": {"stamp": {"sec": stamp // 10**9, "nanosec": stamp % 10**9}, "frame_id": frame},
        "pose": {"position": {"x": x, "y": 0.5, "z": -0.25}, "orientation": {"x": 0.0, "y": 0.0, "z": 0.0, "w": w}},
    }


def write(file: Path, *messages: tuple[str, int, dict[str, Any]], kind: str = POSE, text: str = DEFINITION) -> Path:
    """An MCAP of (topic, time of receipt, message)."""
    with file.open("wb") as stream:
        writer = Writer(stream, compression=CompressionType.NONE)
        schema = writer.register_msgdef(kind, text)
        for topic, received, content in messages:
            writer.write_message(topic, schema, content, log_time=received)
        writer.finish()
    return file


def sweep(file: Path) -> Path:
    return write(file, *(("/us_sim/probe_pose", 50 + n, message(7 * n + 10**9, 0.1 * n)) for n in range(5)))


# -- recordings ------------------------------------------------------------------------------------------


def check(trajectory: Trajectory) -> None:
    """That it is `sweep`: metres have become millimetres, stamps are kept to the nanosecond."""
    assert trajectory.stamps.tolist() == [10**9 + 7 * n for n in range(5)]
    np.testing.assert_allclose(trajectory.poses[:, :3, 3], [[100 * n, 500, -250] for n in range(5)], atol=1e-12)
    np.testing.assert_array_equal(trajectory.poses[:, :3, :3], np.broadcast_to(np.eye(3), (5, 3, 3)))


def test_an_mcap_keeps_poses_and_stamps(tmp_path: Path) -> None:
    check(read_trajectory(sweep(tmp_path / "sweep.mcap")))
    check(read_trajectory(sweep(tmp_path / "named_otherwise")))


def test_a_rosbag2_folder_of_mcap(tmp_path: Path) -> None:
    sweep(tmp_path / "bag_0.mcap")
    (tmp_path / "metadata.yaml").write_text(METADATA.format(kind="mcap", files="bag_0.mcap"))
    check(read_trajectory(tmp_path))


def test_a_rosbag2_folder_of_sqlite(tmp_path: Path) -> None:
    rows = [(row.topic, row.received, row.data) for row in bags._mcap(sweep(tmp_path / "sweep.mcap"))]
    with sqlite3.connect(tmp_path / "bag_0.db3") as connection:  # as rosbag2_storage_sqlite3 lays it out
        connection.execute(
            "CREATE TABLE topics(id INTEGER PRIMARY KEY, name TEXT NOT NULL, type TEXT NOT NULL, "
            "serialization_format TEXT NOT NULL, offered_qos_profiles TEXT NOT NULL)"
        )
        connection.execute(
            "CREATE TABLE messages(id INTEGER PRIMARY KEY, topic_id INTEGER NOT NULL, "
            "timestamp INTEGER NOT NULL, data BLOB NOT NULL)"
        )
        connection.execute("INSERT INTO topics VALUES (1, '/clock', 'rosgraph_msgs/msg/Clock', 'cdr', '')")
        connection.execute("INSERT INTO topics VALUES (2, ?, ?, 'cdr', '')", (rows[0][0], POSE))
        connection.execute("INSERT INTO messages VALUES (1, 1, 3, x'00')")
        connection.executemany("INSERT INTO messages(topic_id, timestamp, data) VALUES (2, ?, ?)",
                               [row[1:] for row in reversed(rows)])  # fmt: skip
    connection.close()
    (tmp_path / "metadata.yaml").write_text(METADATA.format(kind="sqlite3", files="bag_0.db3"))
    check(read_trajectory(tmp_path))
    check(read_trajectory(tmp_path / "bag_0.db3"))


def test_a_pose_without_stamp_has_that_of_its_receipt(tmp_path: Path) -> None:
    file = write(tmp_path / "sweep.mcap", ("/p", 123, message(0, 0.0)), ("/p", 456, message(5, 0.0)))
    assert read_trajectory(file).stamps.tolist() == [123, 5]


def test_poses_of_the_topic_and_the_frame_that_are_named(tmp_path: Path) -> None:
    file = write(tmp_path / "two.mcap", ("/a", 1, message(1, 0.1)), ("/b", 2, message(2, 0.2, "left/ct")))
    assert read_trajectory(file, topic="/a").stamps.tolist() == [1]
    assert read_trajectory(file, topic="/b", ct_frame="left/ct").stamps.tolist() == [2]
    with pytest.raises(RecordingError, match=r"two\.mcap: poses on 2 topics \(/a, /b\); select one with --topic"):
        read_trajectory(file)
    with pytest.raises(RecordingError, match=r"no poses on topic '/c'; expected one of /a, /b"):
        read_trajectory(file, topic="/c")
    with pytest.raises(PoseError, match=r"pose 1: in frame 'left/ct', expected 'ct'; .* --ct-frame"):
        read_trajectory(file, topic="/b")


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (message(5, float("nan")), r"bad\.mcap, pose 2: pose holds NaN or Inf .*; expected numbers"),
        (message(5, 0.0, w=0.0), r"pose 2: quaternion \(0\.0, 0\.0, 0\.0, 0\.0\) has length 0; expected 1"),
        (message(5, 0.0, frame=""), r"pose 2: in frame '', expected 'ct'"),
        (message(-3 * 10**9, 0.0), r"pose 2: stamp is -3 s; expected 0 to 9223372037"),
    ],
)
def test_a_pose_that_cannot_be_is_named(tmp_path: Path, content: dict[str, Any], text: str) -> None:
    file = write(tmp_path / "bad.mcap", ("/p", 1, message(4, 0.0)), ("/p", 2, content))
    with pytest.raises(PoseError, match=text):
        read_trajectory(file)


def test_a_recording_without_poses(tmp_path: Path) -> None:
    file = write(tmp_path / "empty.mcap", ("/s", 1, {"data": "x"}), kind="std_msgs/msg/String", text="string data")
    with pytest.raises(RecordingError, match=r"empty\.mcap: holds no poses \(geometry_msgs/msg/PoseStamped\); "):
        read_trajectory(file)
    with pytest.raises(RecordingError, match="holds no poses"):
        read_trajectory(write(tmp_path / "nothing.mcap"))


def test_a_file_that_is_no_recording(tmp_path: Path) -> None:
    file = tmp_path / "text.mcap"
    file.write_text("x, y, z")
    with pytest.raises(RecordingError, match=r"text\.mcap: neither MCAP nor SQLite; it begins with b'x, y, z'"):
        read_trajectory(file)
    with pytest.raises(FileNotFoundError, match="nowhere"):
        read_trajectory(tmp_path / "nowhere.mcap")
    with pytest.raises(FileNotFoundError, match="nowhere"):
        read_trajectory(tmp_path / "nowhere")


def test_a_damaged_sqlite_file(tmp_path: Path) -> None:
    file = tmp_path / "bag.db3"
    file.write_bytes(b"SQLite format 3\0" + b"rubbish" * 100)
    with pytest.raises(RecordingError, match=r"bag\.db3: damaged, or cut short \(.*\); .*`ros2 bag reindex`"):
        read_trajectory(file)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, r"a folder without metadata\.yaml; expected that of rosbag2 .*, or name a file"),
        ("- 1", r"metadata\.yaml: not rosbag2's .*; expected rosbag2_bagfile_information with relative_file_paths"),
        ("{", r"metadata\.yaml: cannot be read as YAML"),
        (METADATA.format(kind="mcap", files="bag.mcap.zstd"), r"bag\.mcap\.zstd: compressed as a whole; unpack it"),
        (METADATA.format(kind="mcap", files=""), "holds no poses"),
    ],
)
def test_a_folder_that_is_no_bag(tmp_path: Path, text: str | None, message: str) -> None:
    if text is not None:
        (tmp_path / "metadata.yaml").write_text(text)
    (tmp_path / "bag.mcap.zstd").write_bytes(b"(\xb5/\xfd")
    with pytest.raises(RecordingError, match=message):
        read_trajectory(tmp_path)


@settings(max_examples=60, deadline=None)
@example(share=0.0078125)  # its index would lie before its start
@given(share=st.floats(0, 1, exclude_max=True))
def test_a_file_cut_short_is_never_taken_for_a_whole_one(
    tmp_path_factory: pytest.TempPathFactory, share: float
) -> None:
    file = sweep(tmp_path_factory.mktemp("cut") / "sweep.mcap")
    whole = file.read_bytes()
    file.write_bytes(whole[: int(share * len(whole))])
    said = io.StringIO()
    try:
        with redirect_stderr(said):
            found = read_trajectory(file)
    except RecordingError as error:
        if not re.search(r"sweep\.mcap: (damaged, or cut short \(.+\); repair|neither MCAP)", str(error)):
            raise
    else:  # its one chunk is whole, only what follows it is not
        check(found)
        assert "sweep.mcap: cut short; the 5 messages that are whole of " in said.getvalue()


def test_a_flipped_bit_is_found(tmp_path: Path) -> None:
    file = sweep(tmp_path / "sweep.mcap")
    data = bytearray(file.read_bytes())
    data[data.index(b"ct\0")] ^= 1  # in the chunk that a checksum covers
    file.write_bytes(data)
    with pytest.raises(RecordingError, match=r"damaged, or cut short \(.*crc"):
        read_trajectory(file)


def test_bytes_that_are_no_pose(tmp_path: Path) -> None:
    short = "std_msgs/Header header\n" + DEFINITION[DEFINITION.index("=" * 80) :]
    content = {"header": message(1, 0.0)["header"]}
    file = write(tmp_path / "odd.mcap", ("/p", 1, content), text=short)
    with pytest.raises(RecordingError, match=r"odd\.mcap, pose 1: \d+ bytes that are no geometry_msgs/msg/PoseStamped"):
        read_trajectory(file)


# -- CSV and motions -------------------------------------------------------------------------------------


def test_poses_without_stamps_are_paced() -> None:
    assert paced(np.stack([np.eye(4)] * 4), 30.0).stamps.tolist() == [0, 33333333, 66666667, 100000000]


def test_both_forms_of_a_pose_mean_the_same(tmp_path: Path) -> None:
    file = tmp_path / "poses.csv"
    # A quarter turn about z: (x, y, z, w) = (0, 0, sin 45°, cos 45°), also unnormalised.
    file.write_text(
        "m00,m01,m02,x,m10,m11,m12,y,m20,m21,m22,z,,,,\n"
        "0,-1,0,10, 1,0,0,20, 0,0,1,30, 0,0,0,1\n"
        "# a comment\n\n"
        "10;20;30;0;0;1;1\n"
    )
    first, second = read_csv(file)
    np.testing.assert_array_equal(first, [[0, -1, 0, 10], [1, 0, 0, 20], [0, 0, 1, 30], [0, 0, 0, 1]])
    np.testing.assert_allclose(second, first, atol=1e-15)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"poses\.csv: holds no pose; expected lines of 16 or 7 numbers"),
        ("1,2,3\n", r"poses\.csv, line 1: 3 numbers; expected 16 \(row-major, mm\) or 7"),
        ("x y z\n1 2 3 0 0 0 0\n", r"line 2: quaternion .* expected a finite one of length 1"),
        ("1 2 nan 0 0 0 1\n", r"line 1: NaN or Inf; expected finite numbers"),
        ("1 2 3 0 0 0 1\n1 2 here 0 0 0 1\n", r"line 2: could not convert string to float: 'here'"),
        (",".join(["1"] * 12) + ",0,0,0,1\n", r"line 1: ct_from_probe is not rigid"),
        (
            "1,0,0,0,0,1,0,0,0,0,1,0,10,20,30,1\n",
            r"line 1: last row is \[10.0, 20.0, 30.0, 1.0\]; expected 0, 0, 0, 1 \(row-major\)",
        ),
    ],
)
def test_bad_poses_are_named_with_their_line(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "poses.csv"
    file.write_text(text)
    with pytest.raises(PoseError, match=message):
        read_csv(file)


def test_file_of_poses_must_be_text(tmp_path: Path) -> None:
    file = tmp_path / "poses.png"
    file.write_bytes(b"\x89PNG\xff\xfe\x00")
    with pytest.raises(PoseError, match="not a text file"):
        read_csv(file)


def test_count_of_poses() -> None:
    poses = np.eye(4)[None].repeat(10, 0)
    poses[:, 0, 3] = range(10)
    trajectory = paced(poses, 10.0)
    assert trajectory.spread(None) is trajectory
    np.testing.assert_array_equal(trajectory.spread(4).poses[:, 0, 3], [0, 3, 6, 9])
    np.testing.assert_array_equal(trajectory.spread(4).stamps, [0, 300_000_000, 600_000_000, 900_000_000])
    with pytest.raises(PoseError, match="count of poses is 0; expected 1 or more"):
        trajectory.spread(0)


# -- recorded sweeps -------------------------------------------------------------------------------------------

HEAD = "image,labels,stamp,x,y,z,qx,qy,qz,qw,renderer,config_id\n"
LINE = "image_00000.png,labels_00000.png,1700000000.123456789,0.01,-0.02,0.3,0.0,0.0,1.0,0.0,generator,3\n"


def recorded(folder: Path, text: str) -> Path:
    (folder / "poses.csv").write_text(text)
    return folder


def test_a_recorded_sweep_is_read_with_its_stamps(tmp_path: Path) -> None:
    """Metres become mm; half a turn about z; not a nanosecond is lost."""
    folder = recorded(tmp_path, HEAD + LINE)
    for path in (folder, folder / "poses.csv"):
        found = read_trajectory(path)
        expected = np.diag([-1.0, -1.0, 1.0, 1.0])
        expected[:3, 3] = 10, -20, 300
        np.testing.assert_allclose(found.poses, [expected], atol=1e-9)
        assert found.stamps.tolist() == [1_700_000_000_123_456_789]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (HEAD, "holds no pose; expected a line for each frame of a sweep"),
        (HEAD + LINE + LINE.replace("0.3", "nan"), "line 3: pose holds NaN or Inf"),
        (HEAD + LINE.replace("0.01", "left"), "line 2: could not convert string to float: 'left'"),
        (HEAD + LINE.replace("1700000000.123456789", "noon"), "line 2: .*expected stamp in s"),
        (HEAD + "image_00000.png,labels\n", "line 2: .*expected stamp in s, place in m, quaternion"),
    ],
)
def test_a_sweep_that_cannot_be_is_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(PoseError, match=message):
        read_trajectory(recorded(tmp_path, text))
