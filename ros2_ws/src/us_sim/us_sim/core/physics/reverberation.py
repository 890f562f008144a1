# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Reverberation: ghosts of near layers, ring-down of the pulse, mirror images, and haze behind gas."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from us_sim.core.physics.imaging import Formation

GHOST = -30.0  # dB lost at each further round trip between face and a near layer
GHOST_DEPTH = 12.0  # mm of layers that reverberate
TAIL = 8  # samples of a pulse's tail
BACK = 8  # samples before gas or bone where sound has not yet met it
FILLED = 40.0  # mm behind gas or bone at which all of a wide aperture looks round it
BONE_SHARE = 0.2  # haze behind bone to that behind gas
BARS, BAR_SHARE, BAR_LENGTH = 6.7, 0.6, 20.0  # reverberation lines in haze: mm apart, share of it, mm until they fade
AIRY, BONY = 0.8, 3.5  # MRayl, below and above which sound does not pass


def ring_down(coherent: Tensor, form: Formation) -> Tensor:
    """Lengthen echoes by the tail of the pulse: strong ones, such as the diaphragm, look thick."""
    tail = torch.exp(-(form.depths[:TAIL] - form.depths[0]) / form.scanner.ring_down)
    padded = torch.nn.functional.pad(coherent[:, None], (TAIL - 1, 0))
    return torch.nn.functional.conv2d(padded, tail.flip(0)[None, None, None, :])[:, 0]


def ghosts(coherent: Tensor, form: Formation) -> Tensor:
    """Echoes of the near layers at twice and three times their depth."""
    samples = torch.arange(coherent.shape[-1], device=coherent.device)
    near = coherent * (form.depths < GHOST_DEPTH)
    loss = 10 ** (GHOST / 20)
    return loss * near[..., samples // 2] + loss**2 * near[..., samples // 3]


@dataclass(frozen=True, eq=False)
class Wall:
    """Where sound ends on each scan line, and what comes from behind there.

    Attributes:
        source: (B, L, S) int64, the sample that a mirror image shows at each sample.
        mirror: (B, L, S) amplitude of that image, attenuation included, 0 where there is none.
        haze: (B, L, S) amplitude of the multiple echoes that trail behind.
    """

    source: Tensor
    mirror: Tensor
    haze: Tensor


def first_solid(impedance: Tensor) -> tuple[Tensor, Tensor]:
    """First sample of gas, lung or bone on each line, (B, L, 1), and whether there is one, not at once at the face."""
    solid = (impedance < AIRY) | (impedance > BONY)
    first = solid.long().argmax(dim=-1, keepdim=True)
    return first, solid.any(dim=-1, keepdim=True) & (first > BACK)


def wall(impedance: Tensor, left: Tensor, form: Formation) -> Wall:
    """Find the first gas, lung or bone of each scan line.

    Sound that turns at sample m and meets tissue at 2m − s on its way back shows it at s, having passed m twice: gas
    and lung are flat and near enough to a mirror; bone is too curved. Between gas and probe sound goes to and fro
    until it has died away, which leaves a haze in the shadow; bone takes most of it in.

    Args:
        impedance: (B, L, S) MRayl, without air at the skin.
        left: (B, L, S) amplitude that is left of the sound.
    """
    scanner, samples = form.scanner, torch.arange(left.shape[-1], device=left.device)
    first, ends = first_solid(impedance)
    airy = ends & (impedance.gather(-1, first) < AIRY)
    behind = samples - first
    met = left.gather(-1, (first - BACK).clamp(min=0))
    source = (first - behind).clamp(0, left.shape[-1] - 1)
    seen = airy & (behind > 0) & (behind < first)
    mirror = met.square() / left.gather(-1, source).clamp(min=1e-6) * (1 - behind / first.clamp(min=1)) * seen
    beyond = behind.clamp(min=0) * form.step
    bars = 1 + airy * BAR_SHARE * torch.exp(-beyond / BAR_LENGTH) * torch.cos(2 * math.pi / BARS * beyond)
    haze = torch.exp(-beyond / scanner.shadow_length) * bars * torch.where(airy, 1.0, BONE_SHARE) * ends * (behind > 0)
    lost, level = 10 ** (scanner.mirror_level / 20), 10 ** (scanner.shadow_level / 20)
    return Wall(source, mirror * lost, met * haze * level)
