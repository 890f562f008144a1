# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""The tasks, each with its reward as a formula, and the functions that make their environments."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from us_sim.core.errors import ConfigError
from us_sim.core.faulty_simulator import FaultySimulator
from us_sim.core.geometry.transforms import Matrix, apply, inverse
from us_sim.gym.config import EpisodeConfig
from us_sim.gym.environment import Judgement, ProbeEnv, Situation, Task
from us_sim.gym.planes import standard_plane
from us_sim.gym.randomisation import Randomisation
from us_sim.gym.targets import breathed, organ_points, start_pose

Array = NDArray[np.float64]

TRIES = 20  # starts that are drawn until one lies away from the goal


class Reach:
    """Bring an organ's centre to the middle of the image plane: with d = √(x² + y²) of the centre in `probe`, mm,

        reward = (d before − d now) / 10 − 0.01

    Success: d ≤ `within`. The centre breathes with the patient; of the kidneys the right one counts.
    """

    reads_image = False

    def __init__(self, organ: str = "kidney", within: float = 8.0) -> None:
        self._organ, self._within = organ, _positive("within", within)

    def begin(self, simulator: FaultySimulator, rng: np.random.Generator) -> Matrix:
        """Start near the organ."""
        patient = simulator.simulator.patient
        self._centre = organ_points(patient, self._organ).mean(axis=0, keepdims=True)
        self._before = np.inf
        return self._away(start_pose(patient, self._centre[0], rng) for _ in range(TRIES))

    def _away(self, starts: Iterator[Matrix]) -> Matrix:
        """The first start that leaves something to do, or else the last."""
        for pose in starts:
            if np.hypot(*apply(inverse(pose), self._centre[0])[:2]) > 2 * self._within:
                break
        return pose

    def judge(self, now: Situation) -> Judgement:
        """By how much nearer the centre came."""
        simulator = now.simulator.simulator
        centre = breathed(simulator.patient, self._centre, simulator.mechanics.breathing_amplitude, now.phase)[0]
        x, y, _ = apply(inverse(now.ct_from_probe), centre)
        distance = float(np.hypot(x, y))
        gained, self._before = self._before - distance, distance
        return Judgement(
            gained / 10.0 - 0.01, distance <= self._within, {"distance": distance, "x": float(x), "y": float(y)}
        )


class StandardPlane:
    """Show a named plane: with o = √(x² + y²) of its landmark in `probe`, mm, a the angle between the planes' normals,
    degrees, and c the correlation of the image with that of the goal (0 where it is negative),

        score = ½ exp(−o / 20 − a / 20) + ½ c,   reward = 10 (score now − score before) − 0.01

    Success: o and a ≤ `within`. The landmark breathes with the patient; a plane seen from its other side counts as the
    same.
    """

    reads_image = True

    def __init__(self, plane: str = "kidney_long", within: float = 8.0) -> None:
        self._plane, self._within = plane, _positive("within", within)

    def begin(self, simulator: FaultySimulator, rng: np.random.Generator) -> Matrix:
        """Start near the landmark."""
        plain = simulator.simulator
        self._goal = standard_plane(plain.patient, self._plane)
        frame = plain.render(self._goal.ct_from_probe, ct_slice=False, labels=False)
        assert frame.image is not None
        self._image, self._fan, self._before = frame.image, plain.probe.fan_mask, 0.0
        return start_pose(plain.patient, self._goal.landmark, rng)

    def judge(self, now: Situation) -> Judgement:
        """By how much the score grew."""
        simulator = now.simulator.simulator
        amplitude = simulator.mechanics.breathing_amplitude
        landmark = breathed(simulator.patient, self._goal.landmark[None], amplitude, now.phase)[0]
        x, y, _ = apply(inverse(now.ct_from_probe), landmark)
        offset = float(np.hypot(x, y))
        cosine = abs(float(now.ct_from_probe[:3, 1] @ self._goal.ct_from_probe[:3, 1]))
        angle = float(np.degrees(np.arccos(min(cosine, 1.0))))
        assert now.frame.image is not None
        alike = max(0.0, correlation(now.frame.image[self._fan], self._image[self._fan]))
        score = 0.5 * float(np.exp(-offset / 20 - angle / 20)) + 0.5 * alike
        gained, self._before = score - self._before, score
        success = offset <= self._within and angle <= self._within
        info = {"offset": offset, "angle": angle, "correlation": alike, "score": score}
        return Judgement(10 * gained - 0.01, success, info)


