# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""What a generator is told of the space behind gas, lung and bone: the multiple echoes that physics has there.

A generator knows speckle from the level that scatterers show on their own, and the sound that reaches them from the
transmission. Behind gas no scatterer shows and no sound goes on, and what is seen there follows from the sound that has
met the gas, far up the scan line: so the clutter of `wall` takes the scatterers' place, and behind gas and lung the
mirror image of those before them, both as loud as they are heard.

Compiled loops on the CPU, tensors elsewhere; they differ by rounding.
"""

from __future__ import annotations

import math

import numba
import numpy as np
import torch
from torch import Tensor

from us_sim.core.compute.kernels import kernel
from us_sim.core.physics.imaging import NEPER, Formation
from us_sim.core.physics.lung import WITHIN, comet_of, comets, decays
from us_sim.core.physics.reverberation import BACK, BONE_SHARE, EDGE, MOST_RAGGED, RAGGED, raggedness
from us_sim.core.sampling.anatomy import Anatomy
from us_sim.core.tissue import TissueClass

GAS, LUNG, BONE = int(TissueClass.GAS), int(TissueClass.LUNG), int(TissueClass.BONE)
LEAST_LEFT = 1e-6  # amplitude of the sound at what a mirror image shows


def with_haze(anatomy: Anatomy, form: Formation) -> Tensor:
    """Return the scatterers (B, L, S, 2 LOOKS), and behind gas, lung and bone the clutter and the mirror image.

    These are over the echo of tissue of 0 dB, attenuation on the way and TGC included.
    """
    if anatomy.scatter.device.type != "cpu":
        return with_haze_by_tensors(anatomy, form)
    scatter = torch.empty(anatomy.scatter.shape)
    maps = (
        anatomy.scatter, anatomy.tissue, anatomy.attenuation, anatomy.strand, form.clutter, form.depths,
        torch.exp(NEPER * form.tgc), decays(form), anatomy.known,
    )  # fmt: skip
    levels = np.float32(form.loss_per_sample), np.float32(_level(form)), np.float32(_mirror(form))
    _with_haze(*[*(part.contiguous().numpy() for part in maps), *levels, scatter.numpy()])
    return scatter


def _level(form: Formation) -> float:
    """Haze of all the sound to the speckle of 0 dB tissue."""
    return math.exp(NEPER * (form.scanner.shadow_level - form.scanner.speckle_level))


def _mirror(form: Formation) -> float:
    """Amplitude of a mirror image to what it mirrors."""
    return math.exp(NEPER * form.scanner.mirror_level)


def with_haze_by_tensors(anatomy: Anatomy, form: Formation) -> Tensor:
    """`with_haze` on any torch device."""
    tissue, samples = anatomy.tissue.long(), anatomy.tissue.shape[-1]
    solid = (tissue == GAS) | (tissue == LUNG) | (tissue == BONE)
    first = solid.long().argmax(dim=-1, keepdim=True)
    ends = solid.any(dim=-1, keepdim=True) & (first > BACK)
    bone = tissue.gather(-1, first) == BONE
    gas = ~bone & (tissue.gather(-1, (first + EDGE).clamp(max=samples - 1)) == GAS)
    lung, gain = ~bone & ~gas, torch.exp(NEPER * form.tgc)
    usual, faster, ringing = (decay / decay[first] for decay in decays(form))
    share = torch.where(lung, faster, usual) * torch.where(bone, BONE_SHARE, raggedness(anatomy.strand, first))
    share = share + lung * comets(anatomy.strand, first, form) * ringing
    left = torch.exp(-form.loss_per_sample * torch.cumsum(anatomy.attenuation, dim=-1)) * anatomy.known
    met = left.gather(-1, (first - BACK).clamp(min=0))
    loud = _level(form) * share * met * gain
    beyond = torch.arange(samples, device=tissue.device) - first
    behind = ends & (beyond > 0)
    source = (first - beyond).clamp(0, samples - 1)
    fading = (1 - beyond / first.clamp(min=1)).clamp(min=0) * ~bone
    image = _mirror(form) * met.square() / left.gather(-1, source).clamp(min=LEAST_LEFT) * fading * gain
    mirrored = anatomy.scatter.gather(-2, source[..., None].expand_as(anatomy.scatter)) * image[..., None]
    return torch.where(behind[..., None], form.clutter * loud[..., None] + mirrored, anatomy.scatter)


@kernel
def _with_haze(  # type: ignore[no-untyped-def]
    scatter, tissue, attenuation, strand, clutter, depths, gain, decays, known, loss, level, mirror, out
):
    batch, lines, samples, channels = scatter.shape
    for r in numba.prange(batch * lines):
        b, line = r // lines, r % lines
        first = samples
        for s in range(samples - 1, -1, -1):
            if tissue[b, line, s] == GAS or tissue[b, line, s] == LUNG or tissue[b, line, s] == BONE:
                first = s
        if first <= BACK:
            first = samples
        for s in range(min(first + 1, samples)):
            for c in range(channels):
                out[b, line, s, c] = scatter[b, line, s, c]
        if first == samples:
            continue
        left, lost = np.empty(first, np.float32), np.float32(0)
        for s in range(first):
            lost += loss * attenuation[b, line, s]
            left[s] = np.exp(-lost) * known[b, line, s]
        met = left[first - BACK]
        bone = tissue[b, line, first] == BONE
        lung = not bone and tissue[b, line, min(first + EDGE, samples - 1)] != GAS
        decay, ringing = decays[1] if lung else decays[0], decays[2]
        folds = min(max(strand[b, line, first - WITHIN], np.float32(-MOST_RAGGED)), np.float32(MOST_RAGGED))
        ragged = np.float32(BONE_SHARE) if bone else np.exp(np.float32(NEPER * RAGGED) * folds)
        loud, image = level * met * ragged / decay[first], np.float32(0) if bone else mirror * met * met
        comet = level * met * comet_of(strand[b, line], first, depths) / ringing[first] if lung else np.float32(0)
        for s in range(first + 1, samples):
            source = max(2 * first - s, 0)
            share = image * max(np.float32(1) - np.float32(s - first) / np.float32(first), np.float32(0))
            share *= gain[s] / max(left[source], np.float32(LEAST_LEFT))
            here = gain[s] * (loud * decay[s] + comet * ringing[s])
            for c in range(channels):
                out[b, line, s, c] = clutter[line, s, c] * here + share * scatter[b, line, source, c]
