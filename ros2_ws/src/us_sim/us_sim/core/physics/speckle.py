# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Speckle: scatterers, fascia and interfaces under the point spread, and the level they show on their own.

Compiled loops on the CPU, tensors elsewhere; they differ by rounding and by scan lines that weigh less than
NEGLIGIBLE, whose sum in one place stays under 6e-5. A loop writes each number once and
wakes the threads once, where a chain of tensor operations does so for each of its links.
"""

from __future__ import annotations

import math

import numba
import numpy as np
import torch
from torch import Tensor

from us_sim.core.compute.kernels import kernel, serve
from us_sim.core.physics.body_wall import fascia, fascia_by_tensors
from us_sim.core.physics.haze import with_haze, with_haze_by_tensors
from us_sim.core.physics.imaging import Formation, pulsed
from us_sim.core.physics.sheen import line_echo, line_echo_by_tensors
from us_sim.core.sampling.anatomy import Anatomy

FAINTEST = 1 / 16  # of the mean echo of 0 dB tissue: −4 in units of 6 dB
NEGLIGIBLE = np.float32(1e-5)  # share of a scan line in its neighbour's echo, or of a tap in the pulse


def texture(anatomy: Anatomy, form: Formation) -> Tensor:
    """What scatterers, fascia and interfaces would show on their own, under the point spread and without attenuation.

    Behind gas, lung and bone it is the haze: see `with_haze`.

    Returns:
        (B, L, S) level over the mean echo of 0 dB tissue, in units of 6 dB, −4 (blood, water) at least.
    """
    if anatomy.scatter.device.type != "cpu":
        return texture_by_tensors(anatomy, form)
    sheets = fascia(anatomy) + line_echo(anatomy, form)
    assert sheets.shape[1:] == form.noise.shape[:2], f"formation of another grid than {tuple(sheets.shape[1:])}"
    level = torch.empty_like(sheets)
    louder = np.float32(10 ** (-form.scanner.speckle_level / 20))
    given = with_haze(anatomy, form), sheets, form.lateral_psf.contiguous(), form.pulse
    _texture(*[*(part.numpy() for part in given), louder, level.numpy()])
    return level


def blur_laterally(signal: Tensor, psf: Tensor) -> Tensor:
    """Convolve (B, L, S, C) across the scan lines with each depth zone's point spread (ZONES, L, L)."""
    if not serve(signal):
        return blur_by_tensors(signal, psf)
    assert psf.shape[1:] == (signal.shape[1],) * 2, f"{signal.shape[1]} lines, point spread of {tuple(psf.shape)}"
    blurred = torch.empty(signal.shape)
    of_lines = *signal.shape[:2], -1
    _blur(signal.reshape(of_lines).numpy(), psf.contiguous().numpy(), blurred.view(of_lines).numpy())
    return blurred


def texture_by_tensors(anatomy: Anatomy, form: Formation) -> Tensor:
    """`texture` on any torch device."""
    echoes = with_haze_by_tensors(anatomy, form)
    sheets = fascia_by_tensors(anatomy) + line_echo_by_tensors(anatomy, form)
    echoes[..., : echoes.shape[-1] // 2] += sheets[..., None] * 10 ** (-form.scanner.speckle_level / 20)
    signal = pulsed(blur_by_tensors(echoes, form.lateral_psf), form.pulse)
    envelope = compound(signal) / math.sqrt(math.pi / 2)
    return torch.log2(envelope.clamp(min=FAINTEST))


def blur_by_tensors(signal: Tensor, psf: Tensor) -> Tensor:
    """`blur_laterally` on any torch device."""
    batch, lines, samples, channels = signal.shape
    zoned = signal.reshape(batch, lines, len(psf), -1).transpose(1, 2)
    return torch.matmul(psf, zoned).transpose(1, 2).reshape(batch, lines, samples, channels)


def compound(signal: Tensor) -> Tensor:
    """Mean envelope of the looks: (B, L, S, 2 looks) complex parts -> (B, L, S)."""
    looks = signal.shape[-1] // 2
    return (signal[..., :looks].square() + signal[..., looks:].square()).sqrt().mean(dim=-1)


@kernel
def _blur(signal, psf, blurred):  # type: ignore[no-untyped-def]
    size = signal.shape[2] // len(psf)
    for r in numba.prange(signal.shape[0] * signal.shape[1]):
        b, line = r // signal.shape[1], r % signal.shape[1]
        for zone in range(len(psf)):
            start = zone * size
            mix(signal, b, start, psf, zone, line, blurred[b, line, start : start + size])


@numba.njit
def mix(signal, b, start, psf, zone, line, mixed):  # type: ignore[no-untyped-def]
    """Weighted sum of (B, L, ·) scan lines from `start` on into (N,); lines that weigh next to nothing are left out."""
    lines, first = signal[b], np.uintp(start)
    mixed[:] = 0
    for other in range(lines.shape[0]):
        weight = psf[zone, line, other]
        if weight > NEGLIGIBLE:
            for n in range(np.uintp(len(mixed))):  # unsigned: an index from the end would forbid vectors
                mixed[n] += weight * lines[other, first + n]


@numba.njit
def add(weight, signal, total):  # type: ignore[no-untyped-def]
    """Add weight · signal to a total, both (N,)."""
    for n in range(len(total)):
        total[n] += weight * signal[n]


@numba.njit
def add_shifted(weight, signal, shift, total):  # type: ignore[no-untyped-def]
    """Add weight · signal[s + shift] to each total[s] that has such a neighbour, both (N,)."""
    first, last = max(-shift, 0), len(total) - max(shift, 0)
    if first < last:
        add(weight, signal[first + shift : last + shift], total[first:last])


@kernel
def _texture(scatter, sheets, psf, pulse, louder, level):  # type: ignore[no-untyped-def]
    batch, lines, samples, channels = scatter.shape
    size, looks, reach = samples // len(psf), channels // 2, len(pulse) // 2
    echoes = scatter.reshape(batch, lines, samples * channels)
    scale, faintest = np.float32(1 / (looks * math.sqrt(math.pi / 2))), np.float32(FAINTEST)
    for r in numba.prange(batch * lines):
        b, line = r // lines, r % lines
        mixed, sheet = np.empty(samples * channels, np.float32), np.empty(samples, np.float32)
        for zone in range(len(psf)):
            start, stop = zone * size, (zone + 1) * size
            mix(echoes, b, start * channels, psf, zone, line, mixed[start * channels : stop * channels])
            mix(sheets, b, start, psf, zone, line, sheet[start:stop])
        for s in range(samples):
            for q in range(s * channels, s * channels + looks):
                mixed[q] += louder * sheet[s]
        signal = np.zeros(samples * channels, np.float32)  # the pulse after the beam: what is mixed lies in the cache
        for t in range(len(pulse)):
            if pulse[t] > NEGLIGIBLE:
                add_shifted(pulse[t], mixed, (t - reach) * channels, signal)
        for s in range(samples):
            envelope = np.float32(0)
            for q in range(s * channels, s * channels + looks):
                envelope += np.sqrt(signal[q] * signal[q] + signal[q + looks] * signal[q + looks])
            level[b, line, s] = np.log2(max(envelope * scale, faintest))
