"""Files of poses and probes that would fill the memory or hang: refused at once, in one sentence."""

from __future__ import annotations

import math
import os
import sqlite3
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import zstandard

from us_sim.core.errors import PoseError, ProbeError, RecordingError, UsSimError
from us_sim.core.geometry.probe import preset
from us_sim.core.geometry.probe_file import load_probe
from us_sim.core.user_files import home
from us_sim.offline.film import write_film
from us_sim.poses.trajectory import read_trajectory

MAGIC = b"\x89MCAP0\r\n"
ROW = "0,0,0,0,0,0,1"
BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.fixture(autouse=True)
def _at_once() -> Iterator[None]:
    start = time.process_time()
    yield
    assert time.process_time() - start < 5


def sparse(path: Path) -> Path:
    """A file of 3 GB of which nothing is on disk."""
    with path.open("wb") as file:
        file.truncate(3 * 2**30)
    return path


def piped(path: Path) -> Path:
    """A pipe into which nobody writes."""
    os.mkfifo(path)
    return path


def written(text: str) -> Callable[[Path], Path]:
    def write(path: Path) -> Path:
        path.write_text(text)
        return path

    return write


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (sparse, r"has 3221225472 bytes; expected 262144 at most"),
        (piped, "a folder, a pipe or a device; expected a file"),
        (lambda path: path, "cannot be read as YAML .*No such file"),
        (written(BOMB), r"cannot be read as YAML \(it has aliases \(\*name\); write out"),
        (written("[" * 200_000), r"cannot be read as YAML \(it is nested more than 32 deep"),
        (written("depth: " + "[" * 100 + "]" * 100), r"nested more than 32 deep"),
        (written("{a: " * 60_000), r"nested more than 32 deep"),
        (written("kind: convex\ndepth: " + "9" * 9000), "cannot be read as YAML"),
        (written("depth: 'x\0'"), "cannot be read as YAML"),
        (written("kind: linear\naperture: 40\ndepth: .nan"), "depth is nan"),
        (written("kind: linear\naperture: 40\ndepth: .inf"), "depth is inf"),
        (written("kind: linear\naperture: 40\ndepth: 60\ngiven_spacing: [1, 2, 3]"), "given_spacing"),
        (written("kind: linear\naperture: 40\ndepth: 60\ngiven_spacing: 1"), "given_spacing"),
        (written("kind: linear\naperture: 40\ndepth: 60\nscan_lines: 1.0e+30"), "scan_lines"),
        (written("!!python/object/apply:os.system [true]"), "cannot be read as YAML"),
    ],
)
def test_a_probe_file(tmp_path: Path, make: Callable[[Path], Path], message: str) -> None:
    path = make(tmp_path / "probe.yaml")
    with pytest.raises(ProbeError, match=message) as told:
        load_probe(str(path))
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("name", ["~nosuchuser/probe.yaml", "nul\0.yaml"])
def test_a_name_that_cannot_be(name: str) -> None:
    with pytest.raises(ProbeError, match=r"No such file|a name that no file can have"):
        load_probe(name)
    assert home("~nosuchuser") == Path("~nosuchuser")
    assert home("~") == Path.home()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (sparse, r"has 3221225472 bytes; expected 268435456 at most"),
        (piped, "a folder, a pipe or a device; expected a file"),
        (written(f"stamp,x,y,z,qx,qy,qz,qw\n1e999999999,{ROW}\n"), r"line 2: stamp is 1e999999999 s; expected 0 to"),
        (written(f"stamp,x,y,z,qx,qy,qz,qw\n9223372037,{ROW}\n"), r"line 2: stamp is 9223372037 s; expected 0 to 9223"),
        (written(f"stamp,x,y,z,qx,qy,qz,qw\n-1,{ROW}\n"), r"line 2: stamp is -1 s; expected 0 to"),
        (written(f"stamp,x,y,z,qx,qy,qz,qw\nnan,{ROW}\n"), r"line 2: .*expected stamp in s"),
        (written("stamp,x,y,z,qx,qy,qz,qw\n" + "1" * 200_000), r"line 1: field larger than"),
        (written("stamp,x,y,z,qx,qy,qz,qw\n\0\n"), r"line 2: "),
    ],
)
def test_a_table_of_poses(tmp_path: Path, make: Callable[[Path], Path], message: str) -> None:
    with pytest.raises((PoseError, RecordingError), match=message) as told:
        read_trajectory(make(tmp_path / "poses.csv"))
    assert "\n" not in str(told.value)


