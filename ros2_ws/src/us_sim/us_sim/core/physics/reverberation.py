# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Reverberation: ghosts of near layers, ring-down, mirror images, haze, lines behind gas."""

from __future__ import annotations

from dataclasses import dataclass

import numba
import torch
from torch import Tensor

from us_sim.core.physics.imaging import NEPER, Formation
from us_sim.core.physics.lung import WITHIN, comets, decays

GHOST = -30.0  # dB lost at each further round trip between face and a near layer
GHOST_DEPTH = 12.0  # mm of layers that reverberate
TAIL = 8  # samples of a pulse's tail
BACK = 8  # samples before gas or bone where sound has not yet met it
FILLED = 40.0  # mm behind gas or bone at which all of a wide aperture looks round it
BONE_SHARE = 0.2  # haze behind bone to that behind gas
LINES, APART = 4, 6.7  # reverberation lines behind gas, and mm between them
LINE, FAINTER = -24.0, -6.0  # dB of the first line to the echo of the gas, and of each further one to that before
EDGE = 3  # samples on either side of where gas or lung begins that its echo covers
RAGGED, MOST_RAGGED = 4.0, 2.0  # dB by which the wall of a gut makes gas louder for each SD of its strands; most SD
AIRY, BONY = 0.8, 3.5  # MRayl, below and above which sound does not pass
GASEOUS = 0.1  # MRayl, below which it is gas and not lung


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
        first: (B, L, 1) int64, the sample at which it begins.
        met: (B, L, 1) amplitude of the sound that meets it.
        edge: (B, L, S) bool, where the echo of gas itself lies.
        pleura: (B, L, S) bool, where the echo of lung itself lies.
        strength: (B, L, 1) of the echo of gas and of what follows from it: the wall of a gut is folded and wet.
    """

    source: Tensor
    mirror: Tensor
    haze: Tensor
    first: Tensor
    met: Tensor
    edge: Tensor
    pleura: Tensor
    strength: Tensor


def first_solid(impedance: Tensor) -> tuple[Tensor, Tensor]:
    """First sample of gas, lung or bone on each line, (B, L, 1), and whether there is one, not at once at the face."""
    solid = (impedance < AIRY) | (impedance > BONY)
    first = solid.long().argmax(dim=-1, keepdim=True)
    return first, solid.any(dim=-1, keepdim=True) & (first > BACK)


@numba.njit
def first_wall(impedance):  # type: ignore[no-untyped-def]
    """`first_solid` of one line, for compiled loops: 0 if there is none, and whether it is gas."""
    for s in range(len(impedance)):
        if impedance[s] < AIRY or impedance[s] > BONY:
            return (s, impedance[s] < AIRY) if s > BACK else (0, False)
    return 0, False


def raggedness(strand: Tensor, first: Tensor) -> Tensor:
    """Amplitude of gas that begins at a sample of each line, (B, L, 1), by the folds of the gut's wall before it."""
    folds = strand.gather(-1, (first - WITHIN).clamp(min=0)).clamp(-MOST_RAGGED, MOST_RAGGED)
    return torch.exp(NEPER * RAGGED * folds)


def wall(impedance: Tensor, left: Tensor, strand: Tensor, form: Formation) -> Wall:
    """Find the first gas, lung or bone of each scan line.

    Sound that turns at sample m and meets tissue at 2m − s on its way back shows it at s, having passed m twice: gas
    and lung are flat and near enough to a mirror; bone is too curved. Between gas and probe sound goes to and fro
    until it has died away, which leaves a haze in the shadow; bone takes most of it in.

    Args:
        impedance: (B, L, S) MRayl, without air at the skin.
        left: (B, L, S) amplitude that is left of the sound.
        strand: (B, L, S) noise in layered tissue, of `Anatomy`.
    """
    scanner, samples = form.scanner, torch.arange(left.shape[-1], device=left.device)
    first, ends = first_solid(impedance)
    airy = ends & (impedance.gather(-1, first) < AIRY)
    behind = samples - first
    met = left.gather(-1, (first - BACK).clamp(min=0))
    source = (first - behind).clamp(0, left.shape[-1] - 1)
    seen = airy & (behind > 0) & (behind < first)
    mirror = met.square() / left.gather(-1, source).clamp(min=1e-6) * (1 - behind / first.clamp(min=1)) * seen
    deeper = impedance.gather(-1, (first + EDGE).clamp(max=left.shape[-1] - 1))
    gas = airy & (deeper < GASEOUS)
    lung, strength = airy & ~gas, raggedness(strand, first)
    usual, faster, ringing = (decay / decay[first] for decay in decays(form))
    haze = torch.where(lung, faster, usual) * torch.where(airy, strength, BONE_SHARE)
    haze = (haze + comets(strand, first, form) * ringing * lung) * (ends & (behind > 0))
    lost, level = 10 ** (scanner.mirror_level / 20), 10 ** (scanner.shadow_level / 20)
    near = behind.abs() <= EDGE
    return Wall(source, mirror * lost, met * haze * level, first, met, gas & near, lung & near, strength)


def repeated(coherent: Tensor, behind: Wall, form: Formation) -> Tensor:
    """Break up the echo of gas, and repeat it behind: sound goes to and fro between it and layers close before it."""
    edge = torch.where(behind.edge, coherent * behind.strength, 0.0)
    out = torch.where(behind.edge, edge, coherent)
    for line in range(LINES):
        shift = (line + 1) * max(1, round(APART / form.step))
        level = 10 ** ((LINE + line * FAINTER) / 20)
        out = out + level * torch.nn.functional.pad(edge, (shift, 0))[..., : edge.shape[-1]]
    return out


@numba.njit
def is_gas(impedance, first):  # type: ignore[no-untyped-def]
    """Whether air that begins at a sample of a line, (S,), is gas and not lung; for compiled loops."""
    return impedance[min(first + EDGE, len(impedance) - 1)] < GASEOUS
