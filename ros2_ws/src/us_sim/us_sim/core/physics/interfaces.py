# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Echoes of interfaces: mirror-like where the sound meets them squarely, scattered where they are rough."""

from __future__ import annotations

import torch
from torch import Tensor

from us_sim.core.physics.imaging import Formation
from us_sim.core.physics.sheen import INTERFACE, ROUGH, sheen, steps
from us_sim.core.physics.speckle import blur_laterally
from us_sim.core.sampling.anatomy import Anatomy

INCIDENCE_POWER = 6.0  # n of cosⁿ of the incidence
NORMAL = 9  # samples over which the direction of an interface is taken
FAINT = 1e-3  # least amplitude of scatterers that is distinguished from none


def interface_echo(anatomy: Anatomy, impedance: Tensor, form: Formation) -> tuple[Tensor, Tensor]:
    """Amplitude that interfaces send back, ½|∇Z|/Z times the pulse's half length, as a mirror and scattered.

    Args:
        anatomy: for how mirror-like interfaces are, where organs border on the body wall, and its patches.
        impedance: (B, L, S) MRayl, without air at the skin.
        form: from `formation`.

    Returns:
        Two (B, L, S): what falls as cosⁿ of the incidence, and what falls as cos², as from a matt surface.
    """
    step = steps(impedance, anatomy.layering)
    fine = torch.nn.functional.avg_pool1d(step, 3, stride=1, padding=1, count_include_pad=False)
    along, across = slopes(smooth(step, form), form)
    square = along.square() / (along.square() + across.square() + 1e-9)
    size = torch.linalg.vector_norm(torch.stack(slopes(fine, form)), dim=0)
    echo = 0.5 * INTERFACE * 10 ** (form.scanner.specular_level / 20) * size * sheen(anatomy)
    echo = echo.clamp(max=1.0)
    mirror = echo * anatomy.specularity * square ** (INCIDENCE_POWER / 2)
    return mirror, echo * (1 - anatomy.specularity) * ROUGH * square


def slopes(field: Tensor, form: Formation) -> tuple[Tensor, Tensor]:
    """Derivatives of a (B, L, S) field along and across the scan lines, 1/mm."""
    along, across = torch.gradient(field, dim=(-1, -2))
    return along / form.step, across / form.line_spacing


def smooth(field: Tensor, form: Formation) -> Tensor:
    """Round off the steps that voxels of the label map leave in an interface, across lines and over NORMAL samples."""
    along = torch.nn.functional.avg_pool1d(field, NORMAL, stride=1, padding=NORMAL // 2, count_include_pad=False)
    return blur_laterally(along[..., None], form.evenness)[..., 0]
