# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Frames of the user's own scanner, resampled from any fan and depth to one grid of scan lines in mm."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from us_sim.core.errors import DataError
from us_sim.core.geometry.fan_fit import ALIKE, alike, fit_fan
from us_sim.core.geometry.fans import FanGeometry, Resampler
from us_sim.core.geometry.frame_files import images_in, read_grey
from us_sim.core.geometry.probe import ProbeGeometry, ProbeKind
from us_sim.offline.fit import overlays

LINES, SAMPLES = 96, 384  # of the grid on which scanners are compared
RADIUS = 60.0  # mm, radius of curvature of most abdominal probes, where it is not given
FEWEST, FEW = 8, 30  # frames without which nothing is fitted, and from which it is meant to work
WEAK = 0.3  # a line whose near field is so much darker than its neighbours' has no contact


@dataclass(frozen=True, eq=False)
class Scanned:
    """Frames along their scan lines.

    Attributes:
        grey: (N, L, S) grey levels, 0 to 255.
        valid: (N, L, S) where a frame shows tissue: in its fan and depth, no text, a line in contact.
        probe: the fan to the largest depth.
        names: (N,) files, in their order.
        depths: (N,) mm to which each frame looks.
        notes: what was assumed or left out, a sentence each.
        pixel: mm, of the frames.
    """

    grey: Tensor
    valid: Tensor
    probe: ProbeGeometry
    names: tuple[str, ...]
    depths: tuple[float, ...]
    notes: tuple[str, ...] = ()
    pixel: float = 0.3

    def at(self, places: Sequence[int]) -> Scanned:
        """Return some of the frames."""
        index = list(places)
        names, depths = tuple(self.names[i] for i in index), tuple(self.depths[i] for i in index)
        return replace(self, grey=self.grey[index], valid=self.valid[index], names=names, depths=depths)


def read_frames(
    folder: Path, fan: FanGeometry | None = None, radius: float | None = None, depth: float | None = None
) -> Scanned:
    """Read a folder of frames of a convex probe.

    Args:
        folder: images of any sizes; frames of one size and depth share a fan.
        fan: of all frames, where it is known; otherwise it is found.
        radius: radius of curvature of the probe, mm: with it every depth follows from the frames.
        depth: of all frames, mm, where that is known instead.

    Raises:
        DataError: too few frames, no fan in them, or a scale that cannot be.
    """
    pictures, notes = _pictures(folder)
    if len(pictures) < FEWEST:
        raise DataError(f"{folder}: holds {len(pictures)} usable frames; expected at least {FEWEST}, better {FEW}")
    groups = [list(range(len(pictures)))] if fan else _groups([grey for _, grey, _ in pictures])
    fans = [fan or fit_fan(np.mean([pictures[i][1] for i in group], axis=0)) for group in groups]
    if radius is None and depth is None and any(one.spacing is None for one in fans):
        radius = RADIUS
        notes.append(f"the scale is assumed: a radius of curvature of {RADIUS:g} mm; state --radius or --depth")
    fans = [scaled(one, radius, depth) for one in fans]
    probe = _probe(fans)
    order = [i for group in groups for i in group]
    parts = [_on_lines([pictures[i] for i in group], one, probe) for group, one in zip(groups, fans, strict=True)]
    reach = [_depth(one) for group, one in zip(groups, fans, strict=True) for _ in group]
    grey, valid = (torch.cat(part) for part in zip(*parts, strict=True))
    names = tuple(pictures[i][0] for i in order)
    pixel = float(np.median([one.spacing for one in fans]))
    scanned = Scanned(grey, valid, probe, names, tuple(reach), tuple(notes), pixel)
    return scanned.at(np.argsort(order).tolist())


def scaled(fan: FanGeometry, radius: float | None, depth: float | None) -> FanGeometry:
    """Return a fan with the spacing that follows from the probe's radius of curvature or the depth, mm.

    Raises:
        DataError: both are given and disagree by more than 3 %.
    """
    near, far = fan.radii
    by_radius = radius / near if radius and near > 0 else None
    by_depth = depth / (far - near) if depth else None
    if by_radius and by_depth and abs(by_radius / by_depth - 1) > 0.03:
        raise DataError(
            f"radius {radius:g} mm and depth {depth:g} mm give pixels of {by_radius:.3f} and {by_depth:.3f} mm in a "
            f"fan of radii {near:.0f} and {far:.0f} pixels; state the one that is sure"
        )
    return replace(fan, spacing=by_radius or by_depth or fan.spacing)


def _pictures(folder: Path) -> tuple[list[tuple[str, NDArray[np.uint8], NDArray[np.bool_]]], list[str]]:
    """Name, grey levels and coloured pixels of each frame, duplicates left out; and notes on what was left out."""
    found, notes, seen = [], [], set()
    for path in images_in(folder):
        try:
            grey, coloured = read_grey(path), overlays.coloured(path)
        except DataError as error:
            notes.append(f"{path.name} {error}: left out")
            continue
        if grey.tobytes() in seen:
            notes.append(f"{path.name} is the same as another frame: left out")
            continue
        seen.add(grey.tobytes())
        found.append((path.name, grey, coloured))
    return found, notes


def _groups(pictures: list[NDArray[np.uint8]]) -> list[list[int]]:
    large = [members for members in alike(pictures) if len(members) >= ALIKE]
    if not large:
        raise DataError("no three frames have the same fan; expected several of each depth, or state the fan")
    return large


def _depth(fan: FanGeometry) -> float:
    assert fan.spacing is not None
    return (fan.radii[1] - fan.radii[0]) * fan.spacing


def _probe(fans: list[FanGeometry]) -> ProbeGeometry:
    """The probe that all fans belong to, looking as deep as the deepest."""
    deepest = max(fans, key=_depth)
    return ProbeGeometry(
        ProbeKind.CONVEX, depth=round(_depth(deepest), 1), field_of_view=round(2 * deepest.half_angle, 4),
        radius_of_curvature=round(deepest.radii[0] * (deepest.spacing or 0), 1), scan_lines=LINES, samples=SAMPLES,
    )  # fmt: skip


def _on_lines(
    pictures: list[tuple[str, NDArray[np.uint8], NDArray[np.bool_]]], fan: FanGeometry, probe: ProbeGeometry
) -> tuple[Tensor, Tensor]:
    """(N, L, S) grey levels and where they are valid, of frames of one fan."""
    resampler, stack = Resampler(probe, fan, polar=True), np.stack([grey for _, grey, _ in pictures])
    drawn = overlays.constant(stack, fan) | np.stack([coloured for _, _, coloured in pictures])
    grey = resampler.image(stack).transpose(1, 2).contiguous()
    free = resampler.image(drawn.astype(np.float32)) < 0.05
    valid = (free & resampler.valid(stack.shape[-2:])).transpose(1, 2)
    return grey, (valid & in_contact(grey, probe)[..., None]).contiguous()


def in_contact(grey: Tensor, probe: ProbeGeometry) -> Tensor:
    """(N, L) whether a scan line is about as bright as the others of its frame between 20 and 100 mm."""
    depths = torch.from_numpy(probe.sample_depths)
    level = grey[..., (depths > 20) & (depths < 100)].mean(dim=-1)[:, None]
    width = grey.shape[1] // 32 | 1
    level = torch.nn.functional.avg_pool1d(level, width, 1, width // 2, count_include_pad=False)[:, 0]
    return level > WEAK * level.quantile(0.75, dim=1, keepdim=True)
