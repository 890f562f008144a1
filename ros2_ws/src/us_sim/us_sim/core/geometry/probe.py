# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""The probe's fan and its two grids: the frame's pixels, and scan lines × depth.

One picture holds all three kinds. Scan lines leave a common centre `apex` that lies behind the face:

    convex   the face is an arc of radius `radius_of_curvature` around the apex
    phased   the face is flat, `aperture` wide; the apex follows from aperture and field of view
    linear   the face is flat, the apex at infinity: lines are parallel

Frame `probe`, mm: x lateral (image columns), y elevation, z along the central line (image rows).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from enum import IntEnum
from functools import cached_property
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from us_sim.core.errors import ProbeError

Array = NDArray[np.float32]
Scalar = TypeVar("Scalar", bound=np.generic)

_MOST_SAMPLES = 2**20  # of the polar grid: image formation holds some hundred bytes for each
_CUT = 0.01  # share of the fan that may lie beyond the frame without a word
_ROUNDING = 1e-4  # of a scan line, a sample or a mm: pixels on the fan's border belong to it


class ProbeKind(IntEnum):
    """Numbered as in `us_sim_msgs/ProbeInfo`."""

    CONVEX = 0
    LINEAR = 1
    PHASED = 2


@dataclass(frozen=True)
class ProbeGeometry:
    """A fan and its grids, arrays that are made once and are read-only: `torch.tensor` copies one, `from_numpy` warns.

    Attributes:
        kind: shape of the face.
        depth: length of the central scan line, mm.
        radius_of_curvature: of a convex face, mm; 0 for the others.
        field_of_view: full angle between the outer scan lines, rad; 0 for a linear probe.
        aperture: width of a flat face, mm; 0 for a convex one, whose chord follows.
        width, height: the frame's pixels.
        scan_lines, samples: the polar grid; samples are a multiple of 16, the number of depth zones.
        slice_thickness: full width of the elevational beam, mm.
        elevation_planes: planes averaged over the thickness, odd.
        sector: share of the scan lines, around the middle, that the frame shows; the others stay black.
        given_spacing: size of a pixel (x, z) in mm; None: the frame is the box around the fan.
        given_first_pixel: centre (x, z) of the first pixel in mm; None: the frame is centred under the face.

    Raises:
        ProbeError: a value outside its range, or one that the kind does not have.
    """

    kind: ProbeKind
    depth: float
    radius_of_curvature: float = 0.0
    field_of_view: float = 0.0
    aperture: float = 0.0
    width: int = 256
    height: int = 256
    scan_lines: int = 192
    samples: int = 512
    slice_thickness: float = 3.0
    elevation_planes: int = 1
    sector: float = 1.0
    given_spacing: tuple[float, float] | None = None
    given_first_pixel: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        _check(self)

    # -- shape of the fan ---------------------------------------------------------------------------

    @property
    def apex(self) -> float:
        """Distance in mm from the face's middle back to the centre of the fan; inf for a linear probe."""
        if self.kind is ProbeKind.LINEAR:
            return math.inf
        if self.kind is ProbeKind.CONVEX:
            return self.radius_of_curvature
        return 0.5 * self.aperture / math.tan(0.5 * self.field_of_view)

    @property
    def sample_spacing(self) -> float:
        """Distance in mm between two samples of a scan line."""
        return self.depth / self.samples

    @cached_property
    def line_angles(self) -> NDArray[np.float64]:
        """(L,) angle of each scan line against +z, rad, from the image's left to its right."""
        half = 0.5 * self.field_of_view
        return _fixed((np.arange(self.scan_lines) + 0.5) / self.scan_lines * 2 * half - half)

    @cached_property
    def line_origins(self) -> NDArray[np.float64]:
        """(L, 3) where each scan line leaves the face, mm in `probe`."""
        x, z = np.zeros(self.scan_lines), np.zeros(self.scan_lines)
        if self.kind is ProbeKind.LINEAR:
            x = ((np.arange(self.scan_lines) + 0.5) / self.scan_lines - 0.5) * self.aperture
        elif self.kind is ProbeKind.CONVEX:
            x = self.apex * np.sin(self.line_angles)
            z = self.apex * (np.cos(self.line_angles) - 1)
        else:
            x = self.apex * np.tan(self.line_angles)
        return _fixed(np.stack([x, np.zeros_like(x), z], axis=-1))

    @cached_property
    def line_directions(self) -> NDArray[np.float64]:
        """(L, 3) unit direction of each scan line in `probe`."""
        angles = self.line_angles
        return _fixed(np.stack([np.sin(angles), np.zeros_like(angles), np.cos(angles)], axis=-1))

    @property
    def drawn_lines(self) -> slice:
        """The scan lines that the frame shows, whole ones around the middle."""
        beside = round(0.5 * (1.0 - self.sector) * self.scan_lines)
        return slice(beside, self.scan_lines - beside)

    @property
    def fan_size(self) -> tuple[float, float, float, float]:
        """Box around the fan in mm: smallest x, largest x, smallest z, largest z."""
        if self.kind is ProbeKind.LINEAR:
            return -self.aperture / 2, self.aperture / 2, 0.0, self.depth
        half = 0.5 * self.field_of_view
        reach = self.apex + self.depth
        side = reach * math.sin(min(half, 0.5 * math.pi))
        if self.kind is not ProbeKind.CONVEX:
            return -side, side, 0.0, self.depth
        # Beyond a half circle the ends of the outer lines lie highest, before that their beginnings.
        top = math.cos(half) * (self.apex if half < 0.5 * math.pi else reach) - self.apex
        return -side, side, top, self.depth

    # -- the frame's pixels -------------------------------------------------------------------------

    @property
    def pixel_spacing(self) -> tuple[float, float]:
        """Size of a pixel in mm along x (columns) and z (rows)."""
        if self.given_spacing is not None:
            return self.given_spacing
        left, right, top, bottom = self.fan_size
        return (right - left) / self.width, (bottom - top) / self.height

    @property
    def first_pixel(self) -> tuple[float, float]:
        """x and z in mm of the centre of the pixel in row 0, column 0."""
        if self.given_first_pixel is not None:
            return self.given_first_pixel
        dx, dz = self.pixel_spacing
        _, _, top, _ = self.fan_size
        return (0.5 - 0.5 * self.width) * dx, top + 0.5 * dz

    @cached_property
    def warnings(self) -> tuple[str, ...]:
        """What the user should know of the frame: that it cuts the fan; often nothing."""
        points, (x0, z0), (dx, dz) = self.polar_points, self.first_pixel, self.pixel_spacing
        column, row = (points[..., 0] - x0) / dx, (points[..., 2] - z0) / dz
        inside = (np.abs(column - 0.5 * (self.width - 1)) <= 0.5 * self.width) & (
            np.abs(row - 0.5 * (self.height - 1)) <= 0.5 * self.height
        )
        if inside.mean() > 1 - _CUT:
            return ()
        return (
            f"the frame, {self.width * dx:.0f} mm wide and {self.height * dz:.0f} mm high, shows "
            f"{100 * inside.mean():.0f} % of the fan; give given_spacing more mm or the frame more pixels to see all "
            "of it",
        )

    @cached_property
    def pixel_points(self) -> Array:
        """(H, W, 3) centres of the frame's pixels, mm in `probe`."""
        (dx, dz), (x0, z0) = self.pixel_spacing, self.first_pixel
        z, x = np.meshgrid(z0 + dz * np.arange(self.height), x0 + dx * np.arange(self.width), indexing="ij")
        return _fixed(np.stack([x, np.zeros_like(x), z], axis=-1).astype(np.float32))

    # -- scan lines × depth -------------------------------------------------------------------------

    @cached_property
    def sample_depths(self) -> Array:
        """(S,) distance of each sample from the face along its scan line, mm."""
        return _fixed(((np.arange(self.samples) + 0.5) * self.sample_spacing).astype(np.float32))

    @cached_property
    def polar_points(self) -> Array:
        """(L, S, 3) samples of the scan lines, mm in `probe`."""
        along = self.line_directions[:, None, :] * self.sample_depths[None, :, None]
        return _fixed((self.line_origins[:, None, :] + along).astype(np.float32))

    @cached_property
    def polar_of_pixel(self) -> Array:
        """(H, W, 2) fractional scan line and sample of every pixel: what scan conversion reads."""
        x, z = self.pixel_points[..., 0].astype(np.float64), self.pixel_points[..., 2].astype(np.float64)
        if self.kind is ProbeKind.LINEAR:
            line, distance = x / self.aperture + 0.5, z
        else:
            angle = np.arctan2(x, z + self.apex)
            line = angle / self.field_of_view + 0.5
            start = self.apex if self.kind is ProbeKind.CONVEX else self.apex / np.cos(angle)
            distance = np.hypot(x, z + self.apex) - start
        fraction = np.stack([line * self.scan_lines, distance / self.sample_spacing], axis=-1)
        return _fixed((fraction - 0.5).astype(np.float32))

    @cached_property
    def fan_mask(self) -> NDArray[np.bool_]:
        """(H, W) true where a pixel's centre lies in the part of the fan that is shown."""
        line, sample = np.moveaxis(self.polar_of_pixel.astype(np.float64), -1, 0)
        off_centre = np.abs(line + 0.5 - 0.5 * self.scan_lines)
        half = 0.5 * self.scan_lines - self.drawn_lines.start
        inside = (off_centre <= half + _ROUNDING) & (sample >= -0.5 - _ROUNDING)
        if self.kind is not ProbeKind.PHASED:
            return _fixed(inside & (sample <= self.samples - 0.5))
        # A flat face under an arc: the outer lines are shorter than the central one.
        radius = np.hypot(self.pixel_points[..., 0], self.pixel_points[..., 2] + self.apex)
        return _fixed(inside & (radius <= self.apex + self.depth + _ROUNDING))

    def with_depth(self, depth: float) -> ProbeGeometry:
        """Return the same probe looking to another depth in mm, its frame fitted to the new fan."""
        return replace(self, depth=depth, given_spacing=None, given_first_pixel=None)

    def with_rows(self, rows: int) -> ProbeGeometry:
        """Return the same probe, its frame at the same place with other rows, columns in proportion."""
        columns = max(1, round(self.width * rows / self.height))
        if self.given_spacing is None:
            return replace(self, width=columns, height=rows)
        (dx, dz), (x, z) = self.given_spacing, self.first_pixel
        fine = (dx * self.width / columns, dz * self.height / rows)
        return replace(
            self, width=columns, height=rows, given_spacing=fine,
            given_first_pixel=(x + 0.5 * (fine[0] - dx), z + 0.5 * (fine[1] - dz)),
        )  # fmt: skip


