# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.


"""B-lines: a wet septum under the pleura rings on, a narrow comet tail from there to the bottom of the image.

A healthy lung has two at most in an intercostal space (Volpicelli et al. 2012, doi 10.1007/s00134-012-2513-4). They lie
where the strands of the tissue before the lung are rarely strong, and so are fixed in the patient.

Functions of tensors and of one scan line, for compiled loops; they differ by rounding.
"""

from __future__ import annotations

import numba
import numpy as np
import torch
from torch import Tensor

from us_sim.core.physics.imaging import Formation

COMET, RINGING = 10 ** (8 / 20), 60.0  # amplitude to that of haze, mm over which it falls by a factor e
FASTER = 1.25  # times as fast as that behind gas falls the haze behind lung
WITHIN = 2  # samples before gas or lung that lie in the tissue before it
ONSET, FULL = 2.2, 3.0  # standard deviations of the strands at which a B-line begins to show, and is full
NEAR = 60.0  # mm to which the pleura of an intercostal space lies


def decays(form: Formation) -> Tensor:
    """(3, S) amplitude over depth of the haze behind gas and bone, of that behind lung, and of B-lines."""
    lengths = form.scanner.shadow_length, form.scanner.shadow_length / FASTER, RINGING
    return torch.stack([torch.exp(-form.depths / length) for length in lengths])


def comets(strand: Tensor, first: Tensor, form: Formation) -> Tensor:
    """Amplitude of B-lines, (B, L, 1), to that of haze where it begins.

    Args:
        strand: (B, L, S) noise in layered tissue, of `Anatomy`.
        first: (B, L, 1) int64, the sample at which lung begins.
        form: from `formation`.
    """
    wet = (strand.gather(-1, (first - WITHIN).clamp(min=0)) - ONSET) / (FULL - ONSET)
    return COMET * wet.clamp(0, 1) * (form.depths[first] < NEAR)


@numba.njit
def comet_of(strand, first, depths):  # type: ignore[no-untyped-def]
    """`comets` of one line."""
    wet = (strand[max(first - WITHIN, 0)] - np.float32(ONSET)) / np.float32(FULL - ONSET)
    share = min(max(wet, np.float32(0)), np.float32(1))
    return np.float32(COMET) * share if depths[first] < np.float32(NEAR) else np.float32(0)
