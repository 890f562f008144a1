# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""The eight networks of S-CycleGAN, and the translations of a batch: CT -> US -> CT and US -> CT -> US."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn

from scyclegan_train.config import Config
from scyclegan_train.data.samples import CtBatch, UsBatch
from scyclegan_train.method import feeding, losses, networks
from scyclegan_train.method.averaging import Average, estimate_statistics
from scyclegan_train.method.feeding import Real

SPECKLE = 0.4  # standard deviation of speckle of about 6 looks, in units of 6 dB


@dataclass(eq=False)
class Translation:
    """Translations of a batch, with the segmenters' logits on the fakes; None: not needed."""

    fake_us: Tensor
    segmented_us: Tensor | None = None
    rec_ct: Tensor | None = None
    fake_ct: Tensor | None = None
    segmented_ct: Tensor | None = None
    rec_us: Tensor | None = None


class Translator:
    """The networks, each called in one place.

    Args:
        config: of the run.
        device: where the networks live.
        autocast: context in which the networks run, for bf16.
    """

    def __init__(
        self,
        config: Config,
        device: torch.device | str = "cpu",
        autocast: Callable[[], AbstractContextManager[Any]] = nullcontext,
    ) -> None:
        self.config, self.method, self.card = config, config.method, config.generator.card()
        self.device, self._autocast = torch.device(device), autocast
        self._layouts: dict[nn.Module, torch.memory_format] = {}
        method, card = self.method, self.card
        self.G_ct2us = networks.ct_generator(card, method.mask_input)
        self.G_us2ct = networks.us_generator(card, method.mask_input)
        self.D_us = nn.ModuleList(
            networks.discriminator(c.field, method.critic_width, c.depth_channel, c.features) for c in method.critics
        )
        self.D_ct = networks.discriminator(70, method.critic_width)
        self.S_us = networks.segmenter(card, method.segmenter_width)
        self.S_ct = networks.segmenter(card, method.segmenter_width)
        for network in (self.G_ct2us, self.G_us2ct, *self.D_us, self.D_ct, self.S_us, self.S_ct):
            network.to(self.device).to(memory_format=self._layout(network))
        self.averages = {name: Average(getattr(self, name), config.schedule.ema) for name in ("G_ct2us", "G_us2ct")}
        drawing = "cpu" if self.device.type == "meta" else self.device  # shapes alone have no random numbers
        self.noise = torch.Generator(drawing).manual_seed(config.loop.seed)
        self._fan = feeding.fan_of(card, self.device)
        layers = chain.from_iterable(network.modules() for network in self.networks.values())
        self._normed = [layer for layer in layers if isinstance(layer, nn.BatchNorm2d)]

    @property
    def networks(self) -> dict[str, nn.Module]:
        """The networks by the paper's names."""
        names = ("G_ct2us", "G_us2ct", "D_us", "D_ct", "S_us", "S_ct")
        return {name: getattr(self, name) for name in names}

    def real_images(self, ct: CtBatch, us: UsBatch) -> tuple[Real, Real]:
        """Return both batches as the networks see them; frames without mask get the segmenter's."""
        if len(ct) != len(us):
            raise ValueError(f"batches of {len(ct)} CT and {len(us)} ultrasound samples; expected as many of both")
        x, y = feeding.real_ct(self.card, ct, self._fan), feeding.real_us(self.card, us, self._fan)
        if self.method.segments and self.method.goes_back and not _all_known(us):
            with torch.no_grad(), frozen(self.S_us):
                predicted = self._argmax(self.segment(self.S_us, y.image, y.where))
            mask = torch.where(us.has_mask[:, None, None, None], y.mask, predicted)
            y = Real(y.image, mask, y.where)
        return x, y

    def translate(self, x: Real, y: Real, scatter: Tensor | None) -> Translation:
        """CT -> US -> CT and US -> CT -> US, as far as any loss needs them."""
        method = self.method
        made = Translation(self.ct2us(x.image, x.mask, scatter))
        if method.segments:
            made.segmented_us = self.segment(self.S_us, made.fake_us, x.where)
        if method.cycle_ct:
            mask = self.returned_mask(made.segmented_us, x.mask)
            made.rec_ct = self.us2ct(self._noisy(made.fake_us), mask, x.where)
        if method.cycle_us or method.ct_critic:
            made.fake_ct = self.us2ct(y.image, y.mask, y.where)
            if method.segments:
                made.segmented_ct = self.segment(self.S_ct, made.fake_ct, y.where)
        if method.cycle_us and made.fake_ct is not None:
            mask = self.returned_mask(made.segmented_ct, y.mask)
            # Nobody knows the scatterers behind a frame; those of a CT would tell its anatomy.
            unknown = None if scatter is None else SPECKLE * self._normal(scatter)
            made.rec_us = self.ct2us(self._noisy(made.fake_ct), mask, unknown)
        return made

    def ct2us(self, image: Tensor, mask: Tensor, scatter: Tensor | None) -> Tensor:
        """G_ct2us: (B, 3, H, W) CT image and (B, n, H, W) mask -> (B, 3, H, W) ultrasound."""
        return self._run(self.G_ct2us, feeding.ct_input(self.card, image, self._read(mask), scatter, self._fan))

    def averaged_ct2us(self, image: Tensor, mask: Tensor, scatter: Tensor | None) -> Tensor:
        """Return the same by the averaged weights."""
        read = feeding.ct_input(self.card, image, self._read(mask), scatter, self._fan)
        return self._run(self.averages["G_ct2us"].network, read)

    def us2ct(self, image: Tensor, mask: Tensor, where: Tensor) -> Tensor:
        """G_us2ct: (B, 3, H, W) ultrasound and (B, n, H, W) mask -> (B, 3, H, W) CT through the windows."""
        return self._run(self.G_us2ct, feeding.us_input(self.card, image, self._read(mask), where, self._fan))

    def segment(self, network: nn.Module, image: Tensor, where: Tensor) -> Tensor:
        """S_us or S_ct: (B, 3, H, W) -> (B, n, H, W) logits."""
        return self._run(network, losses.masked(image, where))

    def returned_mask(self, seen: Tensor | None, of_source: Tensor) -> Tensor:
        """Return the (B, n, H, W) mask that goes back with a fake.

        Argmax passes no gradient; `straight_through` takes that of the soft-max in its place (Bengio et al. 2013).
        """
        if seen is None or self.method.fake_mask == "source":
            return of_source
        mask = self._argmax(seen)
        if self.method.fake_mask == "straight_through":
            soft = seen.softmax(dim=1)
            mask = mask + soft - soft.detach()
        return mask

    def statistics(self) -> list[Tensor]:
        """Running means and variances of all batch normalisation: the same in all processes, as weights are."""
        buffers = chain.from_iterable(network.buffers() for network in self._normed)
        return [buffer for buffer in buffers if buffer.is_floating_point()]

    def estimate_statistics(self, batches: Iterable[CtBatch]) -> None:
        """Measure the batch statistics of the averaged generators on CT batches and the paired physics frames."""
        kept = list(batches)
        reals = [feeding.real_ct(self.card, ct, self._fan) for ct in kept]
        inputs = [
            feeding.ct_input(self.card, x.image, self._read(x.mask), ct.scatter, self._fan)
            for x, ct in zip(reals, kept, strict=True)
        ]
        network = self.averages["G_ct2us"].network
        estimate_statistics(network, inputs)
        with torch.no_grad():
            fakes = [network(one) for one in inputs]
        estimate_statistics(self.averages["G_us2ct"].network, [
            feeding.us_input(self.card, fake, self._read(x.mask), x.where, self._fan)
            for fake, x in zip(fakes, reals, strict=True)
        ])  # fmt: skip

    def _run(self, network: nn.Module, image: Tensor, *more: Tensor | None) -> Tensor:
        with self._autocast():
            out: Tensor = network(image.contiguous(memory_format=self._layout(network)), *more)
        return out.float()

    def _layout(self, network: nn.Module) -> torch.memory_format:
        """Channels last where the norm keeps them so: instance normalisation would copy at each layer."""
        if network not in self._layouts:
            kept = not any(isinstance(layer, nn.InstanceNorm2d) for layer in network.modules())
            last = self.config.loop.channels_last and kept
            self._layouts[network] = torch.channels_last if last else torch.contiguous_format
        return self._layouts[network]

    def _read(self, mask: Tensor) -> Tensor | None:
        return mask if self.method.mask_input else None

    def _argmax(self, logits: Tensor) -> Tensor:
        return feeding.hard(logits.argmax(dim=1), logits.shape[1])

    def _noisy(self, image: Tensor) -> Tensor:
        return image + self.method.fake_noise * self._normal(image) if self.method.fake_noise else image

    def _normal(self, like: Tensor) -> Tensor:
        return torch.randn(like.shape, generator=self.noise, device=self.noise.device).to(self.device)


def _all_known(us: UsBatch) -> bool:
    """Whether every mask is known, as far as that can be seen without waiting for a GPU."""
    return us.has_mask.device.type == "cpu" and bool(us.has_mask.all())


@contextmanager
def frozen(*unchanged: nn.Module) -> Iterator[None]:
    """Networks that pass gradients on, but neither change nor gather statistics."""
    modes = [network.training for network in unchanged]
    for network in unchanged:
        network.eval().requires_grad_(False)
    try:
        yield
    finally:
        for network, mode in zip(unchanged, modes, strict=True):
            network.train(mode).requires_grad_(True)
