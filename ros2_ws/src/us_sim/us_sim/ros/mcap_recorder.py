"""Messages of any type into one MCAP file, as `ros2 bag record --storage mcap` writes them: CDR, schema `ros2msg`."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

from mcap.well_known import MessageEncoding, Profile, SchemaEncoding
from mcap.writer import CompressionType, Writer
from rclpy.serialization import serialize_message

from us_sim.core.errors import RecordingError
from us_sim.core.user_files import home

CHUNK = 64 * 1024  # bytes; about 500 poses
FLUSH = 1.0  # s: what a kill or a power cut may cost
LINE = "=" * 80  # between the definitions of a schema


class McapRecorder:
    """Writes a file from construction until `close`; also a context manager.

    Args:
        path: of the file to make, `.mcap`; its folder is made if it is missing.

    Raises:
        RecordingError: the name does not end in .mcap, or there is such a file.
        OSError: it cannot be written.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = home(path)
        if self.path.suffix != ".mcap":
            raise RecordingError(f"{self.path}: expected a name that ends in .mcap")
        self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._file = self.path.open("xb")
        except FileExistsError:
            raise RecordingError(f"{self.path} is there already; remove it, or give another name") from None
        self._writer = Writer(self._file, chunk_size=CHUNK, compression=CompressionType.ZSTD)
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
            schema = self._schema(type(message))
            self._channels[topic] = self._writer.register_channel(topic, MessageEncoding.CDR, schema)
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
    """Names, package/Name, of a type and of the types of its fields, whatever their depth."""
    yield _file_name(kind)
    for slot in kind.SLOT_TYPES:  # type: ignore[attr-defined]
        field = getattr(slot, "value_type", slot)  # of the elements of a sequence or array
        if hasattr(field, "namespaces"):
            yield from _parts(getattr(import_module(".".join(field.namespaces)), field.name))


def _name(kind: type) -> str:
    """geometry_msgs/msg/PoseStamped"""
    return f"{kind.__module__.split('.')[0]}/msg/{kind.__name__}"


def _file_name(kind: type) -> str:
    """geometry_msgs/PoseStamped"""
    return f"{kind.__module__.split('.')[0]}/{kind.__name__}"


def _text(name: str) -> str:
    package, message = name.split("/")
    prefixes = os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep)
    for prefix in prefixes:
        file = Path(prefix, "share", package, "msg", f"{message}.msg")
        if file.is_file():
            return file.read_text()
    raise RecordingError(
        f"{name}: no definition in AMENT_PREFIX_PATH ({os.pathsep.join(prefixes)}); source the workspace that has it"
    )
