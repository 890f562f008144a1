# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""A film of a trajectory: B-mode and labels above the trace of the normal force, in real time."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from us_sim.core.errors import RecordingError
from us_sim.core.files import atomic_write, check_replaceable
from us_sim.core.geometry.probe import ProbeGeometry
from us_sim.core.tissue import CLASS_COLORS, TissueClass
from us_sim.offline.replay import Shot
from us_sim.offline.sheet import DARK, GAP, LIGHT, MARK, panel_size, pictures

RATES = {".gif": 12.5, ".mp4": 25.0}  # pictures a second; a GIF is for pages, where bytes count
MOST = 100_000  # pictures: over an hour
SCALE = 1.5  # pixels per mm over the contact sheet's
TRACE = 96  # pixels, height of the force's trace
LEFT, CAPTION = 44, 20  # pixels: numbers at the trace's left, text above the panels
HEIGHTS = (1, 1.2, 1.6, 2, 3, 4, 6, 8, 10)  # of the trace, N, times a power of ten
FORCE, GRID = (255, 196, 64), (52, 52, 60)
FINER = 4  # times, at which the trace is drawn before it is made small
GREYS = 96  # of a GIF's palette, beside the colours


def check_film(path: Path) -> None:
    """Raise RecordingError if a film cannot be made under this name, or would replace a file that is none of ours."""
    if path.suffix.lower() not in RATES:
        raise RecordingError(f"{path}: unknown kind of film; expected a name that ends in {' or '.join(RATES)}")
    check_replaceable([path], MARK, RecordingError)


def write_film(
    path: Path, shots: Iterable[Shot], stamps: Sequence[int], forces: Sequence[float], probe: ProbeGeometry, title: str
) -> int:
    """Write a film, whole or not at all; return the number of its pictures.

    Args:
        path: ends in .gif or .mp4.
        shots: frames in the order of their numbers; where one is missing, the one before stays.
        stamps: (N,) ns of every pose, not falling.
        forces: (N,) N, normal force of every pose.
        probe: of the frames.
        title: its head line.

    Raises:
        RecordingError: another suffix, stamps that fall or that span more than MOST pictures, or no frame at all.
        OSError: it cannot be written.
    """
    check_film(path)
    nanoseconds = np.asarray(stamps, np.int64)
    times: NDArray[np.float64] = (nanoseconds - nanoseconds[0]) * 1e-9
    falls = np.flatnonzero(np.diff(nanoseconds) < 0)
    if len(falls):
        raise RecordingError(f"stamps fall at pose {falls[0] + 2}; expected those of one run, none before another")
    rate = RATES[path.suffix.lower()]
    if times[-1] * rate >= MOST:
        raise RecordingError(
            f"the poses' stamps span {times[-1]:.0f} s; expected {MOST / rate:.0f} s at most for a film: give those of "
            "one run"
        )
    canvas = Canvas(probe, times, np.asarray(forces, np.float64), title)
    drawn = at_rate(shots, times, rate)
    first = next(drawn, None)
    if first is None:
        raise RecordingError("no frame for the film: faults have dropped all of them")
    shown = (canvas.draw(shot, second) for shot, second in chain([first], drawn))
    path.parent.mkdir(parents=True, exist_ok=True)
    write = _write_gif if path.suffix.lower() == ".gif" else write_mp4
    with atomic_write(path) as partial:
        return write(partial, shown, rate)


def at_rate(shots: Iterable[Shot], times: NDArray[np.float64], rate: float) -> Iterator[tuple[Shot, float]]:
    """Yield, for every picture of a film, the newest frame and the time that the picture shows, s.

    Args:
        shots: in the order of their numbers.
        times: (N,) s of every pose, from 0 on.
        rate: pictures a second.
    """
    coming = iter(shots)
    shown = following = next(coming, None)
    for number in range(int(times[-1] * rate + 1e-6) + 1):
        second = number / rate
        while following is not None and times[following.number] <= second + 1e-9:
            shown, following = following, next(coming, None)
        if shown is not None:
            yield shown, second
    if shown is not None and following is not None:  # to the last frame, also between two pictures
        yield following, float(times[-1])


