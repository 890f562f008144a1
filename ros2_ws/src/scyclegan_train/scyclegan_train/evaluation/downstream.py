# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Downstream task: segmenters of real ultrasound trained on synthetic frames (the experiment of CT2US).

One segmenter learns from real frames alone, one from synthetic frames alone, one from synthetic frames and then from
real ones, all in as many steps; each is tested on people whom it has not seen: the people are parted into folds, and
those of one fold after the other are held out. CT2US: Song et al. 2022, Ultrasonics 122, 106706.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from scyclegan_train.evaluation import metrics, reference_segmenter
from scyclegan_train.evaluation.intervals import Interval, clustered
from scyclegan_train.evaluation.masked import ORGANS, Masked
from scyclegan_train.evaluation.reference_segmenter import CLASSES, LINES, ReferenceSegmenter
from scyclegan_train.method.appearance import appearance
from scyclegan_train.method.networks import segmenter
from us_sim.core.tissue import TissueClass

REAL_ALONE, SYNTHETIC, TUNED = "real frames alone", "synthetic alone", "synthetic, then real"
FOLDS = 3

Classes = NDArray[np.uint8]
Say = Callable[[str], None]


@dataclass(frozen=True)
class Use:
    """What segmenters reach on real frames of people whom they have not seen.

    Attributes:
        dice: mean over the frames that show an organ, by what the segmenter was trained on and by organ; its
            interval is over people.
        frames: how many real frames show each organ.
        people: how many people or series the frames are of.
    """

    dice: Mapping[str, Mapping[TissueClass, Interval]]
    frames: Mapping[TissueClass, int]
    people: int

    @property
    def absent(self) -> list[TissueClass]:
        """Organs that no real frame shows: nothing is known of them."""
        return [organ for organ, count in self.frames.items() if not count]


def experiment(
    real: Masked, synthetic: Mapping[str, Masked], steps: int, trained: ReferenceSegmenter | None = None,
    say: Say = print,
) -> Use:  # fmt: skip
    """Train the segmenters, and test them on all real frames.

    Args:
        real: frames of three people or more.
        synthetic: frames by renderer.
        steps: of the training of each segmenter; half of them on either kind where there are two.
        trained: a segmenter that is tested as it is: the shipped one.
        say: called with lines of progress.
    """
    where = fold_of(real.people)
    found: dict[str, Classes] = {} if trained is None else {"organs, as shipped": _seen(trained, real)}
    found[REAL_ALONE] = _across(real, where, lambda fold: _trained(None, fold, steps, say))
    for name, frames in synthetic.items():
        found[f"{name}: {SYNTHETIC}"] = _seen(_trained(None, frames, steps, say), real)
        half = _trained(None, frames, steps // 2, say)
        found[f"{name}: {TUNED}"] = _across(real, where, lambda fold, half=half: _trained(half, fold, steps // 2, say))  # type: ignore[misc]
    shows = {organ: int((real.tissue * real.where == organ).flatten(1).any(dim=1).sum()) for organ in ORGANS}
    return Use({name: _dice(classes, real) for name, classes in found.items()}, shows, len(set(real.people)))


def fold_of(people: tuple[str, ...]) -> NDArray[np.int64]:
    """(N,) fold of each frame: no person is in two; whoever has more frames comes first, to the smallest fold."""
    names = sorted(set(people), key=lambda name: (-people.count(name), name))
    sizes, chosen = np.zeros(min(FOLDS, len(names)), dtype=np.int64), {}
    for name in names:
        chosen[name] = int(sizes.argmin())
        sizes[chosen[name]] += people.count(name)
    return np.array([chosen[name] for name in people])


def _across(real: Masked, where: NDArray[np.int64], train: Callable[[Masked], ReferenceSegmenter]) -> Classes:
    """(N, h, w) what segmenters find that were each trained without the fold of the frame."""
    found = np.zeros(real.tissue.shape, np.uint8)
    for fold in range(int(where.max()) + 1):
        found[where == fold] = _seen(train(real.rows(where != fold)), real.rows(where == fold))
    return found


def _trained(start: ReferenceSegmenter | None, frames: Masked, steps: int, say: Say) -> ReferenceSegmenter:
    torch.manual_seed(0)
    network = segmenter(LINES, reference_segmenter.WIDTH)
    if start is not None:
        network.load_state_dict(start.network.state_dict())
    reference_segmenter.train(network, frames.image, frames.tissue, frames.where, steps, say, appearance)
    return ReferenceSegmenter(network)


@torch.no_grad()
def _seen(segmenter: ReferenceSegmenter, real: Masked) -> Classes:
    """(N, h, w) classes."""
    index = torch.cat([segmenter.network(image[None]).argmax(dim=1) for image in real.image])
    return np.array(CLASSES, np.uint8)[index.numpy()]


def _dice(found: Classes, real: Masked) -> dict[TissueClass, Interval]:
    frames = zip(found, real.tissue.numpy(), real.where.numpy(), strict=True)
    each = [[metrics.dice(*frame, organ) for organ in ORGANS] for frame in frames]
    return {organ: clustered([row[i] for row in each], real.people) for i, organ in enumerate(ORGANS)}
