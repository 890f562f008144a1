# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Fréchet Inception distance, with an Inception network of the user's: its weights are not shipped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from scyclegan_train.evaluation.intervals import frechet
from us_sim.core.errors import ConfigError

SIZE = 299  # pixels, of Inception's input
BATCH = 8


class Inception:
    """Features of frames by a TorchScript network, (N, 3, 299, 299) uint8 -> (N, d).

    Args:
        file: TorchScript, such as the one of StyleGAN's metrics; never a pickle.

    Raises:
        ConfigError: missing, no TorchScript, or a network that answers otherwise.
    """

    def __init__(self, file: Path) -> None:
        if not file.is_file():
            raise ConfigError(f"{file}: no such file; give the TorchScript file of an Inception network")
        try:
            self._network = torch.jit.load(str(file), map_location="cpu").eval()
            found = self._network(torch.zeros(2, 3, SIZE, SIZE, dtype=torch.uint8))
        except Exception as error:  # whatever the file's code raises
            raise ConfigError(f"{file}: cannot be used as an Inception network ({error}); expected TorchScript that "
                              f"takes (N, 3, {SIZE}, {SIZE}) uint8") from error  # fmt: skip
        if found.ndim != 2 or len(found) != 2:
            raise ConfigError(f"{file}: answers with shape {tuple(found.shape)}; expected (N, features)")

    @torch.no_grad()
    def features(self, frames: NDArray[np.float64]) -> NDArray[np.float64]:
        """(N, H, W) grey levels -> (N, d)."""
        images = F.interpolate(torch.from_numpy(frames).float()[:, None], (SIZE, SIZE), mode="bilinear", antialias=True)
        parts = images.round().to(torch.uint8).expand(-1, 3, -1, -1).split(BATCH)
        return torch.cat([self._network(part) for part in parts]).double().numpy()


def fid_table(inception: Inception, real: NDArray[np.float64], drawn: Mapping[str, Sequence[NDArray[np.float64]]]
              ) -> dict[str, float]:  # fmt: skip
    """FID of each renderer's frames, (H, W) each, to the real ones; read KID where frames are few."""
    wanted = inception.features(real)
    return {
        name: frechet(inception.features(np.stack(frames)), wanted) for name, frames in drawn.items() if len(frames)
    }
