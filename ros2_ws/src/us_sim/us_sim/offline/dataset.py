# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""A dataset on disk: a card, and shards of frames, labels, poses and forces that NumPy reads without us.

Shards are `.npz`, uncompressed: one file is whole or not there, and needs no packing, which would hold PNGs up.
"""

from __future__ import annotations

import hashlib
import json
import platform
import queue
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import asdict
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from us_sim.core.errors import RecordingError
from us_sim.core.files import atomic_write, is_partial
from us_sim.core.geometry.probe import ProbeGeometry
from us_sim.core.tissue import TISSUES
from us_sim.offline.replay import Replay, Shot

CARD, SUMS = "card.json", "shards.sha256"
FORMAT = 1
SHARD = 256  # poses to a file
WAITING = 2  # shards in memory while the disk is slow
LIBRARIES = ("numpy", "scipy", "torch", "numba", "openvino")


def card_of(replay: Replay, source: dict[str, Any], *, ct_slice: bool) -> dict[str, Any]:
    """Return what a dataset is made of; all that its bytes follow from, the device aside.

    Args:
        replay: what makes it.
        source: where the poses come from, and their order.
        ct_slice: whether the shards hold the CT slice.
    """
    simulator, trajectory = replay.simulator, replay.trajectory
    generator = simulator.generator if simulator.renderer == "generator" else None
    card = {
        "format": FORMAT,
        "poses": {
            **source, "count": len(trajectory), "order": "by number, from the first pose to the last",
            "sha256": hashlib.sha256(trajectory.poses.tobytes() + trajectory.stamps.tobytes()).hexdigest(),
        },
        "patient": {"name": simulator.patient.name, "sha256": simulator.patient.sha256},
        "renderer": simulator.renderer,
        "generator": generator and {
            "name": generator.name, "sha256": generator.sha256, "card": json.loads(generator.card.to_json()),
        },
        "probe": {**asdict(simulator.probe), "kind": simulator.probe.kind.name.lower()},
        "pixels": {"spacing": simulator.probe.pixel_spacing, "first": simulator.probe.first_pixel},
        "settings": asdict(simulator.settings), "mechanics": asdict(simulator.mechanics),
        "faults": asdict(replay.faults), "seed": simulator.seed,
        "classes": {tissue.name.lower(): int(tissue) for tissue in TISSUES},
        "shard": SHARD, "ct_slice": ct_slice,
        "versions": {"us_sim": _version("us_sim"), "python": platform.python_version(),
                     **{name: _version(name) for name in LIBRARIES}},
    }  # fmt: skip
    return json.loads(json.dumps(card))  # as it reads back: tuples are lists


class Dataset:
    """A folder that is filled shard by shard; existing shards are kept.

    Args:
        folder: made if it is missing.
        card: from `card_of`.

    Attributes:
        damaged: names of shards whose checksum is another, or none: they are made again.

    Raises:
        RecordingError: the folder holds something else, or a dataset of another card.
        OSError: it cannot be written.
    """

    def __init__(self, folder: Path, card: dict[str, Any]) -> None:
        self.folder, self._count = folder, int(card["poses"]["count"])
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / CARD
        if file.exists():
            _compare(file, card)
        elif not all(map(is_partial, folder.iterdir())):
            raise RecordingError(f"{folder} holds other files; expected an empty or new folder, or a dataset")
        else:
            with atomic_write(file) as partial_file:
                partial_file.write_text(json.dumps(card, indent=2) + "\n")
        self._sums = self._whole()
        self.damaged = [path.name for path in sorted(folder.glob("shard_*.npz")) if path.name not in self._sums]

    def missing(self) -> list[range]:
        """Return the numbers of the poses of every shard that is not there yet."""
        starts = range(0, self._count, SHARD)
        shards = [range(start, min(start + SHARD, self._count)) for start in starts]
        return [shard for shard in shards if self.file(shard).name not in self._sums]

    def sweep(self) -> None:
        """Remove what a process that was killed left half written."""
        for leftover in filter(is_partial, list(self.folder.iterdir())):
            leftover.unlink()

    def fill(
        self, replay: Replay, batch: int, *, ct_slice: bool, shards: Sequence[range] | None = None
    ) -> Generator[int, None, None]:
        """Render and write all that is missing, or these shards alone; yield how many poses are done with each step.

        Writing runs beside rendering. However it ends, every shard is there as a whole or not at all.

        Raises:
            OSError: a shard cannot be written.
        """
        probe = replay.simulator.probe
        if shards is None:  # otherwise others are writing, and whoever shares out the shards notes them
            self.sweep()
        with Writer(self.note if shards is None else lambda shard: None) as writer:
            for shard in self.missing() if shards is None else shards:
                shots = []
                for shot in replay.shots(shard.start, shard.stop, batch, ct_slice=ct_slice):
                    shots.append(shot)
                    yield 1
                writer.put(self.file(shard), partial(arrays_of, shots, probe, ct_slice=ct_slice))
                yield len(shard) - len(shots)  # lost on purpose

    def _whole(self) -> dict[str, str]:
        """Return name and checksum of the shards that hold what was written: disks fill, copies are cut."""
        try:
            lines = (self.folder / SUMS).read_text().splitlines()
        except (FileNotFoundError, UnicodeDecodeError):
            return {}
        said = {name: found for found, _, name in (line.partition("  ") for line in lines)}
        paths = (self.folder / name for name in said if name and name == Path(name).name)
        return {path.name: said[path.name] for path in paths if path.is_file() and _sha256(path) == said[path.name]}

    def note(self, file: Path) -> None:
        """Write down the checksum of a shard's file, as `sha256sum --check` reads it."""
        self._sums[file.name] = _sha256(file)
        with atomic_write(self.folder / SUMS) as partial_file:
            partial_file.write_text("".join(f"{self._sums[name]}  {name}\n" for name in sorted(self._sums)))

    def file(self, shard: range) -> Path:
        """Return where a shard lies."""
        return self.folder / f"shard_{shard.start // SHARD:05d}.npz"


