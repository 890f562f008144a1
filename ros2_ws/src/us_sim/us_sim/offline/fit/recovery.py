# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Recovery of known synthetic scanners by the fit: python -m us_sim.offline.fit.recovery

Frames of three scanners, on two phantoms, are fitted with two other phantoms and other noise. Sensitivity, gamma and
dynamic range compensate for one another, and TGC for its limit: compared are the grey level of an echo and the gain
over depth.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch

from us_sim.core.command import as_command
from us_sim.core.config import ImageSettings
from us_sim.core.geometry.probe import preset
from us_sim.core.physics.imaging import beam_width, tgc
from us_sim.core.physics.scanner import GENERIC
from us_sim.offline.fit.fitting import cost_of, residuals_against, searched, shown
from us_sim.offline.fit.frames import LINES, SAMPLES
from us_sim.offline.fit.knobs import Guess, from_unit, to_unit
from us_sim.offline.fit.measures import Ruler
from us_sim.offline.fit.scenes import Scenes, scenes_of
from us_sim.offline.fit.search import Journal

INVENTED = {
    "coarse": Guess(
        ImageSettings(dynamic_range=65.0, tgc=0.8),
        replace(
            GENERIC, sensitivity=-4.0, gamma=1.6, noise_level=-88.0, looks=3, pulse_length=0.9, beam_ratio=0.035,
            edge_loss=12.0,
        ),
    ),
    "fine": Guess(
        ImageSettings(dynamic_range=50.0, tgc=1.4),
        replace(
            GENERIC, sensitivity=-16.0, gamma=1.0, black=10.0, tgc_limit=45.0, noise_level=-105.0, looks=5,
            pulse_length=0.35, beam_ratio=0.018, edge_loss=2.0,
        ),
    ),
    "noisy": Guess(
        ImageSettings(dynamic_range=75.0, tgc=1.0),
        replace(
            GENERIC, sensitivity=2.0, gamma=1.9, noise_level=-80.0, looks=1, pulse_length=0.6, beam_ratio=0.028,
            ring_level=-8.0, ring_length=2.0, shadow_level=-20.0,
        ),
    ),
}  # fmt: skip
DEPTHS = torch.linspace(20.0, 140.0, 25)  # mm
SPECKLE = torch.linspace(-15.0, 10.0, 26)  # dB to that of 0 dB tissue


@dataclass(frozen=True)
class Quantity:
    """A quantity compared between a synthetic scanner and the one found.

    Attributes:
        unit: of the difference.
        bound: within which it is recovered.
        gap: between the two.
    """

    unit: str
    bound: float
    gap: Callable[[Guess, Guess], float]


def grey_of(guess: Guess) -> torch.Tensor:
    """(D, E) grey of echoes of SPECKLE from DEPTHS in tissue that attenuates 0.55 dB/(cm MHz), without noise."""
    settings, scanner = guess.settings, guess.scanner
    lost = 0.2 * 0.55 * settings.frequency * DEPTHS
    level = scanner.speckle_level + SPECKLE + (tgc(DEPTHS, settings, scanner) - lost + scanner.sensitivity)[:, None]
    kept = (1 + (level + settings.gain) / settings.dynamic_range).clamp(0, 1) ** scanner.gamma
    return scanner.black + (255 - scanner.black) * kept


def beam_gap(one: Guess, other: Guess) -> float:
    """Mean ratio, as a share, of the beams' widths over DEPTHS."""
    widths = [beam_width(DEPTHS, guess.settings, guess.scanner) for guess in (one, other)]
    return float((widths[1] / widths[0]).log().abs().mean().exp() - 1)


QUANTITIES = {
    "grey of an echo": Quantity("grey", 10.0, lambda a, b: float((grey_of(a) - grey_of(b)).abs().mean())),
    "pulse length": Quantity("mm", 0.2, lambda a, b: abs(a.scanner.pulse_length - b.scanner.pulse_length)),
    "beam width": Quantity("share", 0.25, beam_gap),
    "noise": Quantity("dB", 6.0, lambda a, b: abs(a.scanner.noise_level - b.scanner.noise_level)),
    "lateral fall-off": Quantity("dB", 5.0, lambda a, b: abs(a.scanner.edge_loss - b.scanner.edge_loss)),
    "looks": Quantity("factor", 2.0, lambda a, b: math.exp(abs(math.log(a.scanner.looks / b.scanner.looks)))),
    "black": Quantity("grey", 4.0, lambda a, b: abs(a.scanner.black - b.scanner.black)),
}


def recovered(true: Guess, scenes: Scenes, others: Scenes, progress: Callable[[int, float], None]) -> Guess:
    """Return the scanner that is found in frames of `others`."""
    ruler = Ruler(scenes.probe)
    residuals, weights = residuals_against(shown(others, true, ruler), ruler, scenes, Guess())
    return from_unit(searched(Journal(residuals, cost_of(weights), None, "", progress), weights, to_unit(Guess())))


@as_command("us_sim.offline.fit.recovery")
def main(argv: Sequence[str] | None = None) -> int:
    """Print a row for each quantity and scanner."""
    argparse.ArgumentParser(prog="us_sim.offline.fit.recovery", description=__doc__).parse_args(argv)
    probe = replace(preset("c5_2"), scan_lines=LINES, samples=SAMPLES)
    scenes, others = scenes_of(probe, (0, 1), 0), scenes_of(probe, (2, 3), 1)
    print("| quantity | unit | bound | " + " | ".join(f"{name}: before | found" for name in INVENTED) + " |")
    print("|---" * (3 + 2 * len(INVENTED)) + "|")
    found = {name: recovered(true, scenes, others, lambda count, least: None) for name, true in INVENTED.items()}
    for quantity, rule in QUANTITIES.items():
        gaps = [f"{rule.gap(true, one):.2f}" for name, true in INVENTED.items() for one in (Guess(), found[name])]
        print(f"| {quantity} | {rule.unit} | {rule.bound:g} | {' | '.join(gaps)} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
