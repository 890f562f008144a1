# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""How brightly interfaces shine: by the step of their impedance, and in layered tissue here more, there less."""

from __future__ import annotations

import math

import numba
import numpy as np
import torch
from torch import Tensor

from us_sim.core.compute.kernels import kernel, serve
from us_sim.core.physics.imaging import NEPER, Formation
from us_sim.core.physics.pleura import A_LINES, TURNED, add_repeat, even_out, even_pleura, keep_echo, repeat
from us_sim.core.physics.reverberation import AIRY, BACK, EDGE, GASEOUS, first_solid, first_wall, is_gas
from us_sim.core.sampling.anatomy import Anatomy

INTERFACE = 1.2  # mm of the pulse over which an impedance gradient reflects
HARDEST, SOFTEST = 4.0, 0.25  # MRayl, beyond which an interface reflects all: its place counts, not its step
BODY = 1.6  # MRayl of most soft tissue; linear in Z, an interface lies in the middle between its voxels
ROUGH = 0.3  # scattered amplitude of an interface without any mirror to that of a mirror
CAPSULE = 0.06  # of an organ against fat or muscle, as a step of ln Z
SHEEN, UNEVEN = 1.0, 5.0  # dB by which layered tissue's fasciae reflect more, and standard deviation over its patches
SKIN = 1.0  # mm under the skin from which on interfaces are told


def steps(impedance: Tensor, layering: Tensor) -> Tensor:
    """What changes at an interface, (B, L, S): impedance, and the capsule of an organ."""
    return (impedance.clamp(SOFTEST, HARDEST) / BODY) - CAPSULE * layering


def sheen(anatomy: Anatomy) -> Tensor:
    """Amplitude (B, L, S) of an interface to that of its impedances: fasciae shine here, and all fade beyond the CT."""
    patches = (anatomy.warp + anatomy.strand) / math.sqrt(2)
    return anatomy.known * torch.exp(NEPER * anatomy.layering * (SHEEN + UNEVEN * patches))


def line_echo(anatomy: Anatomy, form: Formation) -> Tensor:
    """Echo (B, L, S) of interfaces that the sound meets squarely, mirror-like and rough, by steps along its own line.

    A generator is told it, and sees for itself how an interface lies; behind gas, lung and bone there is none, but for
    the A-lines of lung, attenuation on the way and TGC included.
    """
    if not serve(anatomy.warp):
        return line_echo_by_tensors(anatomy, form)
    echo = torch.empty(anatomy.warp.shape)
    maps = (
        anatomy.impedance, anatomy.attenuation, anatomy.layering, anatomy.specularity, anatomy.warp, anatomy.strand,
        anatomy.skin_distance, anatomy.known,
    )  # fmt: skip
    scales = np.float32(_scale(form)), np.float32(form.loss_per_sample)
    lung, (met, shifts) = np.zeros(echo.shape[:2], np.int64), np.empty((2, *echo.shape[:2]), np.float32)
    windows, profiles = np.zeros((2, *lung.shape, 2 * EDGE + 1), np.float32)
    _line_echo(*[*(part.contiguous().numpy() for part in maps), *scales, echo.numpy(), lung, met, windows])
    even_out(lung, windows, form.line_spacing.numpy(), np.float32(form.step), shifts, profiles)
    _add_pleura(lung, met, shifts, profiles, torch.exp(NEPER * form.tgc).numpy(), echo.numpy())
    return echo


def _scale(form: Formation) -> float:
    """Echo to a step from the sample before to the sample behind."""
    return 0.5 * INTERFACE * 10 ** (form.scanner.specular_level / 20) / (2 * form.step)