def _fixed(grid: NDArray[Scalar]) -> NDArray[Scalar]:
    """Return a grid that cannot be written into: all who use the probe share it."""
    grid.setflags(write=False)
    return grid


def _check(probe: ProbeGeometry) -> None:
    def demand(name: str, good: bool, expected: str) -> None:
        if not good:
            raise ProbeError(f"{name} is {getattr(probe, name)!r}; expected {expected}")

    demand("kind", isinstance(probe.kind, ProbeKind), "a ProbeKind")
    curved, flat = probe.kind is ProbeKind.CONVEX, probe.kind is not ProbeKind.CONVEX
    steered = probe.kind is not ProbeKind.LINEAR
    demand("depth", 10 <= probe.depth <= 400, "10 to 400 mm")
    demand(
        "radius_of_curvature",
        (5 <= probe.radius_of_curvature <= 200) if curved else probe.radius_of_curvature == 0,
        "5 to 200 mm for a convex probe, 0 for the others",
    )
    widest = 2 * math.pi if curved else 2.6
    demand(
        "field_of_view",
        (0.1 <= probe.field_of_view <= widest + _ROUNDING) if steered else probe.field_of_view == 0,
        "0.1 to 2.6 rad for a phased probe, to a full turn of 6.283 for a convex one, 0 for a linear one",
    )
    demand(
        "aperture",
        (5 <= probe.aperture <= 150) if flat else probe.aperture == 0,
        "5 to 150 mm for a linear or phased probe, 0 for a convex one",
    )
    for name, low, high in (("width", 16, 2048), ("height", 16, 2048), ("scan_lines", 16, 1024), ("samples", 32, 4096)):
        value = getattr(probe, name)
        demand(name, isinstance(value, int) and low <= value <= high, f"a whole number from {low} to {high}")
    demand("samples", probe.samples % 16 == 0, "a multiple of 16")
    if probe.scan_lines * probe.samples > _MOST_SAMPLES:
        raise ProbeError(
            f"{probe.scan_lines} scan lines of {probe.samples} samples are too many; expected at most {_MOST_SAMPLES}"
        )
    demand("slice_thickness", 0 <= probe.slice_thickness <= 20, "0 to 20 mm")
    demand("elevation_planes", probe.elevation_planes in range(1, 22, 2), "an odd number from 1 to 21")
    demand("sector", 0.2 <= probe.sector <= 1, "0.2 to 1 of the scan lines")
    for name in ("given_spacing", "given_first_pixel"):
        pair = getattr(probe, name)
        demand(name, pair is None or (isinstance(pair, tuple) and len(pair) == 2), "two numbers, mm")
    demand("given_spacing", all(0.01 <= size <= 10 for size in probe.given_spacing or ()), "0.01 to 10 mm")
    demand(
        "given_first_pixel",
        all(abs(place) <= 1000 for place in probe.given_first_pixel or ()),
        "within 1000 mm of the face",
    )


