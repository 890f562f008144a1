# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""What a generator is told of the space behind gas, lung and bone: the multiple echoes that physics has there.

A generator knows speckle from the level that scatterers show on their own. Behind gas no scatterer shows, and what is
seen there follows from nothing else that it is fed: so the clutter takes their place, at the level of `wall`, and
behind gas and lung the mirror image of the scatterers before them.

Compiled loops on the CPU, tensors elsewhere; they differ by rounding.
"""

from __future__ import annotations

import math

import numba
import numpy as np
import torch
from torch import Tensor

from us_sim.core.compute.kernels import kernel
from us_sim.core.physics.gel import NEPER
from us_sim.core.physics.imaging import Formation
from us_sim.core.physics.reverberation import BACK, BONE_SHARE, EDGE, MOST_RAGGED, RAGGED, WITHIN, raggedness
from us_sim.core.sampling.anatomy import Anatomy
from us_sim.core.tissue import TissueClass

GAS, LUNG, BONE = int(TissueClass.GAS), int(TissueClass.LUNG), int(TissueClass.BONE)


def with_haze(anatomy: Anatomy, form: Formation) -> Tensor:
    """Return the scatterers (B, L, S, 2 LOOKS), and behind gas, lung and bone the clutter and the mirror image.

    Their level is over that of tissue of 0 dB where the sound is lost, TGC from there on included: that of the sound on
    its way there is told by the transmission. In the mirror image TGC and attenuation cancel.
    """
    if anatomy.scatter.device.type != "cpu":
        return with_haze_by_tensors(anatomy, form)
    scatter = torch.empty(anatomy.scatter.shape)
    maps = anatomy.scatter, anatomy.tissue, anatomy.strand, form.clutter, _gain(form)
    levels = np.float32(_level(form)), np.float32(_mirror(form))
    _with_haze(*[*(part.contiguous().numpy() for part in maps), *levels, scatter.numpy()])
    return scatter


def _gain(form: Formation) -> Tensor:
    """(S,) TGC and decay over depth: the ratio of two places is that of the haze between them."""
    return torch.exp(NEPER * form.tgc - form.depths / form.scanner.shadow_length)


def _level(form: Formation) -> float:
    """Haze to the speckle of 0 dB tissue, where the sound is lost."""
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
    share = torch.where(gas, raggedness(anatomy.strand, first), torch.where(bone, BONE_SHARE, 1.0))
    gain = _gain(form)
    loud = _level(form) * share * gain / gain[first]
    beyond = torch.arange(samples, device=tissue.device) - first
    behind = ends & (beyond > 0)
    source = (first - beyond).clamp(0, samples - 1)
    image = _mirror(form) * (1 - beyond / first.clamp(min=1)).clamp(min=0) * ~bone
    mirrored = anatomy.scatter.gather(-2, source[..., None].expand_as(anatomy.scatter)) * image[..., None]
    return torch.where(behind[..., None], form.clutter * loud[..., None] + mirrored, anatomy.scatter)


@kernel
def _with_haze(scatter, tissue, strand, clutter, gain, level, mirror, out):  # type: ignore[no-untyped-def]
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
        loud, image = level, mirror
        if tissue[b, line, first] == BONE:
            loud *= np.float32(BONE_SHARE)
            image = np.float32(0)
        elif tissue[b, line, min(first + EDGE, samples - 1)] == GAS:
            folds = min(max(strand[b, line, first - WITHIN], np.float32(-MOST_RAGGED)), np.float32(MOST_RAGGED))
            loud *= np.exp(np.float32(NEPER * RAGGED) * folds)
        loud /= gain[first]
        for s in range(first + 1, samples):
            source = max(2 * first - s, 0)
            share = image * max(np.float32(1) - np.float32(s - first) / np.float32(first), np.float32(0))
            for c in range(channels):
                out[b, line, s, c] = clutter[line, s, c] * gain[s] * loud + share * scatter[b, line, source, c]
