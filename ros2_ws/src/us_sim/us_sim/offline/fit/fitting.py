# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""A scanner fitted to frames, and its validation on held-out frames."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from us_sim.core.errors import DataError
from us_sim.offline.fit.frames import Scanned
from us_sim.offline.fit.knobs import NAMES, Guess, from_unit, to_unit
from us_sim.offline.fit.measures import SCALE, Measures, Ruler, distances
from us_sim.offline.fit.scenes import Scenes
from us_sim.offline.fit.search import Journal, choose, descend, huber

Vector = NDArray[np.float64]

HELD_OUT, GAP = 0.2, 0.07  # of the frames: the last ones are held out, those just before them are not used
MOST = 60  # frames that are fitted to, evenly spread
NOISES = np.linspace(0.1, 0.8, 8)  # levels that are tried, of their span
FIRST, LAST = 8, 3  # steps of the search before and after the looks are chosen
EVALUATIONS = 12 * len(NAMES) + 15  # at most, and about as many as it takes
PULL = 0.3  # loss at the far end of a range: what frames cannot identify stays where it was


@dataclass(frozen=True)
class Verdict:
    """Distances of a measure from the held-out frames, in its unit.

    Attributes:
        name: of the measure.
        before, after: of the generic and of the fitted scanner.
        real: of the frames that were fitted to.
    """

    name: str
    before: float
    after: float
    real: float

    @property
    def enough(self) -> bool:
        """Whether the fitted scanner is within 1.5 times of real against real, or nearer than an eye can see."""
        return self.after <= max(1.5 * self.real, 0.5 * SCALE[self.name])


@dataclass(frozen=True, eq=False)
class Fit:
    """The end of a fit.

    Attributes:
        guess, start: the fitted scanner and the one before.
        loss: of the fitted scanner on the frames it was fitted to.
        verdicts: of the held-out frames.
    """

    guess: Guess
    start: Guess
    loss: float
    verdicts: tuple[Verdict, ...]

    def at_their_ends(self) -> list[str]:
        """Return the parameters at a limit of their range."""
        point = to_unit(self.guess)
        return [name for name, place in zip(NAMES, point, strict=True) if not 1e-2 < place < 0.99 and name != "looks"]


def split(count: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the indices of the frames to fit to and of the held-out ones, with a gap between them.

    Frames sorted by name are usually in order of time: neighbours are alike.
    """
    held = max(2, round(HELD_OUT * count))
    fitted = count - held - round(GAP * count)
    return np.arange(fitted), np.arange(count - held, count)


def residuals_against(
    target: Measures, ruler: Ruler, scenes: Scenes, start: Guess
) -> tuple[Callable[[Vector], Vector], Vector]:
    """Return the residuals of a point of the unit cube and their weights.

    They are the differences of all measures in units of SCALE, and a weak pull towards the start; each measure weighs
    one in all. Where a side has nothing to measure the residual is 0.
    """
    home, everywhere = to_unit(start), scenes.all_valid
    counts = [max(1, int((~target[name].isnan()).sum())) for name in SCALE]
    sizes = [target[name].numel() for name in SCALE]
    weights = np.repeat([*np.sqrt(1 / np.array(counts)), math.sqrt(PULL / len(home))], [*sizes, len(home)])

    def residuals(point: Vector) -> Vector:
        found = ruler.measure(scenes.frames(from_unit(point)), everywhere)
        parts = [np.nan_to_num((found[name] - target[name]).numpy().ravel() / scale) for name, scale in SCALE.items()]
        return np.concatenate([*parts, point - home]) * weights

    return residuals, weights


def measured(scanned: Scanned, ruler: Ruler) -> Measures:
    """Return the measures of real frames."""
    return ruler.measure(scanned.grey, scanned.valid)


def fit(
    scanned: Scanned,
    scenes: Scenes,
    unseen: Scenes,
    journal: Path | None = None,
    key: str = "",
    progress: Callable[[int, float], None] = lambda count, best: None,
) -> Fit:
    """Fit a scanner to frames.

    Args:
        scanned: all frames.
        scenes, unseen: anatomy for fitting, and other anatomy for validation.
        journal, key, progress: as for `Journal`.

    Raises:
        DataError: too few frames show anything to compare.
    """
    ruler, (fitted, held) = Ruler(scanned.probe), split(len(scanned.names))
    thinned = fitted[np.linspace(0, len(fitted) - 1, min(MOST, len(fitted))).round().astype(int)]
    target, truth = measured(scanned.at(thinned.tolist()), ruler), measured(scanned.at(held.tolist()), ruler)
    if target["grey"].isnan().float().mean() > 0.5:
        raise DataError(
            "less than half of the fan shows tissue in the frames; expected frames of the abdomen in contact"
        )
    start = Guess()
    residuals, weights = residuals_against(target, ruler, scenes, start)
    kept = Journal(residuals, cost_of(weights), journal, key, progress)
    guess = from_unit(searched(kept, weights, to_unit(start)))
    real = distances(target, truth)
    before, after = (distances(shown(unseen, one, ruler), truth) for one in (start, guess))
    verdicts = tuple(Verdict(name, before[name], after[name], real[name]) for name in SCALE)
    return Fit(guess, start, kept.least, verdicts)


def searched(journal: Journal, weights: Vector, start: Vector) -> Vector:
    """Return the point of least loss: noise by trial, all constants but the looks, looks by trial, then all again.

    Where noise shows nowhere the loss has no slope in it: a descent alone would leave that of a noisy scanner half-way.
    """
    looks, noise, loss = NAMES.index("looks"), NAMES.index("noise_level"), huber(weights)
    free = np.arange(len(NAMES)) != looks
    point = choose(journal, start, noise, np.array([start[noise], *NOISES]))
    point = descend(journal, loss, point, free, FIRST)
    point = choose(journal, point, looks, np.linspace(0, 1, 6))
    return descend(journal, loss, point, free, LAST)


def cost_of(weights: Vector) -> Callable[[Vector], float]:
    """Return the loss of residuals as one number."""
    loss = huber(weights)
    return lambda residuals: float(loss(np.square(residuals, dtype=np.float64))[0].sum())


def shown(scenes: Scenes, guess: Guess, ruler: Ruler) -> Measures:
    """Return the measures of simulated frames."""
    return ruler.measure(scenes.frames(guess), scenes.all_valid)
