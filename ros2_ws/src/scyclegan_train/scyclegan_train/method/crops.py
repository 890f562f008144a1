# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Random crops of images: a discriminator of few pixels learns faster from them, and cannot learn the layout."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

SIDE = 68  # pixels: twice the receptive field of 34


def random_crops(images: Sequence[Tensor], count: int, random: torch.Generator) -> list[Tensor]:
    """Cut the same (B · count, …, h, w) crops out of several (B, …, H, W) images; at most SIDE on each side.

    Args:
        images: of the same B, H and W.
        count: crops of each image.
        random: draws their places, on the CPU: places drawn on a GPU would have to be waited for.
    """
    height, width = (min(SIDE, n) for n in images[0].shape[-2:])
    spare = torch.tensor([images[0].shape[-2] - height + 1, images[0].shape[-1] - width + 1])
    shares = torch.rand((count * len(images[0]), 2), generator=random)
    places = (shares * spare).long().tolist()
    return [
        torch.stack([image[i // count, ..., y : y + height, x : x + width] for i, (y, x) in enumerate(places)])
        for image in images
    ]
