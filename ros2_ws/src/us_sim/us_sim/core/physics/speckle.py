"""Speckle: scatterers and fascia under the probe's lateral point spread, and the level they show on their own.

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

from us_sim.core.compute.kernels import kernel
from us_sim.core.physics.imaging import Formation
from us_sim.core.sampling.anatomy import Anatomy

SPECKLE = 10 ** (-41.0 / 20)  # amplitude of the scattered echo of 0 dB tissue
FASCIA_PERIOD = 7.0  # mm between fascia layers
FASCIA_WIDTH = 0.45  # mm, standard deviation of a layer
FASCIA_DEPTH = 28.0  # mm under the skin to which they are followed
FASCIA_LEVEL = -24.0  # dB of a fascia layer met squarely
FAINTEST = 1 / 16  # of the mean echo of 0 dB tissue: −4 in units of 6 dB
NEGLIGIBLE = np.float32(1e-5)  # share of a scan line in its neighbour's echo


def texture(anatomy: Anatomy, form: Formation) -> Tensor:
    """What scatterers and fascia would show on their own, under the probe's point spread and without attenuation.

    Returns:
        (B, L, S) level over the mean echo of 0 dB tissue, in units of 6 dB, −4 (blood, water) at least.
    """
    if anatomy.scatter.device.type != "cpu":
        return texture_by_tensors(anatomy, form)
    sheets = fascia(anatomy)
    level = torch.empty_like(sheets)
    _texture(anatomy.scatter.contiguous().numpy(), sheets.numpy(), form.lateral_psf.contiguous().numpy(), level.numpy())
    return level


def fascia(anatomy: Anatomy) -> Tensor:
    """Connective tissue between the layers of the body wall, (B, L, S) amplitude: wavy sheets that follow the skin."""
    if anatomy.warp.device.type != "cpu":
        return fascia_by_tensors(anatomy)
    sheets = torch.empty(anatomy.warp.shape)
    _fascia(anatomy.layering.numpy(), anatomy.skin_distance.numpy(), anatomy.warp.numpy(), sheets.numpy())
    return sheets


def blur_laterally(signal: Tensor, psf: Tensor) -> Tensor:
    """Convolve (B, L, S, C) across the scan lines with each depth zone's point spread (ZONES, L, L)."""
    if signal.device.type != "cpu":
        return blur_by_tensors(signal, psf)
    blurred = torch.empty(signal.shape)
    of_lines = *signal.shape[:2], -1
    _blur(signal.reshape(of_lines).numpy(), psf.contiguous().numpy(), blurred.view(of_lines).numpy())
    return blurred


def texture_by_tensors(anatomy: Anatomy, form: Formation) -> Tensor:
    """`texture` on any torch device."""
    echoes = anatomy.scatter.clone()
    echoes[..., : echoes.shape[-1] // 2] += fascia_by_tensors(anatomy)[..., None] / SPECKLE
    envelope = compound(blur_by_tensors(echoes, form.lateral_psf)) / math.sqrt(math.pi / 2)
    return torch.log2(envelope.clamp(min=FAINTEST))


def fascia_by_tensors(anatomy: Anatomy) -> Tensor:
    """`fascia` on any torch device."""
    phase = (-anatomy.skin_distance + 2.0 * anatomy.warp) / FASCIA_PERIOD
    sheet = torch.exp(-0.5 * ((phase - phase.round()) * FASCIA_PERIOD / FASCIA_WIDTH) ** 2)
    strength = 0.6 + 0.4 * torch.cos(4 * anatomy.warp + 2.4 * phase.round())
    strength = strength * (-anatomy.skin_distance < FASCIA_DEPTH)
    return 10 ** (FASCIA_LEVEL / 20) * anatomy.layering * sheet * strength


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
def _fascia(layering, skin_distance, warp, sheets):  # type: ignore[no-untyped-def]
    period, narrow = np.float32(FASCIA_PERIOD), np.float32(FASCIA_PERIOD / FASCIA_WIDTH)
    level, half, two, four = np.float32(10 ** (FASCIA_LEVEL / 20)), np.float32(-0.5), np.float32(2), np.float32(4)
    mean, swing, turn = np.float32(0.6), np.float32(0.4), np.float32(2.4)
    for r in numba.prange(warp.shape[0] * warp.shape[1]):
        b, line = r // warp.shape[1], r % warp.shape[1]
        for s in range(warp.shape[2]):
            depth = -skin_distance[b, line, s]
            if layering[b, line, s] == 0 or depth >= FASCIA_DEPTH:
                sheets[b, line, s] = 0
                continue
            phase = (depth + two * warp[b, line, s]) / period
            nearest = np.rint(phase)
            off = (phase - nearest) * narrow
            strength = mean + swing * np.cos(four * warp[b, line, s] + turn * nearest)
            sheets[b, line, s] = level * layering[b, line, s] * np.exp(half * off * off) * strength


@kernel
def _blur(signal, psf, blurred):  # type: ignore[no-untyped-def]
    size = signal.shape[2] // len(psf)
    for r in numba.prange(signal.shape[0] * signal.shape[1]):
        b, line = r // signal.shape[1], r % signal.shape[1]
        for zone in range(len(psf)):
            start = zone * size
            _mix(signal, b, start, psf, zone, line, blurred[b, line, start : start + size])


@numba.njit(inline="always")
def _mix(signal, b, start, psf, zone, line, mixed):  # type: ignore[no-untyped-def]
    """Weighted sum of (B, L, ·) scan lines from `start` on into (N,); lines that weigh next to nothing are left out."""
    mixed[:] = 0
    for other in range(signal.shape[1]):
        weight = psf[zone, line, other]
        if weight > NEGLIGIBLE:
            _add(weight, signal[b, other, start : start + len(mixed)], mixed)


@numba.njit
def _add(weight, signal, total):  # type: ignore[no-untyped-def]
    for n in range(len(total)):
        total[n] += weight * signal[n]


@kernel
def _texture(scatter, sheets, psf, level):  # type: ignore[no-untyped-def]
    batch, lines, samples, channels = scatter.shape
    size, looks = samples // len(psf), channels // 2
    echoes = scatter.reshape(batch, lines, samples * channels)
    louder = np.float32(1 / SPECKLE)
    scale, faintest = np.float32(1 / (looks * math.sqrt(math.pi / 2))), np.float32(FAINTEST)
    for r in numba.prange(batch * lines):
        b, line = r // lines, r % lines
        echo, sheet = np.empty(size * channels, np.float32), np.empty(size, np.float32)
        for zone in range(len(psf)):
            start = zone * size
            _mix(echoes, b, start * channels, psf, zone, line, echo)
            _mix(sheets, b, start, psf, zone, line, sheet)
            for s in range(size):
                envelope = np.float32(0)
                for q in range(s * channels, s * channels + looks):
                    real = echo[q] + sheet[s] * louder
                    envelope += np.sqrt(real * real + echo[q + looks] * echo[q + looks])
                level[b, line, start + s] = np.log2(max(envelope * scale, faintest))
