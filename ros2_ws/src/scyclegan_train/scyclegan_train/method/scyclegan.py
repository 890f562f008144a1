# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""S-CycleGAN: one step of training, as Algorithm 1 of Song & Chong has it, and our variants of it by option."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn

from scyclegan_train.config import Config
from scyclegan_train.data.samples import PHYSICS, REAL, CtBatch, UsBatch
from scyclegan_train.method import feeding, losses
from scyclegan_train.method.augmentation import augmented
from scyclegan_train.method.contrast import PatchContrast
from scyclegan_train.method.crops import random_crops
from scyclegan_train.method.feeding import Real
from scyclegan_train.method.image_pool import ImagePool
from scyclegan_train.method.networks import depth_of
from scyclegan_train.method.style import StyleDistance
from scyclegan_train.method.translator import Translation, Translator, frozen

SOURCES = {"physics": PHYSICS, "real": REAL}
SEGMENTERS = {"segmenter_us": 1.0, "segmenter_ct": 1.0}  # weights of their losses
Losses = dict[str, Tensor]


class SCycleGan(Translator):
    """The networks, and the three phases of a step that train them.

    Args:
        config, device, autocast: as for Translator.
        average: replaces tensors by their mean over all processes, in place: once a step, the gradients of all networks
            and their batch statistics.
    """

    def __init__(
        self,
        config: Config,
        device: torch.device | str = "cpu",
        autocast: Callable[[], AbstractContextManager[Any]] = nullcontext,
        average: Callable[[list[Tensor]], None] = lambda tensors: None,
    ) -> None:
        super().__init__(config, device, autocast)
        self._average = average
        self.optimizers = {
            "generators": self._adam(self.G_ct2us, self.G_us2ct),
            "critics": self._adam(self.D_us, self.D_ct),
            "segmenters": self._adam(self.S_us, self.S_ct),
        }
        self.style, self.contrast = StyleDistance().to(self.device), PatchContrast().to(self.device)
        self.draws = torch.Generator().manual_seed(config.loop.seed)
        self.pool_us, self.pool_ct = ImagePool(self.method.pool, self.draws), ImagePool(self.method.pool, self.draws)

    # -- one step -----------------------------------------------------------------------------------

    def step(self, ct: CtBatch, us: UsBatch, progress: float = 0.0) -> Losses:
        """Algorithm 1. Returns every loss, unweighted.

        Args:
            ct, us: batches of the same size; a fake US meets the discriminator of its partner's source.
            progress: 0 to 1 through adversarial training, for weights that change.
        """
        x, y = self.real_images(ct, us)
        with frozen(self.S_us, self.S_ct, self.D_us, self.D_ct):
            made = self.translate(x, y, ct.scatter)
            generators = self.generator_losses(x, y, made, ct, us, progress)
            self._backward("generators", generators, self._generator_weights(progress))
        with frozen(self.G_ct2us, self.G_us2ct, self.S_us, self.S_ct):
            critics = self.critic_losses(x, y, made, us, progress)
            self._backward("critics", critics, self._critic_weights)
        with frozen(self.G_ct2us, self.G_us2ct, self.D_us, self.D_ct):
            segmenters = self.segmenter_losses(x, y, us)
            self._backward("segmenters", segmenters, SEGMENTERS)
        # No loss above asks for weights of this step: all three descend together, after one message.
        self._descend(generators=generators, critics=critics, segmenters=segmenters)
        self._follow()
        return _detached(generators | critics | segmenters)

    def pretrain(self, ct: CtBatch, us: UsBatch) -> Losses:
        """Train the segmenters alone, on the real pairs."""
        found = self.segmenter_losses(*self.real_images(ct, us), us)
        self._backward("segmenters", found, SEGMENTERS)
        self._descend(segmenters=found)
        return _detached(found)

    def warm_up(self, ct: CtBatch, us: UsBatch) -> Losses:
        """Train the generators on pairs of CT and physics frame of the same pose."""
        x, _ = self.real_images(ct, us)
        twin = self._twin(ct)
        fake_us = self.ct2us(x.image, x.mask, ct.scatter)
        found = {"pair": losses.pair(fake_us, twin, x.where, self.method.pair_blur)}
        if self.method.warm_up_sharp:
            found["pair_sharp"] = losses.l1(fake_us, twin, x.where)
        if self.method.goes_back:
            found["pair_ct"] = losses.l1(self.us2ct(twin, x.mask, x.where), x.image, ct.visible)
        self._backward("generators", found, {"pair": 1.0, "pair_sharp": self.method.warm_up_sharp, "pair_ct": 1.0})
        self._descend(generators=found)
        self._follow()
        return _detached(found)

    # -- losses of the three phases -----------------------------------------------------------------

    def generator_losses(
        self, x: Real, y: Real, made: Translation, ct: CtBatch, us: UsBatch, progress: float
    ) -> Losses:
        """Losses of both generators, unweighted."""
        method, found = self.method, {}
        both = x.where & y.where
        for i, rows in self._critics(us, progress):
            crops = method.critics[i].crops
            found[f"adversarial_us_{i}"] = self._adversarial(self.D_us[i], made.fake_us, True, both & rows, crops)
        if method.ct_critic and made.fake_ct is not None:
            found["adversarial_ct"] = self._adversarial(self.D_ct, made.fake_ct, True, both)
        if made.rec_ct is not None:
            where = ct.visible if method.cycle_visible else x.where
            found["cycle_ct"] = losses.l1(made.rec_ct, x.image, where)
        if made.rec_us is not None:
            rec, real = (losses.blurred(losses.masked(i, y.where), method.cycle_blur) for i in (made.rec_us, y.image))
            found["cycle_us"] = losses.l1(rec, real, y.where)
        found |= self._segmentation(x, y, made, ct, us)
        if method.style:
            real = (us.source == REAL)[:, None, None]
            found["style"] = self.style(made.fake_us, x.where & real, y.image, y.where & real, self.noise)
        if method.pair:
            found["pair"] = losses.pair(made.fake_us, self._twin(ct), x.where, method.pair_blur)
        if method.contrast:
            found["contrast"] = self.contrast(made.fake_us, self._twin(ct), x.where, self.noise)
        return found

    def _segmentation(self, x: Real, y: Real, made: Translation, ct: CtBatch, us: UsBatch) -> Losses:
        """L_seg: what the segmenters see in the fakes, against the labels of their sources."""
        if not self.method.segmentation:
            return {}
        penetrated = ct.visible if self.method.segmentation_visible else x.where
        known = y.where & us.has_mask[:, None, None]
        found = {}
        if made.segmented_us is not None:
            found["segmentation_us"] = losses.segmentation(made.segmented_us, x.mask, penetrated)
        if made.segmented_ct is not None:
            found["segmentation_ct"] = losses.segmentation(made.segmented_ct, y.mask, known)
        if self.method.segment_reconstruction and made.rec_ct is not None:
            seen = self.segment(self.S_ct, made.rec_ct, x.where)
            found["segmentation_rec_ct"] = losses.segmentation(seen, x.mask, penetrated)
        if self.method.segment_reconstruction and made.rec_us is not None:
            seen = self.segment(self.S_us, made.rec_us, y.where)
            found["segmentation_rec_us"] = losses.segmentation(seen, y.mask, known)
        return found

    def critic_losses(self, x: Real, y: Real, made: Translation, us: UsBatch, progress: float) -> Losses:
        """Losses of the discriminators: real frames against fakes of now and before."""
        found = {}
        fake, where = self.pool_us.exchange(made.fake_us.detach(), x.where)
        for i, rows in self._critics(us, progress):
            both = where & y.where & rows
            crops = self.method.critics[i].crops
            found[f"critic_us_{i}"] = 0.5 * (
                self._adversarial(self.D_us[i], y.image, True, both, crops)
                + self._adversarial(self.D_us[i], fake, False, both, crops)
            )
        if self.method.ct_critic and made.fake_ct is not None:
            fake, where = self.pool_ct.exchange(made.fake_ct.detach(), y.where)
            both = where & x.where
            found["critic_ct"] = 0.5 * (
                self._adversarial(self.D_ct, x.image, True, both) + self._adversarial(self.D_ct, fake, False, both)
            )
        return found

    def segmenter_losses(self, x: Real, y: Real, us: UsBatch) -> Losses:
        """Losses of the segmenters on the real pairs."""
        if not self.method.segments:
            return {}
        known = y.where & us.has_mask[:, None, None]
        found = {"segmenter_us": losses.segmentation(self.segment(self.S_us, y.image, y.where), y.mask, known)}
        if self.method.goes_back:  # otherwise no loss segments a CT
            found["segmenter_ct"] = losses.segmentation(self.segment(self.S_ct, x.image, x.where), x.mask, x.where)
        return found

    def _critics(self, us: UsBatch, progress: float) -> Iterator[tuple[int, Tensor]]:
        """Discriminators of ultrasound that take part now, each with the (B, 1, 1) rows of its source."""
        for i, critic in enumerate(self.method.critics):
            if _at(critic.weight, progress) == 0:
                continue
            rows = torch.ones_like(us.has_mask) if critic.source == "any" else us.source == SOURCES[critic.source]
            yield i, rows[:, None, None]

    def _adversarial(self, critic: nn.Module, image: Tensor, real: bool, where: Tensor, crops: int = 0) -> Tensor:
        """Adversarial loss of images of which a discriminator sees only what counts, the same on both sides."""
        image = losses.masked(image, where)
        if self.method.critic_augmentation:
            image, where = augmented(image, where, self.noise)
        depth = None
        if crops:
            image, where, depth = random_crops((image, where, depth_of(image)[:, 0]), crops, self.draws)
        return losses.adversarial(self.method.adversarial, self._run(critic, image, depth), real, where)

    @property
    def _critic_weights(self) -> dict[str, float]:
        return {f"critic_us_{i}": 1.0 for i in range(len(self.method.critics))} | {"critic_ct": 1.0}

    def _generator_weights(self, progress: float) -> dict[str, float]:
        method = self.method
        weights = {f"adversarial_us_{i}": _at(c.weight, progress) for i, c in enumerate(method.critics)}
        segmentation = {f"segmentation_{name}": method.segmentation for name in ("us", "ct", "rec_us", "rec_ct")}
        return weights | segmentation | {
            "adversarial_ct": method.ct_critic, "cycle_ct": method.cycle_ct, "cycle_us": method.cycle_us,
            "pair": method.pair, "style": method.style, "contrast": method.contrast,
        }  # fmt: skip

    # -- details ------------------------------------------------------------------------------------

    def set_rates(self, generators: float, critics: float, segmenters: float) -> None:
        """Set the learning rates."""
        for optimizer, rate in zip(self.optimizers.values(), (generators, critics, segmenters), strict=True):
            for group in optimizer.param_groups:
                group["lr"] = rate

    def _twin(self, ct: CtBatch) -> Tensor:
        if ct.physics is None:
            raise ValueError("warm-up, pair and contrastive loss need a CT source with physics frames")
        return feeding.us_image(ct.physics)

    def _adam(self, *trained: nn.Module) -> torch.optim.Adam:
        parameters = list(chain.from_iterable(network.parameters() for network in trained))
        schedule = self.config.schedule
        return torch.optim.Adam(parameters, schedule.rate, (schedule.beta1, 0.999), fused=self.device.type != "meta")

    def _backward(self, name: str, found: Losses, weights: Mapping[str, float]) -> None:
        """Gradients of the weighted sum of losses, for one of the optimisers."""
        self.optimizers[name].zero_grad(set_to_none=True)
        if found:
            losses.weighted_sum(found, weights).backward()

    def _descend(self, **found: Losses) -> None:
        """One step of each optimiser that has losses, down the mean of all processes' gradients."""
        optimizers = [self.optimizers[name] for name, some in found.items() if some]
        groups = chain.from_iterable(optimizer.param_groups for optimizer in optimizers)
        gradients = [p.grad for group in groups for p in group["params"] if p.grad is not None]
        self._average(gradients + self.statistics())
        for optimizer in optimizers:
            optimizer.step()

    def _follow(self) -> None:
        for name, average in self.averages.items():
            average.update(getattr(self, name))


def _at(weight: Sequence[float], progress: float) -> float:
    return weight[0] + (weight[1] - weight[0]) * progress


def _detached(found: Losses) -> Losses:
    return {name: value.detach() for name, value in found.items()}