def record(opcode: int, content: bytes) -> bytes:
    return struct.pack("<BQ", opcode, len(content)) + content


def chunk(size: int, compression: bytes, data: bytes) -> bytes:
    """A chunk record as https://mcap.dev/spec has it, unpacked size first."""
    head = struct.pack("<QQQII", 0, 1, size, 0, len(compression)) + compression
    return record(6, head + struct.pack("<Q", len(data)) + data)


def bomb(size: int, pledged: int) -> bytes:
    """An MCAP of a few kB whose chunk claims one size, and its packing another."""
    packer = zstandard.ZstdCompressor().compressobj(size=pledged)
    data = packer.compress(b"\0" * 2**20) + packer.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)
    return MAGIC + record(1, struct.pack("<II", 0, 0)) + chunk(size, b"zstd", data)


@pytest.mark.parametrize(("size", "pledged"), [(1_500_000_000, 1_500_000_000), (1000, 1_500_000_000), (2**62, 2**21)])
def test_a_chunk_that_unpacks_to_gigabytes(tmp_path: Path, size: int, pledged: int) -> None:
    path = tmp_path / "bomb.mcap"
    path.write_bytes(bomb(size, pledged))
    with pytest.raises(RecordingError, match=r"bytes unpacks to \d+; expected 268435456 at most") as told:
        read_trajectory(path)
    assert "\n" not in str(told.value)


def test_an_lz4_chunk_that_unpacks_to_gigabytes(tmp_path: Path) -> None:
    path = tmp_path / "bomb.mcap"
    frame = b"\x04\x22\x4d\x18" + bytes([0b01101000, 0x70]) + struct.pack("<Q", 1_500_000_000) + b"\0" * 8
    path.write_bytes(MAGIC + chunk(1000, b"lz4", frame))
    with pytest.raises(RecordingError, match=r"unpacks to 1500000000; expected 268435456 at most"):
        read_trajectory(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('rosbag2_bagfile_information: {relative_file_paths: ["a\\0b.mcap"]}', "a name that no file can have"),
        ("rosbag2_bagfile_information: {relative_file_paths: [pipe.mcap]}", "a folder, a pipe or a device"),
        (BOMB, "it has aliases"),
        ("[" * 200_000, "nested more than 32 deep"),
    ],
)
def test_a_folder_of_a_bag(tmp_path: Path, text: str, message: str) -> None:
    os.mkfifo(tmp_path / "pipe.mcap")
    (tmp_path / "metadata.yaml").write_text(text)
    with pytest.raises(RecordingError, match=message):
        read_trajectory(tmp_path)


def test_a_table_that_counts_for_ever(tmp_path: Path) -> None:
    path = tmp_path / "bag.db3"
    with sqlite3.connect(path) as connection:
        connection.execute(
            "CREATE VIEW topics AS WITH RECURSIVE n(id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM n) "
            "SELECT id, 'p' AS name, 'geometry_msgs/msg/PoseStamped' AS type, 'cdr' AS serialization_format FROM n"
        )
        connection.execute("CREATE TABLE messages (id INTEGER, topic_id INTEGER, timestamp INTEGER, data BLOB)")
    connection.close()
    with pytest.raises(RecordingError, match="no tables topics and messages"):
        read_trajectory(path)


def test_a_film_of_68_years(tmp_path: Path) -> None:
    probe = preset("c5_2")
    with pytest.raises(RecordingError, match=r"span 2147483647 s; expected 4000 s at most"):
        write_film(tmp_path / "film.mp4", iter(()), [0, (2**31 - 1) * 10**9], [0.0, math.nan], probe, "")
    assert not list(tmp_path.iterdir())
    assert issubclass(RecordingError, UsSimError)
