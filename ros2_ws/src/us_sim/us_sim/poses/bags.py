# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Recorded poses, read without ROS: MCAP, and rosbag2 folders of MCAP or SQLite files."""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from mcap.records import Schema
from mcap.well_known import MessageEncoding, SchemaEncoding
from mcap_ros2.decoder import DecoderFactory

from us_sim.core.errors import RecordingError
from us_sim.core.user_files import check_file, read_yaml
from us_sim.poses.mcap_file import messages

POSE = "geometry_msgs/msg/PoseStamped"
MAGIC = {".mcap": b"\x89MCAP0\r\n", ".db3": b"SQLite format 3\0"}
FOLDER = "metadata.yaml"  # of rosbag2
DEFINITION = """std_msgs/Header header
geometry_msgs/Pose pose
===
MSG: std_msgs/Header
builtin_interfaces/Time stamp
string frame_id
===
MSG: builtin_interfaces/Time
int32 sec
uint32 nanosec
===
MSG: geometry_msgs/Pose
geometry_msgs/Point position
geometry_msgs/Quaternion orientation
===
MSG: geometry_msgs/Point
float64 x
float64 y
float64 z
===
MSG: geometry_msgs/Quaternion
float64 x
float64 y
float64 z
float64 w""".replace("===", "=" * 80)


@dataclass(frozen=True)
class RecordedPose:
    """A PoseStamped as it was recorded, m.

    Attributes:
        frame_id: its frame.
        stamp: ns; when it was received, if it had none.
        position: x, y, z.
        quaternion: x, y, z, w.
    """

    frame_id: str
    stamp: int
    position: tuple[float, float, float]
    quaternion: tuple[float, float, float, float]


@dataclass(frozen=True)
class Row:
    """One message in the file: its topic, when it was received, ns, and its CDR."""

    topic: str
    received: int
    data: bytes


def is_bag(path: Path) -> bool:
    """Whether a path is a recording, by its name or by how it begins; a folder is always taken for one.

    Raises:
        OSError: there is no such file.
    """
    if path.is_dir() or path.suffix in MAGIC:
        return True
    check_file(path, RecordingError)
    with path.open("rb") as file:
        return file.read(16).startswith(tuple(MAGIC.values()))


def read_bag(path: Path, topic: str = "") -> list[RecordedPose]:
    """Return the poses of a recording in the order in which they were received.

    Args:
        path: MCAP file, rosbag2 folder, or a file of such a folder.
        topic: of the poses; empty where there is but one.

    Raises:
        RecordingError: the file cannot be read, holds no poses, or holds them on several topics.
        OSError: there is no such file.
    """
    rows = [row for file in _files(path) for row in _rows(file)]
    topics = sorted({row.topic for row in rows})
    listed = ", ".join(topics)
    if not topics:
        raise RecordingError(
            f"{path}: holds no poses ({POSE}); expected a recording of ~/probe_pose, such as us_sim_record makes"
        )
    if topic and topic not in topics:
        raise RecordingError(f"{path}: no poses on topic {topic!r}; expected one of {listed}")
    if not topic and len(topics) > 1:
        raise RecordingError(f"{path}: poses on {len(topics)} topics ({listed}); select one with --topic")
    chosen = sorted((row for row in rows if row.topic == (topic or listed)), key=lambda row: row.received)
    decode = _decoder()
    return [_pose(decode, row, f"{path}, pose {number}") for number, row in enumerate(chosen, start=1)]


def _files(path: Path) -> list[Path]:
    """The files of a recording: itself, or those that a folder's metadata name."""
    if not path.is_dir():
        return [path]
    metadata = path / FOLDER
    if not metadata.is_file():
        raise RecordingError(
            f"{path}: a folder without {FOLDER}; expected that of rosbag2 (`ros2 bag reindex` recreates "
            "it), or name a file"
        )
    try:
        about = read_yaml(metadata, RecordingError)["rosbag2_bagfile_information"]
        names = [str(name) for name in about["relative_file_paths"]]
    except (KeyError, TypeError) as error:
        raise RecordingError(
            f"{metadata}: not rosbag2's ({type(error).__name__}: {error}); expected "
            "rosbag2_bagfile_information with relative_file_paths"
        ) from None
    return [path / name for name in names]


def _rows(file: Path) -> list[Row]:
    readers = {".mcap": _mcap, ".db3": _sqlite}
    check_file(file, RecordingError)
    with file.open("rb") as stream:
        start = stream.read(16)
    kind = next((kind for kind, magic in MAGIC.items() if start.startswith(magic)), None)
    if kind is None and file.suffix in (".zstd", ".zst"):
        raise RecordingError(
            f"{file}: compressed as a whole; unpack it with `zstd -d`, or record without --compression-mode file"
        )
    if kind is None:
        raise RecordingError(f"{file}: neither MCAP nor SQLite; it begins with {start[:8]!r}")
    try:
        return list(readers[kind](file))
    except Exception as error:  # a damaged file may bring forth anything, such as a seek to before its start
        if isinstance(error, OSError) and error.errno != errno.EINVAL:
            raise
        detail = str(error).strip() or type(error).__name__
        raise RecordingError(
            f"{file}: damaged, or cut short ({detail}); repair an interrupted recording with "
            "`mcap recover` or `ros2 bag reindex`"
        ) from error


def _mcap(file: Path) -> Iterator[Row]:
    for channel, message in messages(file, POSE):
        if channel.message_encoding == MessageEncoding.CDR:
            yield Row(channel.topic, message.log_time, message.data)


def _sqlite(file: Path) -> Iterator[Row]:
    query = (
        "SELECT topics.name, messages.timestamp, messages.data FROM messages JOIN topics "
        "ON messages.topic_id = topics.id WHERE topics.type = ? AND topics.serialization_format = ? "
        "ORDER BY messages.timestamp, messages.id"
    )
    with closing(sqlite3.connect(f"file:{quote(str(file.resolve()))}?mode=ro", uri=True)) as connection:
        kinds = dict(connection.execute("SELECT name, type FROM sqlite_master"))
        if {kinds.get("topics"), kinds.get("messages")} != {"table"}:  # a view may count for ever
            raise ValueError("it has no tables topics and messages")
        for row in connection.execute(query, (POSE, MessageEncoding.CDR)):
            yield Row(*row)


def _decoder() -> Callable[[bytes], Any]:
    schema = Schema(1, DEFINITION.encode(), SchemaEncoding.ROS2, POSE)
    decode = DecoderFactory().decoder_for(MessageEncoding.CDR, schema)
    assert decode is not None
    return decode


def _pose(decode: Callable[[bytes], Any], row: Row, where: str) -> RecordedPose:
    try:
        message = decode(row.data)
    except Exception as error:  # bytes that are no PoseStamped may bring forth anything
        raise RecordingError(f"{where}: {len(row.data)} bytes that are no {POSE} ({error})") from None
    stamp, place, turn = message.header.stamp, message.pose.position, message.pose.orientation
    return RecordedPose(
        message.header.frame_id, stamp.sec * 1_000_000_000 + stamp.nanosec or row.received,
        (place.x, place.y, place.z), (turn.x, turn.y, turn.z, turn.w),
    )  # fmt: skip
