# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""An MCAP file, read within bounds and as far as it is intact: a recording that was killed has no index.

The format: https://mcap.dev/spec. A chunk may say that it unpacks to anything; it is believed up to MOST_IN_CHUNK.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import zstandard
from mcap.exceptions import EndOfFile, McapError
from mcap.reader import make_reader
from mcap.records import Channel, Chunk, ChunkIndex, McapRecord, Message, Schema
from mcap.stream_reader import StreamReader, breakup_chunk

MOST_IN_CHUNK = 2**28  # bytes; rosbag2 makes chunks of 768 KiB, or of one message
MOST_IN_FILE = 2**34


def messages(file: Path, kind: str) -> Iterator[tuple[Channel, Message]]:
    """Yield the messages of a type, by the index where the file is whole.

    Where it was cut short, those that are whole come, in their order, and stderr tells how much that is.

    Raises:
        ValueError, McapError, ...: it is damaged; or larger, unpacked, than anything that was recorded.
    """
    with file.open("rb") as stream:
        try:
            summary = make_reader(stream, validate_crcs=True).get_summary()
        except (EndOfFile, McapError):  # its end is not that of a recording
            summary = None
        schemas: dict[int, Schema] = {}
        channels: dict[int, Channel] = {}
        if summary is None:
            records = _whole(file, stream)
        else:
            schemas, channels = dict(summary.schemas), dict(summary.channels)
            wanted = {n for n, c in channels.items() if c.schema_id in schemas and schemas[c.schema_id].name == kind}
            records = _indexed(stream, summary.chunk_indexes, wanted) if summary.chunk_indexes else _all(stream)
        for record in records:
            if isinstance(record, Schema):
                schemas[record.id] = record
            elif isinstance(record, Channel):
                channels[record.id] = record
            elif isinstance(record, Message):
                channel = channels[record.channel_id]
                if channel.schema_id in schemas and schemas[channel.schema_id].name == kind:
                    yield channel, record


def _indexed(stream: IO[bytes], chunks: list[ChunkIndex], wanted: set[int]) -> Iterator[McapRecord]:
    """The records of the chunks that hold some of the channels; of those that do not say which, too."""
    size = 0
    for index in sorted(chunks, key=lambda chunk: chunk.chunk_start_offset):
        if not wanted or (index.message_index_offsets and not wanted & index.message_index_offsets.keys()):
            continue
        stream.seek(index.chunk_start_offset)
        chunk = next(_stream(stream, skip_magic=True).records)
        if not isinstance(chunk, Chunk):
            raise ValueError("its index names chunks where none are")
        size = _checked(chunk, size)
        yield from breakup_chunk(chunk, validate_crc=True)


def _all(stream: IO[bytes]) -> Iterator[McapRecord]:
    """Every record, from the file's beginning on."""
    stream.seek(0)
    size = 0
    for record in _stream(stream).records:
        if isinstance(record, Chunk):
            size = _checked(record, size)
            yield from breakup_chunk(record, validate_crc=True)
        else:
            yield record


def _whole(file: Path, stream: IO[bytes]) -> Iterator[McapRecord]:
    """Every record before the place where the file was cut off."""
    count, size = 0, file.stat().st_size
    try:
        for record in _all(stream):
            count += isinstance(record, Message)
            yield record
    except EndOfFile:
        if not count:
            raise
        print(f"us_sim: {file}: cut short; the {count} messages that are whole of {size} bytes count", file=sys.stderr)


def _stream(stream: IO[bytes], skip_magic: bool = False) -> StreamReader:
    return StreamReader(stream, skip_magic=skip_magic, emit_chunks=True, record_size_limit=MOST_IN_CHUNK)


def _checked(chunk: Chunk, before: int) -> int:
    """Return the unpacked bytes with those of a chunk, once it may be unpacked: by what it and its packing say."""
    size = chunk.uncompressed_size
    if chunk.compression == "zstd":
        said = zstandard.get_frame_parameters(chunk.data).content_size
        if said not in (zstandard.CONTENTSIZE_UNKNOWN, zstandard.CONTENTSIZE_ERROR):
            size = max(size, said)
    elif chunk.compression == "lz4":
        size = max(size, _lz4_size(chunk.data))
    if size > MOST_IN_CHUNK or before + size > MOST_IN_FILE:
        raise ValueError(f"a chunk of {len(chunk.data)} bytes unpacks to {size}; expected {MOST_IN_CHUNK} at most")
    return before + size


def _lz4_size(data: bytes) -> int:
    """The declared size of an LZ4 frame, 0 if it does not: then it is no more than 255 times its size."""
    descriptor = data[4] if len(data) > 14 else 0  # FLG, after the magic number
    return int.from_bytes(data[6:14], "little") if descriptor & 8 else 0