def arrays_of(shots: list[Shot], probe: ProbeGeometry, *, ct_slice: bool) -> dict[str, NDArray[Any]]:
    """Return the arrays of a shard, N frames: what docs/replay.md lists."""
    frames = [shot.frame for shot in shots]
    pixels = {"image": np.uint8, "labels": np.uint8, **({"ct_slice": np.int16} if ct_slice else {})}
    empty = (len(frames), probe.height, probe.width)
    return {
        **{name: np.array([getattr(frame, name) for frame in frames], kind).reshape(empty)
           for name, kind in pixels.items()},
        "number": np.array([shot.number for shot in shots], np.int64),
        "stamp": np.array([shot.stamp for shot in shots], np.int64),
        "ct_from_probe": np.array([frame.ct_from_probe for frame in frames]).reshape(-1, 4, 4),
        "force": np.array([frame.wrench.force for frame in frames]).reshape(-1, 3),
        "torque": np.array([frame.wrench.torque for frame in frames]).reshape(-1, 3),
        "coupling": np.array([frame.contact.coupling for frame in frames], np.float32),
        "penetration": np.array([frame.contact.penetration for frame in frames]),
        "device": np.array([shot.device for shot in shots], np.str_),
    }  # fmt: skip


class Writer:
    """Writes shards in a thread while the next one is rendered; leaving it waits for all that was put.

    `written` is called with each file that is there as a whole.
    """

    def __init__(self, written: Callable[[Path], None]) -> None:
        self._written = written
        self._shards: queue.Queue[tuple[Path, Callable[[], dict[str, NDArray[Any]]]] | None] = queue.Queue(WAITING)
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="dataset")

    def __enter__(self) -> Writer:
        self._thread.start()
        return self

    def put(self, file: Path, make: Callable[[], dict[str, NDArray[Any]]]) -> None:
        """Leave a shard to be made of its frames and written; waits while too many wait already.

        Raises:
            Exception: what went wrong with an earlier one.
        """
        self._raise()
        self._shards.put((file, make))

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._shards.put(None)
        self._thread.join()
        if kind is None:
            self._raise()

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        while (shard := self._shards.get()) is not None:
            if self._error is not None:
                continue  # reported with the next shard
            file, make = shard
            try:
                with atomic_write(file) as partial_file, partial_file.open("wb") as stream:
                    arrays: Any = make()  # its stubs take a mapping for `allow_pickle`
                    np.savez(stream, **arrays)
                self._written(file)
            except Exception as error:
                self._error = error


# -- the card ---------------------------------------------------------------------------------------------------


def _compare(file: Path, card: dict[str, Any]) -> None:
    """Raise unless the card in a file is this one."""
    try:
        found = json.loads(file.read_text())
    except ValueError as error:
        raise RecordingError(f"{file}: not JSON ({error}); expected a dataset's card: take another folder") from None
    differences = list(_differences(found, card))
    if differences:
        raise RecordingError(
            f"{file.parent} holds a dataset of other settings: {'; '.join(differences)}; give it the "
            "settings of its card, or take another folder"
        )


def _differences(there: Any, here: Any, name: str = "") -> Iterator[str]:
    """Name what differs; what follows from other entries is left to them."""
    if isinstance(there, dict) and isinstance(here, dict):
        for key in dict.fromkeys([*there, *here]):
            full = f"{name}.{key}" if name else str(key)
            if full not in ("generator.card", "pixels"):
                yield from _differences(there.get(key), here.get(key), full)
    elif there != here:
        yield f"{name} is {there!r} there, {here!r} here"


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
