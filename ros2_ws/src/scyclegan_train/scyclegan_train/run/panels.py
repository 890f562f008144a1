# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Image panels of the networks' inputs and outputs, for TensorBoard and the run's folder."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from scyclegan_train.data.samples import CtBatch, UsBatch
from scyclegan_train.method.scyclegan import SCycleGan
from us_sim.core.tissue import CLASS_COLORS

GAP = 4  # pixels between pictures


@torch.no_grad()
def panel(model: SCycleGan, ct: CtBatch, us: UsBatch) -> NDArray[np.uint8]:
    """Return (rows, columns, 3) uint8: a row a sample.

    Columns: CT, mask, fake US, averaged fake US, paired physics frame, mask seen in the fake, reconstructed CT;
    US, mask, fake CT, mask seen in it, reconstructed US.
    """
    networks = list(model.networks.values())
    for network in networks:
        network.eval()
    x, y = model.real_images(ct, us)
    fake_us, fake_ct = model.ct2us(x.image, x.mask, ct.scatter), model.us2ct(y.image, y.mask, y.where)
    averaged = model.averaged_ct2us(x.image, x.mask, ct.scatter)
    segmented_us, segmented_ct = (
        model.segment(model.S_us, fake_us, x.where),
        model.segment(model.S_ct, fake_ct, y.where),
    )
    rec_ct = model.us2ct(fake_us, model.returned_mask(segmented_us, x.mask), x.where)
    rec_us = model.ct2us(fake_ct, model.returned_mask(segmented_ct, y.mask), ct.scatter)
    for network in networks:
        network.train()
    twin = torch.zeros_like(ct.hu) if ct.physics is None else ct.physics
    columns = [
        _grey(x.image), _colours(model, x.mask), _grey(fake_us), _grey(averaged), _grey(twin[:, None] / 127.5 - 1),
        _colours(model, segmented_us), _grey(rec_ct),
        _grey(y.image), _colours(model, y.mask), _grey(fake_ct), _colours(model, segmented_ct), _grey(rec_us),
    ]  # fmt: skip
    return tiled([[column[row] for column in columns] for row in range(len(ct))])


def tiled(rows: list[list[NDArray[np.uint8]]]) -> NDArray[np.uint8]:
    """Put pictures of one size side by side and below each other."""
    edge = ((0, GAP), (0, GAP), (0, 0))
    return np.concatenate([np.concatenate([np.pad(one, edge) for one in row], axis=1) for row in rows], axis=0)


def _grey(image: Tensor) -> NDArray[np.uint8]:
    grey = ((image.float().mean(dim=1) + 1) * 127.5).clamp(0, 255).to(torch.uint8).cpu().numpy()
    return np.repeat(grey[..., None], 3, axis=-1)


def _colours(model: SCycleGan, mask: Tensor) -> NDArray[np.uint8]:
    classes = np.array(model.card.classes)[mask.argmax(dim=1).cpu().numpy()]
    return np.asarray(CLASS_COLORS[classes])
