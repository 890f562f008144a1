# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""The fan in frames of a scanner, and resampling from there to a probe's grids."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from us_sim.core.errors import DataError
from us_sim.core.geometry.probe import ProbeGeometry

Array = NDArray[np.float64]


@dataclass(frozen=True)
class FanGeometry:
    """A convex or phased fan in the pixels of a frame; (0, 0) is the centre of the first pixel.

    Attributes:
        centre: (x, y) of the centre of curvature, where the scan lines meet; may lie above the frame.
        radii: from the centre to the face and to the deepest samples.
        half_angle: between the central and the outer scan lines, rad.
        spacing: mm of a pixel; None where unknown: the depth is then stretched to that of the probe.

    Raises:
        DataError: a value outside its range.
    """

    centre: tuple[float, float]
    radii: tuple[float, float]
    half_angle: float
    spacing: float | None = None

    def __post_init__(self) -> None:
        for name, good, expected in (
            ("radii", 0 <= self.radii[0] < self.radii[1] < 1e5, "0 or more, the smaller first"),
            ("half_angle", 0.05 <= self.half_angle <= 1.5, "0.05 to 1.5 rad"),
            ("centre", all(abs(c) < 1e5 for c in self.centre), "pixels"),
            ("spacing", self.spacing is None or 0.01 <= self.spacing <= 10, "0.01 to 10 mm, or none"),
        ):
            if not good:
                raise DataError(f"fan geometry: {name} is {getattr(self, name)}; expected {expected}")


# Radii and angle as measured: those in the data's own file are cut short by the image's border.
LIVER_SWEEP = FanGeometry((369.0, 22.0115 - 161.3407), (160.0, 732.0), math.radians(30.0), 0.314818)


def read_fan(path: Path) -> FanGeometry:
    """Read a fan from JSON: our fields by name, or ImFusion's `convex` (offset is where the middle of the face lies).

    Raises:
        DataError: unreadable, or neither form.
    """
    try:
        data: dict[str, Any] = dict(json.loads(path.read_text()))
        spacing = data.get("spacing", data.get("pixel_spacing_mm"))
        if "convex" not in data:
            (x, y), (near, far) = data["centre"], data["radii"]
            return FanGeometry((x, y), (near, far), data["half_angle"], spacing)
        convex = data["convex"]
        (x, y), near = convex["offset_px"], convex["short_radius_px"]
        half = math.radians(convex["half_opening_angle_deg"])
        return FanGeometry((x, y - near), (near, convex["long_radius_px"]), half, spacing)
    except (OSError, KeyError, TypeError, ValueError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path}: no fan geometry ({error}); give centre, radii, half_angle and spacing") from error


def fan_beside(frames: Path, top: Path) -> FanGeometry | None:
    """Return the fan of the nearest `fan.json`, from the folder of the frames up to another; None if there is none.

    Raises:
        DataError: the file cannot be used.
    """
    for folder in (frames, *frames.parents):
        if (folder / "fan.json").is_file():
            return read_fan(folder / "fan.json")
        if folder == top:
            break
    return None


def fan_in_frame(fan: FanGeometry, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """(H, W) where a frame's pixels lie in its fan."""
    y, x = np.indices(shape)
    dx, dy = x - fan.centre[0], y - fan.centre[1]
    radius = np.hypot(dx, dy)
    inside = (np.abs(np.arctan2(dx, dy)) <= fan.half_angle) & (radius >= fan.radii[0]) & (radius <= fan.radii[1])
    return np.asarray(inside)


class Resampler:
    """From a frame's pixels to a probe's grid.

    Scan line by scan line, outer lines go to outer lines, so that the fan's shape is the probe's and cannot tell where
    a frame comes from; depth is kept in mm where the spacing is known, else stretched. As a whole, a frame is moved and
    scaled so that the centres and the deepest arcs of both fans meet, and nothing is stretched.

    Args:
        probe: whose grid it is.
        fan: of the frames.
        polar: to scan lines × samples, transposed; otherwise to the pixels of the probe's frame.
        whole: frames are moved and scaled as a whole.

    Raises:
        DataError: as a whole, to the parallel lines of a linear probe, which have no centre.
    """

    def __init__(self, probe: ProbeGeometry, fan: FanGeometry, polar: bool, whole: bool = False) -> None:
        if whole:
            self._as_a_whole(probe, fan, polar)
            return
        if polar:
            line, sample = np.meshgrid(np.arange(probe.scan_lines), np.arange(probe.samples))
            in_probe = np.ones(line.shape, dtype=bool)
        else:
            line, sample = np.moveaxis(probe.polar_of_pixel.astype(np.float64), -1, 0)
            in_probe = probe.fan_mask
        angle = ((line + 0.5) / probe.scan_lines * 2 - 1) * fan.half_angle
        depth = (sample + 0.5) * probe.sample_spacing
        length = fan.radii[1] - fan.radii[0]
        pixels = depth / probe.depth * length if fan.spacing is None else depth / fan.spacing
        radius = fan.radii[0] + pixels
        self.x = fan.centre[0] + radius * np.sin(angle)
        self.y = fan.centre[1] + radius * np.cos(angle)
        self.inside = torch.from_numpy(in_probe & (pixels <= length + 1))

    def _as_a_whole(self, probe: ProbeGeometry, fan: FanGeometry, polar: bool) -> None:
        if not math.isfinite(probe.apex):
            raise DataError("frames of a fan cannot be laid over parallel scan lines as a whole; expected fit: lines")
        points = (probe.polar_points.transpose(1, 0, 2) if polar else probe.pixel_points).astype(np.float64)
        scale = fan.radii[1] / (probe.apex + probe.depth)
        across, along = points[..., 0] * scale, (points[..., 2] + probe.apex) * scale
        self.x, self.y = fan.centre[0] + across, fan.centre[1] + along
        radius, angle = np.hypot(across, along), np.abs(np.arctan2(across, along))
        in_fan = (radius >= fan.radii[0]) & (radius <= fan.radii[1] + 1) & (angle <= fan.half_angle)
        self.inside = torch.from_numpy(in_fan & (True if polar else probe.fan_mask))

    def valid(self, shape: tuple[int, int]) -> Tensor:
        """(H, W) of the grid: where a frame of this (rows, columns) has something to show."""
        x, y = torch.from_numpy(self.x), torch.from_numpy(self.y)
        return self.inside & (x > -1) & (y > -1) & (x < shape[1]) & (y < shape[0])

    def image(self, frames: NDArray[Any]) -> Tensor:
        """(N, H, W) float32 on the probe's grid of (N, rows, columns) grey levels, bilinear; 0 outside."""
        return self._sample(frames, "bilinear")

    def classes(self, masks: NDArray[np.uint8]) -> Tensor:
        """(N, H, W) uint8 on the probe's grid of (N, rows, columns) class ids, nearest neighbour; 0 outside."""
        return self._sample(masks, "nearest").to(torch.uint8)

    def _sample(self, frames: NDArray[Any], mode: str) -> Tensor:
        rows, columns = frames.shape[-2:]
        grid = np.stack([(2 * self.x + 1) / columns - 1, (2 * self.y + 1) / rows - 1], axis=-1)
        places = torch.from_numpy(grid.astype(np.float32))[None].expand(len(frames), -1, -1, -1)
        stack = torch.from_numpy(np.ascontiguousarray(frames, dtype=np.float32))[:, None]
        sampled = torch.nn.functional.grid_sample(stack, places, mode=mode, padding_mode="border", align_corners=False)
        return sampled[:, 0] * self.valid((rows, columns))