class Canvas:
    """What all pictures of a film share: their places, the legend, the trace."""

    def __init__(
        self, probe: ProbeGeometry, times: NDArray[np.float64], forces: NDArray[np.float64], title: str
    ) -> None:
        self._probe, self._times, self._forces = probe, times, forces
        self._panel = panel_size(probe, SCALE)
        self._width = 2 * self._panel[0] + 3 * GAP
        self._top = CAPTION + 2 * GAP  # of the panels
        self._trace_top = self._top + self._panel[1] + 2 * CAPTION + 3 * GAP
        self._font = ImageFont.load_default(12)
        height = self._trace_top + TRACE + CAPTION
        self._height = height + height % 2  # H.264 asks for even sizes
        self._width += self._width % 2
        self._most = nice_above(float(forces.max(initial=1.0)), HEIGHTS)
        self._ground = self._background(title)

    def draw(self, shot: Shot, second: float) -> Image.Image:
        """Return the picture of a frame at a time of the film."""
        picture = self._ground.copy()
        draw = ImageDraw.Draw(picture)
        image, _, labels = pictures(shot.frame, self._probe)
        for place, panel in enumerate((image, labels)):
            resample = Image.Resampling.NEAREST if place else Image.Resampling.BICUBIC
            left = GAP + place * (self._panel[0] + GAP)
            picture.paste(panel.convert("RGB").resize(self._panel, resample), (left, self._top))
        self._legend(draw, shot)
        force = float(np.interp(second, self._times, self._forces))
        pressed = max(0.0, shot.frame.contact.penetration)
        text = f"normal force {force:.1f} N      pressed in {pressed:.1f} mm      {second:.1f} s"
        draw.text((LEFT, self._trace_top - CAPTION - GAP), text, LIGHT, self._font)
        x, y = self._x(second), self._y(force)
        draw.line((x, self._trace_top, x, self._trace_top + TRACE), LIGHT)
        draw.ellipse((x - 3, y - 3, x + 3, y + 3), FORCE)
        return picture

    def _background(self, title: str) -> Image.Image:
        """Title, and the force over the whole time."""
        ground = Image.new("RGB", (self._width, self._height), DARK)
        draw = ImageDraw.Draw(ground)
        draw.text((GAP, GAP), title, LIGHT, self._font)
        trace = self._trace()
        ground.paste(trace, (0, self._trace_top - GAP))
        for value in (0.0, self._most / 2, self._most):
            draw.text((LEFT - GAP, self._y(value)), f"{value:g} N", LIGHT, self._font, anchor="rm")
        end = float(self._times[-1])
        for second in np.arange(0, end + 1e-9, nice_above(end / 8)) if end else [0.0]:
            place = (self._x(float(second)), self._trace_top + TRACE + 3)
            draw.text(place, f"{second:g} s", LIGHT, self._font, anchor="ma")
        return ground

    def _trace(self) -> Image.Image:
        """The curve, drawn finer and made small, so that it has no steps."""
        size = (self._width, TRACE + 2 * GAP)
        fine = Image.new("RGB", (size[0] * FINER, size[1] * FINER), DARK)
        draw, down = ImageDraw.Draw(fine), self._trace_top - GAP
        for value in (0.0, self._most / 2, self._most):
            y = (self._y(value) - down) * FINER
            draw.line((LEFT * FINER, y, (self._width - 2 * GAP) * FINER, y), GRID, FINER)
        points = [
            (self._x(time) * FINER, (self._y(force) - down) * FINER)
            for time, force in zip(self._times.tolist(), self._forces.tolist(), strict=True)
        ]
        draw.line(points, FORCE, 2 * FINER, joint="curve")
        return fine.resize(size, Image.Resampling.LANCZOS)

    def _x(self, second: float) -> float:
        span = float(self._times[-1]) or 1.0
        return LEFT + (self._width - LEFT - 2 * GAP) * second / span

    def _y(self, force: float) -> float:
        return self._trace_top + TRACE * (1 - force / self._most)

    def _legend(self, draw: ImageDraw.ImageDraw, shot: Shot) -> None:
        """Name the colour of every class that the fan shows, as far as there is room."""
        assert shot.frame.labels is not None
        shown = np.unique(shot.frame.labels[self._probe.fan_mask])
        left, top = GAP, self._top + self._panel[1] + GAP
        for tissue in shown[shown != TissueClass.BACKGROUND]:
            name = TissueClass(tissue).name.lower()
            width = 14 + round(draw.textlength(name, self._font)) + 2 * GAP
            if left + width > self._width:
                return
            draw.rectangle((left, top, left + 10, top + 10), tuple(CLASS_COLORS[tissue].tolist()))
            draw.text((left + 14, top - 2), name, LIGHT, self._font)
            left += width


