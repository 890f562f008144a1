# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Least squares over the unit cube with a journal: an interrupted search resumes and ends the same.

Trust-region least squares (Branch, Coleman & Li 1999, in SciPy) with finite differences: the measures change smoothly
with a scanner's constants where scatterers and noise stay the same, and a step takes as many frames as there are
constants, a tenth of what an evolution strategy asks for. The journal holds residuals alone: the search is
deterministic, so what is known is answered from there, and nothing is unpickled.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

from us_sim.core.errors import DataError

Array = NDArray[np.float64]
STEP = 0.05  # of the unit cube, of finite differences: beyond the grain of quantiles and speckle
END = "."  # of a whole line
FLAT = 2e-3  # share of the loss, or of the cube, below which a step is the last one


class Journal:
    """Answers what has been computed before, in its order, and writes down what is new.

    Args:
        residuals: of a point.
        cost: of residuals.
        file: where they are kept; None: nowhere.
        key: what they depend on besides the point.
        progress: called with the number of evaluations and the least loss so far.

    Raises:
        DataError: the file is no journal, or one of another key.
    """

    def __init__(
        self,
        residuals: Callable[[Array], Array],
        cost: Callable[[Array], float],
        file: Path | None,
        key: str,
        progress: Callable[[int, float], None],
    ) -> None:
        self._residuals, self.cost, self._file, self._progress = residuals, cost, file, progress
        self._known = [] if file is None else _read(file, key)
        self.count, self.least = 0, np.inf

    def __call__(self, point: Array) -> Array:
        """Return the residuals of a point."""
        if self.count < len(self._known):
            found = self._known[self.count]
        else:
            found = self._residuals(point).astype(np.float32)
            if self._file is not None:
                with self._file.open("a") as journal:
                    journal.write(base64.b64encode(found.tobytes()).decode() + END + "\n")
        self.count += 1
        residuals = found.astype(np.float64)
        self.least = min(self.least, self.cost(residuals))
        self._progress(self.count, self.least)
        return residuals


def huber(weights: Array) -> Callable[[Array], Array]:
    """Return the pseudo-Huber loss for weighted residuals, quadratic below 1 and linear above, as SciPy asks for it.

    Args:
        weights: (n,) that the residuals have been multiplied with; the loss has them outside.
    """

    def loss(squares: Array) -> Array:
        bent = 1 + squares / weights**2
        return np.stack([2 * weights**2 * (np.sqrt(bent) - 1), bent**-0.5, -0.5 * bent**-1.5 / weights**2])

    return loss


def descend(
    residuals: Callable[[Array], Array],
    loss: Callable[[Array], Array],
    start: Array,
    free: NDArray[np.bool_],
    steps: int,
) -> Array:
    """Return the point of least loss near a start.

    Args:
        residuals: of a point of the unit cube.
        loss: of their squares, with its derivatives, (3, n).
        start: (n,) point.
        free: (n,) which coordinates change.
        steps: most of them; each costs one evaluation for every free coordinate, and one.
    """
    inner = np.clip(start, 1e-3, 1 - 1e-3)
    seen: dict[bytes, Array] = {}

    def whole(part: Array) -> Array:
        point = start.copy()
        point[free] = part
        return point

    def value(part: Array) -> Array:
        seen[part.tobytes()] = found = residuals(whole(part))
        return found

    def slopes(part: Array) -> Array:
        here = seen[part.tobytes()] if part.tobytes() in seen else value(part)
        columns = []
        for i in range(len(part)):
            moved = part.copy()
            step = STEP if part[i] + STEP <= 1 else -STEP
            moved[i] += step
            columns.append((residuals(whole(moved)) - here) / step)
        return np.stack(columns, axis=1)

    found = least_squares(
        value, inner[free], slopes, bounds=(0, 1), loss=loss, max_nfev=steps, ftol=FLAT, xtol=FLAT, gtol=None
    )
    return whole(found.x)


def choose(journal: Journal, point: Array, place: int, values: Array) -> Array:
    """Return the point with the best of some values at one coordinate."""
    tried = []
    for value in values:
        other = point.copy()
        other[place] = value
        tried.append((journal.cost(journal(other)), other))
    return min(tried, key=lambda one: one[0])[1]


def _read(file: Path, key: str) -> list[NDArray[np.float32]]:
    if not file.exists():
        file.write_text(json.dumps({"key": key}) + "\n")
        return []
    try:
        head, *rest = file.read_text().splitlines()
        own = json.loads(head)["key"]
        known = [np.frombuffer(base64.b64decode(line), np.float32) for line in rest if line.endswith(END)]
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{file}: is no journal of a fit ({error}); delete it to start again") from error
    if own != key:
        raise DataError(f"{file}: belongs to other frames or options; delete it to start again, or name another --out")
    if len(known) < len(rest):  # the last line was cut short when the search was interrupted
        file.write_text("\n".join([head, *rest[: len(known)]]) + "\n")
    return known
