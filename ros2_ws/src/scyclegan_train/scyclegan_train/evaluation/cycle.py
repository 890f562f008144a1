# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Metrics that need the run, not only its artifact: cycle consistency of both generators, and the time of a step."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from scyclegan_train.config_file import config_of
from scyclegan_train.data.patient_source import PatientCt, PatientUs, phantom_cases
from scyclegan_train.method import losses
from scyclegan_train.method.translator import Translator
from scyclegan_train.run.checkpoint import read_weights
from scyclegan_train.run.export import latest

GREY = 127.5  # grey levels to a unit of an image


def cycle_errors(run: Path, seeds: Sequence[int], count: int) -> list[dict[str, float]]:
    """Return for each held-out phantom the L1 of both cycles, by the averaged generators.

    Args:
        run: folder of a run or of a checkpoint.
        seeds: of the phantoms; frames come from the phantom of the seed too.
        count: samples of each.

    Returns:
        `cycle CT, HU`, through the first window, visible pixels only; `cycle US, grey levels` of physics frames.
        Empty for a run that was not trained to go back.

    Raises:
        CheckpointError: no checkpoint there, or a damaged one.
    """
    weights, text = read_weights(latest(run))
    model = Translator(config_of(text, str(run)))
    if not (model.method.cycle_ct and model.method.cycle_us):
        return []
    for name, network in model.networks.items():
        prefix = f"average.{name}." if name in model.averages else f"{name}."
        network.load_state_dict({n.removeprefix(prefix): w for n, w in weights.items() if n.startswith(prefix)})
        network.eval()
    return [_phantom(model, seed, count) for seed in seeds]


@torch.no_grad()
def _phantom(model: Translator, seed: int, count: int) -> dict[str, float]:
    cases = phantom_cases([seed])
    ct = PatientCt(cases, model.card, length=count, prefetch=False).batch(range(count))
    us = PatientUs(cases, model.card, length=count, degrade=False, prefetch=False).batch(range(count))
    x, y = model.real_images(ct, us)
    made = model.translate(x, y, ct.scatter)
    assert made.rec_ct is not None
    assert made.rec_us is not None
    low, high = model.card.windows[0]
    return {
        "cycle CT, HU": (high - low) / 2 * _l1(made.rec_ct[:, :1], x.image[:, :1], ct.visible),
        "cycle US, grey levels": GREY * _l1(made.rec_us, y.image, y.where),
    }


def _l1(a: Tensor, b: Tensor, where: Tensor) -> float:
    return float(losses.l1(a, b, where))


def milliseconds_of_a_step(run: Path) -> float:
    """Median time of a step of adversarial training, from the run's journal; NaN without one."""
    journal = (run.parent.parent if run.name.startswith("step_") else run) / "stats.jsonl"
    lines = [json.loads(line) for line in journal.read_text().splitlines()] if journal.is_file() else []
    times = [1000 * line["seconds_per_step"] for line in lines if line["phase"] == "adversarial"]
    return float(np.median(times)) if times else float("nan")