def nice_above(value: float, steps: Sequence[float] = (1, 2, 5, 10)) -> float:
    """Return the least of the steps, at any power of ten, that is not below a value; 1 for none above 0."""
    if value <= 0:
        return 1.0
    power = 10.0 ** np.floor(np.log10(value))
    return float(next(step * power for step in steps if step * power >= value * (1 - 1e-9)))


# -- files ----------------------------------------------------------------------------------------------------


def _write_gif(path: Path, shown: Iterator[Image.Image], rate: float) -> int:
    """One palette for all pictures: what does not move costs nothing."""
    palette = _palette()
    count = 0

    def quantised() -> Iterator[Image.Image]:
        nonlocal count
        for picture in shown:
            count += 1
            yield picture.quantize(palette=palette, dither=Image.Dither.NONE)

    pages = quantised()
    next(pages).save(path, save_all=True, append_images=pages, duration=round(1000 / rate), loop=0, optimize=False,
                     comment=MARK.encode())  # fmt: skip
    return count


def _palette() -> Image.Image:
    greys = np.linspace(0, 255, GREYS).round().astype(np.uint8)[:, None].repeat(3, axis=1)
    between = [np.linspace(DARK, end, 8).round().astype(np.uint8) for end in (LIGHT, FORCE, GRID)]
    colors = np.concatenate([greys, CLASS_COLORS, *between])
    palette = Image.new("P", (1, 1))
    palette.putpalette(colors.tobytes())
    return palette


def write_mp4(path: Path, shown: Iterator[Image.Image], rate: float) -> int:
    """H.264 that every player and browser shows, through a process of ffmpeg."""
    first = next(shown)
    program = _ffmpeg()
    command = [
        program, "-y", "-loglevel", "error", "-f", "rawvideo", "-pix_fmt", "rgb24", "-s",
        f"{first.width}x{first.height}", "-r", f"{rate:g}", "-i", "-", "-c:v", "libx264", "-crf", "18", "-pix_fmt",
        "yuv420p", "-movflags", "+faststart", "-fflags", "+bitexact", "-threads", "1",
        "-metadata", f"comment={MARK}", str(path),
    ]  # fmt: skip
    count = 0
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stderr is not None
        try:
            for picture in chain([first], shown):
                process.stdin.write(picture.tobytes())
                count += 1
            process.stdin.close()
        except BrokenPipeError:
            pass  # it tells why below
        said = process.stderr.read().decode(errors="replace").strip()
    if process.returncode:
        raise RecordingError(f"{path}: {program} failed: {said.splitlines()[-1] if said else process.returncode}")
    return count


def _ffmpeg() -> str:
    """The program, from the package imageio-ffmpeg or from the system."""
    try:
        import imageio_ffmpeg

        return str(imageio_ffmpeg.get_ffmpeg_exe())
    except (ImportError, RuntimeError):
        found = shutil.which("ffmpeg")
    if found is None:
        raise RecordingError("no ffmpeg for MP4: `pip install imageio-ffmpeg` brings it; or name a .gif")
    return found
