# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""The anatomy along the scan lines: acoustic properties and scatterers.

Classes are looked up at the eight neighbouring voxels and their properties averaged with the trilinear weights, each
times how far its voxel's centre lies inside its class: borders are smooth although the label map is not. Air outside
the body takes no part where there is tissue: a share of it would make a layer of next to no impedance in the skin.
Beyond the CT the tissue at its border goes on, without an interface, and all its echoes fade.
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from us_sim.core import tissue
from us_sim.core.patient.volume import CtVolume
from us_sim.core.sampling.scatterers import SPACING
from us_sim.core.tissue import TissueClass

# float32 throughout: a Python float would turn the kernel's arithmetic into float64.
NEPER = np.float32(np.log(10) / 20)
PATCH = SPACING / 3.0  # tile voxels to a voxel of heterogeneity: patches of 3 mm
WARP = SPACING / 24.0  # the same for the waviness of fascia, mm
STRAND = SPACING / 6.0  # the same for the length of strands in the body wall, mm
CLUSTER = SPACING / 1.9  # the same for bright clusters (small portal triads, septa), mm
CLUSTER_ONSET = np.float32(1.5)  # standard deviations of the noise above which a cluster shows
CLUSTER_GAIN = np.float32(7.0)  # dB to a standard deviation above the onset
HU_TEXTURE = np.float32(0.05)  # dB of backscatter to a HU off the class's median, so that lesions show
TEXTURE_SPAN = np.float32(60)  # HU
ECHO_STEP = np.float32(0.5)  # dB of `CtVolume.echo`
FIRM = np.float32(0.009)  # share of its impedance that tissue gains for each dB of echo: collagen is stiff
FADE = np.float32(6)  # mm beyond the CT over which scattering falls by a factor e
SOON = 4  # times as fast fall interfaces there
SKIN_RAMP = np.float32(0.5)  # mm over which scattering begins at the skin

Float = NDArray[np.float32]
Tissues = Mapping[TissueClass, tissue.Tissue]

# Columns of `property_table`; the last is the class's median HU in this patient, contrast agent included.
Properties = namedtuple("Properties", "impedance attenuation amplitude heterogeneity specularity layering organ hu")
LEAST_BODY = np.float32(1e-3)  # share of the eight neighbours below which a place is air
LAYERED = (TissueClass.FAT, TissueClass.MUSCLE, TissueClass.SOFT)
ORGANS = (TissueClass.LIVER, TissueClass.KIDNEY, TissueClass.SPLEEN, TissueClass.PANCREAS, TissueClass.SOFT)
AIR = int(TissueClass.BACKGROUND)


@dataclass(frozen=True, eq=False)
class Anatomy:
    """Samples along scan lines, for B poses, L lines, S samples.

    Attributes:
        impedance: (B, L, S) MRayl.
        attenuation: (B, L, S) dB/(cm MHz).
        specularity: (B, L, S), 0 to 1.
        layering: (B, L, S), 0 to 1: share of fat, muscle and connective tissue, where fascia runs.
        skin_distance: (B, L, S) mm, negative inside the body.
        warp: (B, L, S) noise of 24 mm patches, fixed in the patient, about N(0, 1), of the
            elevational planes in which tissue is layered; 0 if none is.
        strand: (B, L, S) the same of 6 mm patches.
        scatter: (B, L, S, 2 LOOKS) scattered amplitude, real parts then imaginary parts of the looks;
            tissue of 0 dB has unit variance in each.
        hu, tissue: (B, L, S) float32 and uint8, as `reslice` gives them at these points; beyond the CT those at its
            border, where air would look like gas.
        known: (B, L, S) 1 in the CT, falling by a factor e every FADE / SOON mm beyond: what is left of an interface.
    """

    impedance: Tensor
    attenuation: Tensor
    specularity: Tensor
    layering: Tensor
    skin_distance: Tensor
    warp: Tensor
    strand: Tensor
    scatter: Tensor
    hu: Tensor
    tissue: Tensor
    known: Tensor


def joined(parts: Sequence[Anatomy]) -> Anatomy:
    """Return the anatomy of all poses of the parts, in their order; a single part is not copied."""
    if len(parts) == 1:
        return parts[0]
    return Anatomy(*(torch.cat(maps) for maps in zip(*(vars(part).values() for part in parts), strict=True)))


def louder(anatomy: Anatomy, decibels: Tensor) -> Anatomy:
    """Return the anatomy with scatterers louder by (CLASS_COUNT,) dB for each class."""
    factor = (10 ** (decibels.double() / 20)).float().to(anatomy.scatter.device)[anatomy.tissue.long()]
    return replace(anatomy, scatter=anatomy.scatter * factor[..., None])


def property_table(volume: CtVolume, tissues: Tissues = tissue.TISSUES) -> Float:
    """Return (classes, columns) with the columns of `Properties`, of a volume and an acoustic table."""
    thinned = tuple(slice(None, None, max(1, n // 100)) for n in volume.hu.shape)
    hu, classes = volume.hu[thinned], volume.tissue[thinned]
    median = [float(np.median(hu[classes == i])) if (classes == i).any() else 0.0 for i in range(tissue.CLASS_COUNT)]
    ids, scatters = np.arange(tissue.CLASS_COUNT), tissue.column("scatterer_density", tissues) > 0
    columns = Properties(
        impedance=tissue.column("impedance", tissues),
        attenuation=tissue.column("attenuation", tissues),
        amplitude=10 ** (tissue.column("backscatter", tissues) / 20) * scatters,
        heterogeneity=tissue.column("heterogeneity", tissues),
        specularity=tissue.column("specularity", tissues),
        layering=np.isin(ids, LAYERED),
        organ=np.isin(ids, ORGANS),
        hu=np.array(median),
    )
    return np.ascontiguousarray(np.stack(columns, axis=-1), dtype=np.float32)