def line_echo_by_tensors(anatomy: Anatomy, form: Formation) -> Tensor:
    """`line_echo` on any torch device."""
    step = steps(anatomy.impedance, anatomy.layering)
    gap = torch.nn.functional.pad((step[..., 2:] - step[..., :-2]).abs(), (1, 1))
    echo = (_scale(form) * gap * sheen(anatomy)).clamp(max=1.0)
    echo = echo * (ROUGH + (1 - ROUGH) * anatomy.specularity)
    first, ends = first_solid(anatomy.impedance)
    samples = torch.arange(gap.shape[-1], device=gap.device)
    echo = echo * ((anatomy.skin_distance < -SKIN) & ~(ends & (samples > first + EDGE)))
    deeper = anatomy.impedance.gather(-1, (first + EDGE).clamp(max=gap.shape[-1] - 1))
    lung = ends & (anatomy.impedance.gather(-1, first) < AIRY) & (deeper >= GASEOUS)
    lost = (anatomy.attenuation * (samples <= first - BACK)).sum(dim=-1, keepdim=True)
    met = torch.exp(-form.loss_per_sample * lost)
    pleura = lung & ((samples - first).abs() <= EDGE)
    shift, profile = even_pleura(echo, first, lung, form)
    echo = echo.masked_fill(pleura, 0.0) + repeat(0, first, shift, profile, len(samples)) * lung
    heard = met * lung * torch.exp(NEPER * form.tgc)
    for number in range(1, A_LINES + 1):
        echo = echo + heard * (TURNED * met) ** number * repeat(number, first, shift, profile, len(samples))
    return echo


@kernel
def _line_echo(  # type: ignore[no-untyped-def]
    impedance, attenuation, layering, specularity, warp, strand, distance, known, scale, loss, echo, lung, met, windows
):
    lines, samples = echo.shape[1:]
    for r in numba.prange(echo.shape[0] * lines):
        b, line = r // lines, r % lines
        step = np.empty(samples, np.float32)
        for s in range(samples):
            step[s] = step_of(impedance[b, line, s], layering[b, line, s])
        echo[b, line] = 0
        first, airy = first_wall(impedance[b, line])
        for s in range(1, min(first + EDGE + 1, samples - 1) if first > 0 else samples - 1):
            gap = abs(step[s + 1] - step[s - 1])
            if gap > 0 and distance[b, line, s] < -SKIN:
                shine = known[b, line, s] * shine_of(layering[b, line, s], warp[b, line, s], strand[b, line, s])
                sent = np.float32(ROUGH) + np.float32(1 - ROUGH) * specularity[b, line, s]
                echo[b, line, s] = min(scale * gap * shine, np.float32(1)) * sent
        if airy and not is_gas(impedance[b, line], first):
            lung[b, line] = first
            met[b, line] = np.exp(-loss * np.sum(attenuation[b, line, : first - BACK + 1]))
            keep_echo(first, echo[b, line], windows[b, line])


@kernel
def _add_pleura(lung, met, shifts, profiles, gain, echo):  # type: ignore[no-untyped-def]
    lines, samples = echo.shape[1:]
    for r in numba.prange(echo.shape[0] * lines):
        b, line = r // lines, r % lines
        if lung[b, line] > 0:
            turned, kept = np.zeros(samples, np.float32), np.float32(TURNED) * met[b, line]
            for number in range(1, A_LINES + 1):
                add_repeat(number, kept**number, lung[b, line], shifts[b, line], profiles[b, line], turned)
            for s in range(samples):
                echo[b, line, s] += met[b, line] * gain[s] * turned[s]
            add_repeat(0, np.float32(1), lung[b, line], shifts[b, line], profiles[b, line], echo[b, line])


@numba.njit(inline="always")
def step_of(impedance, layering):  # type: ignore[no-untyped-def]
    """One of `steps`."""
    z = min(max(impedance, np.float32(SOFTEST)), np.float32(HARDEST))
    return z / np.float32(BODY) - np.float32(CAPSULE) * layering


@numba.njit(inline="always")
def shine_of(layering, warp, strand):  # type: ignore[no-untyped-def]
    """One of `sheen`, in the CT."""
    if layering == 0:
        return np.float32(1)
    patches = (warp + strand) * np.float32(1 / math.sqrt(2))
    return np.exp(np.float32(NEPER) * layering * (np.float32(SHEEN) + np.float32(UNEVEN) * patches))
