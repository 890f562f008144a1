# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Where samples of the patient come from: compiled loops over arrays on the CPU, gathers over tensors elsewhere."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from us_sim.core.patient.patient import Patient
from us_sim.core.sampling.anatomy import Anatomy, Tissues, property_table
from us_sim.core.sampling.loops import sample_anatomy
from us_sim.core.sampling.reslice import Beam, Poses, nearest_classes, reslice
from us_sim.core.sampling.scatterers import scatterers
from us_sim.core.sampling.tensor_sampler import TensorSampler
from us_sim.core.tissue import TISSUES

Slice = tuple[Tensor, Tensor]  # HU, float32, and classes, uint8, of one shape


class Sampler(Protocol):
    """Samples one patient at points that are fixed to the probe; results are tensors on `device`.

    Points are (A, C, 3) mm in `probe`, the same for all poses, or (B, A, C, 3), those of each of the B poses.
    """

    device: torch.device

    def slice(self, points: Tensor, ct_from_probe: Poses, beam: Beam) -> Slice:
        """Return HU and classes, (B, A, C), for (B, 4, 4) poses."""

    def classes(self, points: Tensor, ct_from_probe: Poses) -> Tensor:
        """Return the classes of `slice` alone: half the memory that is read for both."""

    def anatomy(self, points: Tensor, ct_from_probe: Poses, beam: Beam) -> Anatomy:
        """Return acoustic properties and scatterers, (B, L, S), for (B, 4, 4) poses."""


class CpuSampler:
    """Reads the patient's own arrays; nothing is copied."""

    device = torch.device("cpu")

    def __init__(self, patient: Patient, seed: int, tissues: Tissues = TISSUES) -> None:
        self._patient = patient
        self._table, self._noise = property_table(patient.volume, tissues), scatterers(seed)

    def slice(self, points: Tensor, ct_from_probe: Poses, beam: Beam) -> Slice:
        poses = np.asarray(ct_from_probe)
        hu, tissue = reslice(self._patient.volume, points.numpy(), poses, beam, of_each=points.dim() == 4)
        return torch.from_numpy(hu), torch.from_numpy(tissue)

    def classes(self, points: Tensor, ct_from_probe: Poses) -> Tensor:
        poses = np.asarray(ct_from_probe)
        found = nearest_classes(self._patient.volume, points.numpy(), poses, of_each=points.dim() == 4)
        return torch.from_numpy(found)

    def anatomy(self, points: Tensor, ct_from_probe: Poses, beam: Beam) -> Anatomy:
        volume, skin = self._patient.volume, self._patient.skin
        poses = np.asarray(ct_from_probe)
        arrays = sample_anatomy(volume, skin, self._table, self._noise, points.numpy(), poses, beam)
        return Anatomy(*(torch.from_numpy(array) for array in arrays))


def sampler_on(device: torch.device, patient: Patient, seed: int, tissues: Tissues = TISSUES) -> Sampler:
    """Return the sampler that suits the device; tissue sounds as the acoustic table says."""
    if device.type == "cpu":
        return CpuSampler(patient, seed, tissues)
    return TensorSampler(patient, seed, device, tissues)
