# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Stills and clips as files: PNG with the callipers, GIF, MP4, and DICOM with the measurements."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from us_sim.core.errors import UsSimError
from us_sim.core.files import atomic_write
from us_sim.core.geometry.probe import ProbeGeometry
from us_sim.viewer import m_mode, pictures
from us_sim.viewer.about import About
from us_sim.viewer.body_picture import with_body
from us_sim.viewer.look import PLAIN
from us_sim.viewer.measuring import WORDED, Mark
from us_sim.viewer.orientation import BodyMark
from us_sim.viewer.pictures import Pixels


@dataclass(frozen=True)
class Clip:
    """What is saved.

    Attributes:
        frames: (H, W) each, the oldest first; at least one.
        times: s of each, from 0 on.
        shown: number of the frame that is on the screen, 0 the first.
        marks: on that frame.
        probe: whose frames they are.
        about: their origin.
        look: (256, 3) RGB of the grey levels, for pictures and films.
        bodies: body mark of each frame, for pictures and films; empty for none.
        strip: the M-mode strip that ends with the frame that is shown, grey; None for none.
    """

    frames: Sequence[Pixels]
    times: Sequence[float]
    shown: int
    marks: Sequence[Mark]
    probe: ProbeGeometry
    about: About
    look: Pixels = field(default_factory=lambda: PLAIN)
    bodies: Sequence[BodyMark] = ()
    strip: Pixels | None = None

    @property
    def interval(self) -> float:
        """Mean time between two frames, s; that of 10 frames/s for a single one."""
        return self.times[-1] / (len(self.times) - 1) if len(self.times) > 1 and self.times[-1] > 0 else 0.1


def save(kind: str, folder: Path, clip: Clip) -> list[Path]:
    """Write a clip into a folder, and return the files; `kind` is a key of KINDS.

    Raises:
        OSError: a file cannot be written.
        RecordingError: the MP4 cannot be encoded.
    """
    folder.mkdir(parents=True, exist_ok=True)
    return KINDS[kind](folder / f"us_sim_{clip.about.made:%Y%m%d_%H%M%S_%f}", clip)


class Saver:
    """Saves into a folder, in threads of its own: `done(files)` is called there, or `failed(text)`."""

    def __init__(self, folder: Path, done: Callable[[list[Path]], None], failed: Callable[[str], None]) -> None:
        self._folder, self._done, self._failed = folder, done, failed

    def save(self, kind: str, clip: Clip) -> None:
        """Save a clip as one of KINDS."""
        threading.Thread(target=self._save, args=(kind, clip), name="saving", daemon=True).start()

    def _save(self, kind: str, clip: Clip) -> None:
        try:
            files = save(kind, self._folder, clip)
        except (OSError, UsSimError) as error:
            self._failed(f"not saved to {self._folder}: {error}")
            return
        self._done(files)


def _png(path: Path, clip: Clip) -> list[Path]:
    picture = pictures.marked(_picture(clip, clip.shown, pictures.LINE * len(clip.marks)), clip.marks, clip.probe)
    if clip.strip is not None:
        picture = np.concatenate([picture, m_mode.still(clip.strip, clip.marks, clip.probe, clip.look)])
    with atomic_write(still := path.with_suffix(".png")) as partial:
        Image.fromarray(picture).save(partial)
    return [still]


def _gif(path: Path, clip: Clip) -> list[Path]:
    first, *others = _drawn(clip)
    with atomic_write(film := path.with_suffix(".gif")) as partial:
        first.save(partial, save_all=True, append_images=others, duration=round(1000 * clip.interval), loop=0)
    return [film]


def _mp4(path: Path, clip: Clip) -> list[Path]:
    from us_sim.offline.film import write_mp4  # and with it the simulator, which a page does without

    with atomic_write(film := path.with_suffix(".mp4")) as partial:
        write_mp4(partial, (_even(picture) for picture in _drawn(clip)), 1 / clip.interval)
    return [film]


def _dicom(path: Path, clip: Clip) -> list[Path]:
    from us_sim.viewer import dicom  # with pydicom, when it is asked for

    frames = np.stack([np.asarray(frame) for frame in clip.frames])
    images = dicom.clip(frames, 1000 * clip.interval, clip.probe, clip.about)
    files = {path.with_suffix(".dcm"): images}
    if any(mark.complete and mark.kind not in WORDED for mark in clip.marks):
        marks = [(clip.shown + 1, mark) for mark in clip.marks]
        files[path.with_name(f"{path.name}_measurements.dcm")] = dicom.report(images, marks, clip.probe, clip.about)
    for file, content in files.items():
        with atomic_write(file) as partial:
            content.save_as(partial, enforce_file_format=True)
    return list(files)


KINDS: dict[str, Callable[[Path, Clip], list[Path]]] = {"png": _png, "gif": _gif, "mp4": _mp4, "dicom": _dicom}


def _drawn(clip: Clip) -> Iterator[Image.Image]:
    for number in range(len(clip.frames)):
        yield Image.fromarray(_picture(clip, number))


def _picture(clip: Clip, number: int, above: int = 0) -> Pixels:
    """One frame with its body mark, so many pixels above the picture's edge."""
    picture = pictures.b_mode(clip.frames[number], clip.probe, look=clip.look)
    return with_body(picture, clip.bodies[number], above) if clip.bodies else picture


def _even(picture: Image.Image) -> Image.Image:
    """H.264 asks for even sizes."""
    return picture.crop((0, 0, picture.width + picture.width % 2, picture.height + picture.height % 2))
