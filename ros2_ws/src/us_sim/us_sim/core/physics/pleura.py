# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.


"""The pleura as a wide aperture sees it: even across the scan lines, repeated at multiples of its depth (A-lines).

Sound goes to and fro between the smooth pleura and the probe's face (Lichtenstein 2014, doi
10.1186/2110-5820-4-1). Each echo is a mean over what the aperture spans of it: a border in the steps of voxels is none.

Functions of tensors and of one scan line, for compiled loops; they differ by rounding.
"""

from __future__ import annotations

import math

import numba
import numpy as np
import torch
from torch import Tensor

from us_sim.core.compute.kernels import kernel
from us_sim.core.physics.imaging import Formation
from us_sim.core.physics.reverberation import EDGE

A_LINES, A_LINE = 4, -12.0  # repeats of the pleura by sound that turns at the face, and dB lost there each time
SPAN, TIED = 6.0, 5.0  # mm across the lines and in depth: standard deviations within which pleura is one surface
TURNED = 10 ** (A_LINE / 20)
FAR = np.float32(16)  # exponent beyond which a weight is nothing: 1e-7


def even_pleura(echo: Tensor, first: Tensor, lung: Tensor, form: Formation) -> tuple[Tensor, Tensor]:
    """Mean of the pleura's echo over neighbouring scan lines, each from where lung begins on it.

    Args:
        echo: (B, L, S) amplitude.
        first: (B, L, 1) int64, the sample at which lung begins.
        lung: (B, L, 1) bool, whether it does.
        form: from `formation`.

    Returns:
        (B, L, 1) samples from `first` to where the mean lies, and (B, L, 2 EDGE + 1) its amplitude around there.
    """
    around = first + torch.arange(-EDGE, EDGE + 1, device=first.device)
    held = lung & (around < echo.shape[-1])
    window = echo.gather(-1, around.clamp(0, echo.shape[-1] - 1)) * held
    line = torch.arange(first.shape[1], device=first.device)
    aside = (line[:, None] - line) * form.line_spacing[first] / SPAN
    deeper = (first.mT - first).to(window.dtype)
    weights = torch.exp(-0.5 * (aside.square() + (deeper * (form.step / TIED)).square())) * lung.mT
    weights = weights / weights.sum(dim=-1, keepdim=True).clamp(min=1e-6)
    return (weights * deeper).sum(dim=-1, keepdim=True), weights @ window


def repeat(number: int, first: Tensor, shift: Tensor, profile: Tensor, samples: int) -> Tensor:
    """The echo after so many further turns at the face, 0 for the pleura itself: (B, L, S), no loss on the way."""
    sample = torch.arange(samples, device=first.device)
    place = sample - ((number + 1) * first + number // 2 - EDGE) - (number + 1) * shift  # depths are (s + ½) steps
    below, last = place.floor(), profile.shape[-1]
    part = place - below
    padded = torch.nn.functional.pad(profile, (1, 1))
    near, far = (padded.gather(-1, (below.long() + k).clamp(0, last + 1)) for k in (1, 2))
    return near + part * (far - near)


@numba.njit
def keep_echo(first, echo, window):  # type: ignore[no-untyped-def]
    """Move the echo of the pleura of one line, (S,), into its window, (2 EDGE + 1,)."""
    for s in range(first - EDGE, min(first + EDGE + 1, len(echo))):
        window[s - first + EDGE], echo[s] = echo[s], 0


@kernel
def even_out(firsts, windows, spacing, step, shifts, profiles):  # type: ignore[no-untyped-def]
    """`even_pleura` of (B, L) lines, with 0 where no lung begins, and their windows (B, L, 2 EDGE + 1)."""
    lines = firsts.shape[1]
    for r in numba.prange(firsts.shape[0] * lines):
        b, line = r // lines, r % lines
        first, total, shift = firsts[b, line], np.float32(0), np.float32(0)
        profile = profiles[b, line]
        profile[:] = 0
        if first == 0:
            continue
        across = spacing[first] / np.float32(SPAN)
        reach = int(math.sqrt(2 * FAR) / across)
        for other in range(max(line - reach, 0), min(line + reach + 1, lines)):
            aside, deeper = np.float32(other - line) * across, np.float32(firsts[b, other] - first)
            tied = deeper * (step / np.float32(TIED))
            if firsts[b, other] > 0:
                weight = np.exp(np.float32(-0.5) * (aside * aside + tied * tied))
                total += weight
                shift += weight * deeper
                for e in range(len(profile)):
                    profile[e] += weight * windows[b, other, e]
        shifts[b, line] = shift / total
        for e in range(len(profile)):
            profile[e] /= total


@numba.njit
def add_repeat(number, level, first, shift, profile, line):  # type: ignore[no-untyped-def]
    """Add `repeat` to one line, (S,), at a level."""
    moved = np.float32(number + 1) * shift
    below = np.floor(moved)
    part = moved - below
    start = (number + 1) * first + number // 2 - EDGE + int(below)
    for e in range(len(profile) + 1):
        near = profile[e] if e < len(profile) else np.float32(0)
        before = profile[e - 1] if e > 0 else np.float32(0)
        if 0 <= start + e < len(line):
            line[start + e] += level * (near + part * (before - near))
