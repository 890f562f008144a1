# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Messages of any type into one MCAP file, as `ros2 bag record --storage mcap` writes them.

CDR, schema `ros2msg`, and with each topic its type hash and the QoS that it was offered with: `ros2 bag play` offers
what was latched as latched (rosbag2_storage_mcap/src/mcap_storage.cpp, Jazzy).
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import yaml
from mcap.well_known import MessageEncoding, Profile, SchemaEncoding
from mcap.writer import CompressionType, Writer
from rclpy.duration import Duration
from rclpy.qos import QoSProfile
from rclpy.serialization import serialize_message

from us_sim.core.errors import RecordingError
from us_sim.core.user_files import home

CHUNK = 768 * 1024  # bytes, uncompressed: rosbag2's default
FLUSH = 1.0  # s: what a kill or a power cut may cost
LINE = "=" * 80  # between the definitions of a schema


class McapRecorder:
    """Writes a file from construction until `close`; also a context manager.

    Args:
        path: of the file to make, `.mcap`; its folder is made if it is missing.
        offered: tells the QoS of a topic's publishers; asked when its first message comes.

    Raises:
        RecordingError: the name does not end in .mcap, or there is such a file.
        OSError: it cannot be written.
    """

    def __init__(self, path: Path | str, offered: Callable[[str], Iterable[QoSProfile]] = lambda topic: ()) -> None:
        self.path, self._offered = home(path), offered
        if self.path.suffix != ".mcap":
            raise RecordingError(f"{self.path}: expected a name that ends in .mcap")
        self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._file = self.path.open("xb")
        except FileExistsError:
            raise RecordingError(f"{self.path} is there already; remove it, or give another name") from None
        self._writer = Writer(self._file, chunk_size=CHUNK, compression=CompressionType.NONE)
        self._writer.start(profile=Profile.ROS2, library="us_sim")
        self._schemas: dict[type, int] = {}
        self._channels: dict[str, int] = {}
        self.count = 0
        self._flushed = time.monotonic()

    def write(self, topic: str, message: Any, log_time: int | None = None) -> None:
        """Add a message.

        Args:
            topic: its full name, `/us_sim/probe_pose`.
            message: of any type whose package is installed.
            log_time: when it was received, ns; None for now.

        Raises:
            RecordingError: the definition of its type is not found.
            OSError: it cannot be written.
        """
        if topic not in self._channels:
            schema, profiles = self._schema(type(message)), qos_text(self._offered(topic))
            about = {"offered_qos_profiles": profiles, "topic_type_hash": type_hash(type(message))}
            self._channels[topic] = self._writer.register_channel(topic, MessageEncoding.CDR, schema, about)
        received = time.time_ns() if log_time is None else log_time
        self._writer.add_message(self._channels[topic], received, serialize_message(message), received)
        self.count += 1
        if time.monotonic() - self._flushed > FLUSH:
            self.flush()

    def flush(self) -> None:
        """Give what waits to the system: from then on the file can be read so far, whatever becomes of the process.

        Raises:
            OSError: it cannot be written.
        """
        self._writer.flush()
        self._flushed = time.monotonic()

    def _schema(self, kind: type) -> int:
        if kind not in self._schemas:
            text = definition(kind).encode()
            self._schemas[kind] = self._writer.register_schema(_name(kind), SchemaEncoding.ROS2, text)
        return self._schemas[kind]

    def close(self) -> None:
        """Write what waits and the index; twice is once."""
        if not self._file.closed:
            self._writer.finish()
            self._file.close()

    def __enter__(self) -> McapRecorder:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


# -- what is told of a topic ----------------------------------------------------------------------------------


def qos_text(profiles: Iterable[QoSProfile]) -> str:
    """Return QoS profiles as rosbag2 writes them since its metadata version 9: YAML with rmw's names."""
    return yaml.safe_dump([_qos(profile) for profile in profiles], sort_keys=False)


def _qos(profile: QoSProfile) -> dict[str, Any]:
    return {
        "history": profile.history.short_key,
        "depth": profile.depth,
        "reliability": profile.reliability.short_key,
        "durability": profile.durability.short_key,
        "deadline": _span(profile.deadline),
        "lifespan": _span(profile.lifespan),
        "liveliness": profile.liveliness.short_key,
        "liveliness_lease_duration": _span(profile.liveliness_lease_duration),
        "avoid_ros_namespace_conventions": bool(profile.avoid_ros_namespace_conventions),
    }


def _span(duration: Duration) -> dict[str, int]:
    sec, nsec = divmod(duration.nanoseconds, 1_000_000_000)
    return {"sec": sec, "nsec": nsec}


def type_hash(kind: type) -> str:
    """Return the hash (REP 2016) of a message type, `RIHS01_...`, from its package's files; empty if they have none."""
    file = _file(_file_name(kind), "json")
    hashes = json.loads(file.read_text()).get("type_hashes", []) if file is not None else []
    return next((str(entry["hash_string"]) for entry in hashes if entry["type_name"] == _name(kind)), "")


# -- schemas --------------------------------------------------------------------------------------------------


def definition(kind: type) -> str:
    """Return the text of a message type and of all that it contains, as `ros2msg` schemas have it.

    Raises:
        RecordingError: a definition is not found in any installed package.
    """
    inner = dict.fromkeys(part for part in _parts(kind) if part != _file_name(kind))
    texts = [_text(_file_name(kind)), *(f"MSG: {name}\n{_text(name)}" for name in inner)]
    return f"\n{LINE}\n".join(texts)


def _parts(kind: type) -> Iterator[str]:
    """Names, package/Name, of a type and of the types of its fields, whatever their depth: by name, as rosbag2 does."""
    yield _file_name(kind)
    slots = [getattr(slot, "value_type", slot) for slot in kind.SLOT_TYPES]  # type: ignore[attr-defined]
    fields = {(*slot.namespaces, slot.name) for slot in slots if hasattr(slot, "namespaces")}
    for *package, name in sorted(fields):
        yield from _parts(getattr(import_module(".".join(package)), name))


def _name(kind: type) -> str:
    """geometry_msgs/msg/PoseStamped"""
    return f"{kind.__module__.split('.')[0]}/msg/{kind.__name__}"


def _file_name(kind: type) -> str:
    """geometry_msgs/PoseStamped"""
    return f"{kind.__module__.split('.')[0]}/{kind.__name__}"


def _text(name: str) -> str:
    file = _file(name, "msg")
    if file is None:
        raise RecordingError(
            f"{name}: no definition in AMENT_PREFIX_PATH ({os.environ.get('AMENT_PREFIX_PATH', '')}); source the "
            "workspace that has it"
        )
    return file.read_text()


def _file(name: str, suffix: str) -> Path | None:
    """Where an installed package keeps a file of its message package/Name."""
    package, message = name.split("/")
    prefixes = os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep)
    files = (Path(prefix, "share", package, "msg", f"{message}.{suffix}") for prefix in prefixes)
    return next((file for file in files if file.is_file()), None)