PRESETS: dict[str, ProbeGeometry] = {
    # The fan of the real frames: radii 160 to 732 pixels of 0.314818 mm, ±30°.
    "c5_2": ProbeGeometry(ProbeKind.CONVEX, depth=180.0, radius_of_curvature=50.4, field_of_view=math.pi / 3),
    "l12_5": ProbeGeometry(ProbeKind.LINEAR, depth=50.0, aperture=38.0, slice_thickness=1.5),
    "p4_2": ProbeGeometry(ProbeKind.PHASED, depth=160.0, aperture=20.0, field_of_view=math.pi / 2),
    # The paper's fan on a 512×512 slice: centre at column 256, row −20, radius 500 pixels, 60° to 120°.
    # Pixels of 0.8 mm, a common spacing of abdominal CT, put the flat upper edge 16 mm below the centre.
    "paper": ProbeGeometry(
        ProbeKind.PHASED,
        depth=384.0,
        aperture=2 * 16.0 * math.tan(math.pi / 6),
        field_of_view=math.pi / 3,
        width=512,
        height=512,
        given_spacing=(0.8, 0.8),
        given_first_pixel=(-256 * 0.8, 0.0),
    ),
}
PRESSED = 8.0  # mm into the skin: the face of c5_2 falls back by 6.8 mm towards its outer lines, and all of it touches


def preset(name: str) -> ProbeGeometry:
    """Return a probe by name.

    Raises:
        ProbeError: unknown name; the message lists the known ones.
    """
    if name not in PRESETS:
        raise ProbeError(f"unknown probe {name!r}; expected one of {', '.join(sorted(PRESETS))}")
    return PRESETS[name]