class Scan:
    """See all of an organ at a constant force: with the share s of its voxels that have lain in a coupled image,

        reward = 10 (s now − s before) − 0.05 |F − F₀| / F₀

    Success: s ≥ `enough`. A voxel counts within half the elevational beam of the image plane, in the fan.
    """

    reads_image = False
    VOXELS = 2000  # of the organ that are followed

    def __init__(self, organ: str = "kidney", force: float = 5.0, enough: float = 0.9) -> None:
        if not 0 < enough <= 1:
            raise ConfigError(f"enough is {enough:g}; expected a share, above 0 and at most 1")
        self._organ, self._force, self._enough = organ, force, enough

    def begin(self, simulator: FaultySimulator, rng: np.random.Generator) -> Matrix:
        """Start near the organ, nothing seen."""
        patient = simulator.simulator.patient
        points = organ_points(patient, self._organ)
        self._points = points[:: max(1, len(points) // self.VOXELS)]
        self._seen = np.zeros(len(self._points), dtype=bool)
        self._share = 0.0
        return start_pose(patient, points.mean(axis=0), rng)

    def judge(self, now: Situation) -> Judgement:
        """By how much more was seen, and how far the force is off."""
        simulator = now.simulator.simulator
        points = breathed(simulator.patient, self._points, simulator.mechanics.breathing_amplitude, now.phase)
        if now.frame.contact.coupling > 0.5:
            self._seen |= in_image(apply(inverse(now.ct_from_probe), points), now)
        share = float(self._seen.mean())
        gained, self._share = share - self._share, share
        off = abs(now.probe.force - self._force) / self._force
        return Judgement(10 * gained - 0.05 * off, share >= self._enough, {"coverage": share})


def in_image(points: Array, now: Situation) -> NDArray[np.bool_]:
    """Which of (N, 3) points in `probe`, mm, lie in the fan within half the elevational beam of its plane."""
    probe = now.simulator.simulator.probe
    x, y, z = points.T
    (dx, dz), (x0, z0) = probe.pixel_spacing, probe.first_pixel
    column, row = np.rint((x - x0) / dx).astype(int), np.rint((z - z0) / dz).astype(int)
    inside = (column >= 0) & (column < probe.width) & (row >= 0) & (row < probe.height)
    inside &= np.abs(y) <= 0.5 * probe.slice_thickness
    inside[inside] = probe.fan_mask[row[inside], column[inside]]
    return inside


def _positive(name: str, value: float) -> float:
    if not value > 0:
        raise ConfigError(f"{name} is {value:g}; expected more than 0")
    return value


def correlation(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    """Pearson's, of two (N,) arrays; 0 where one of them is constant."""
    x, y = a - a.mean(), b - b.mean()
    size = float(np.sqrt((x @ x) * (y @ y)))
    return float(x @ y) / size if size > 0 else 0.0


def reach(render_mode: str | None = None, **options: Any) -> ProbeEnv:
    """Make `UsSim/Reach-v0`; options are fields of EpisodeConfig, Randomisation and arguments of Reach."""
    return _made(Reach, {"organ", "within"}, render_mode, options)


def standardplane(render_mode: str | None = None, **options: Any) -> ProbeEnv:
    """Make `UsSim/StandardPlane-v0`; options as of `reach`, with the arguments of StandardPlane."""
    return _made(StandardPlane, {"plane", "within"}, render_mode, options)


def scan(render_mode: str | None = None, **options: Any) -> ProbeEnv:
    """Make `UsSim/Scan-v0`; options as of `reach`, with the arguments of Scan; `force` is the law's as well."""
    extra = {"force": options["force"]} if "force" in options else {}
    return _made(lambda **own: Scan(**own, **extra), {"organ", "enough"}, render_mode, options)


def _made(
    task: Callable[..., Task], own: set[str], render_mode: str | None, options: dict[str, Any]
) -> ProbeEnv:  # fmt: skip
    groups = own, {item.name for item in fields(EpisodeConfig)}, {item.name for item in fields(Randomisation)}
    unknown = set(options) - set().union(*groups)
    if unknown:
        known = ", ".join(sorted(set().union(*groups)))
        raise ConfigError(f"unknown option {sorted(unknown)[0]!r}; expected some of {known}")
    # Lists become tuples: what episodes have in common is looked up by these values.
    given: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in options.items()
    }
    arguments, config, ranges = ({name: given[name] for name in group if name in given} for group in groups)
    return ProbeEnv(task(**arguments), EpisodeConfig(**config), Randomisation(**ranges), render_mode)
