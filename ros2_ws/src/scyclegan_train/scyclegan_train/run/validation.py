# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""How a run does on held-out samples: the averaged generators' losses, the best of them kept, and when to give up."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor

from scyclegan_train.data.samples import REAL, CtBatch, UsBatch
from scyclegan_train.method.scyclegan import SCycleGan
from scyclegan_train.run.checkpoint import WEIGHTS
from us_sim.core.errors import ConfigError
from us_sim.core.files import atomic_write

BEST = "best"
SEED = 5  # of the noise on fakes: the same in each validation


@torch.no_grad()
def validate(model: SCycleGan, batches: Sequence[tuple[CtBatch, UsBatch]]) -> dict[str, float]:
    """Mean losses of the averaged generators and the segmenters; `style` where there are real frames.

    Losses of discriminators and what they say of fakes are left out: they compare generators of different steps no
    better than they are themselves. No random number of the training is used up.
    """
    sums: dict[str, Tensor] = {}
    with _averaged(model):
        for ct, us in batches:
            for name, value in _losses(model, ct.to(model.device), us.to(model.device)).items():
                sums[name] = sums[name] + value if name in sums else value
    values = torch.stack(list(sums.values())) / len(batches)
    return dict(zip(sums, values.tolist(), strict=True))


def value_of(numbers: dict[str, float], name: str) -> float:
    """The number that decides.

    Raises:
        ConfigError: the method has none of that name.
    """
    if name not in numbers:
        raise ConfigError(f"loop: best is {name!r}; expected one of {', '.join(numbers)}")
    return numbers[name]


def keep_best(checkpoint: Path, folder: Path) -> Path:
    """Copy the weights of a checkpoint to `best` in the run's folder, from where `export` takes them."""
    (folder / BEST).mkdir(exist_ok=True)
    with atomic_write(folder / BEST / WEIGHTS) as partial:
        shutil.copyfile(checkpoint / WEIGHTS, partial)
    return folder / BEST


def _losses(model: SCycleGan, ct: CtBatch, us: UsBatch) -> dict[str, Tensor]:
    x, y = model.real_images(ct, us)
    made = model.translate(x, y, ct.scatter)
    found = model.generator_losses(x, y, made, ct, us, 0.0) | model.segmenter_losses(x, y, us)
    real = (us.source == REAL)[:, None, None]
    if "style" not in found and bool(real.any()):
        found["style"] = model.style(made.fake_us, x.where & real, y.image, y.where & real, model.noise)
    return {name: value for name, value in found.items() if not name.startswith("adversarial")}


@contextmanager
def _averaged(model: SCycleGan) -> Iterator[None]:
    """The averaged generators in the others' place, everything in eval mode, noise of its own."""
    own, networks = (model.G_ct2us, model.G_us2ct), list(model.networks.values())
    states = [(random, random.get_state()) for random in (model.noise, model.draws)]
    for network in networks:
        network.eval()
    model.G_ct2us, model.G_us2ct = (model.averages[name].network for name in ("G_ct2us", "G_us2ct"))  # type: ignore[assignment]
    model.noise.manual_seed(SEED)
    try:
        yield
    finally:
        model.G_ct2us, model.G_us2ct = own
        for random, state in states:
            random.set_state(state)
        for network in networks:
            network.train()
