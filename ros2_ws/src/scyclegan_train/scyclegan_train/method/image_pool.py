# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""The pool of earlier fakes that discriminators learn from (Shrivastava et al. 2017), as in CycleGAN."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class ImagePool:
    """A pool of up to `size` earlier fakes with the pixels that count in them; the choice depends on `random` alone."""

    def __init__(self, size: int, random: torch.Generator) -> None:
        self._size, self._random = size, random
        self._images: list[Tensor] = []
        self._wheres: list[Tensor] = []

    def exchange(self, images: Tensor, wheres: Tensor) -> tuple[Tensor, Tensor]:
        """Put fakes in and take as many out: while it fills, the same; then each is an earlier one half of the time.

        Args:
            images: (B, C, H, W), without gradient.
            wheres: (B, H, W) bool.
        """
        if self._size == 0:
            return images, wheres
        out = [self._exchange_one(image, where) for image, where in zip(images, wheres, strict=True)]
        return torch.stack([image for image, _ in out]), torch.stack([where for _, where in out])

    def _exchange_one(self, image: Tensor, where: Tensor) -> tuple[Tensor, Tensor]:
        image, where = image.clone(), where.clone()
        if len(self._images) < self._size:
            self._images.append(image)
            self._wheres.append(where)
            return image, where
        keep, place = torch.rand(2, generator=self._random).tolist()
        if keep < 0.5:
            return image, where
        index = int(place * self._size)
        old = self._images[index], self._wheres[index]
        self._images[index], self._wheres[index] = image, where
        return old

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint keeps; the generator of random numbers is kept by its owner."""
        return {"images": list(self._images), "wheres": list(self._wheres)}

    def load_state(self, state: dict[str, Any], device: torch.device) -> None:
        """Go on from a checkpoint."""
        self._images = [image.to(device) for image in state["images"]]
        self._wheres = [where.to(device) for where in state["wheres"]]
