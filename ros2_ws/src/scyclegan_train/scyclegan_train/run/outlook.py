# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""What a run will cost, before it is paid: shapes go through a step of each phase on torch's meta device."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.flop_counter import FlopCounterMode

from scyclegan_train.config import Config
from scyclegan_train.data.inputs import Inputs
from scyclegan_train.data.samples import CtBatch, UsBatch
from scyclegan_train.method.scyclegan import SCycleGan
from scyclegan_train.run.schedule import Phase, Schedule

META = torch.device("meta")


@dataclass(frozen=True)
class Cost:
    """Of a step of one phase on one process.

    Attributes:
        flop: floating-point operations of convolutions and matrix products, backward pass included.
        activations: bytes that the backward passes keep, all of them together: an upper bound.
    """

    flop: int
    activations: int


def shapes(config: Config) -> tuple[CtBatch, UsBatch]:
    """A batch of both domains without content."""
    card, batch = config.generator.card(), config.schedule.batch

    def empty(kind: torch.dtype) -> Tensor:
        return torch.empty(batch, *card.size, dtype=kind, device=META)

    rows = [torch.empty(batch, dtype=kind, device=META) for kind in (torch.bool, torch.int64)]
    ct = CtBatch(empty(torch.float32), empty(torch.uint8), empty(torch.bool), empty(torch.bool), empty(torch.float32),
                 empty(torch.float32))  # fmt: skip
    return ct, UsBatch(empty(torch.float32), empty(torch.uint8), rows[0], empty(torch.bool), rows[1])


def costs_of(config: Config, schedule: Schedule) -> dict[Phase, Cost]:
    """The cost of a step of each phase of a schedule; style and contrast, which draw pixels, are left out."""
    config = replace(config, method=replace(config.method, style=0.0, contrast=0.0))
    model, (ct, us) = SCycleGan(config, META), shapes(config)
    steps = {"pretrain": model.pretrain, "warm_up": model.warm_up, "adversarial": model.step}
    found: dict[Phase, Cost] = {}
    for phase in phases_of(schedule):
        kept: dict[int, int] = {}

        def keep(tensor: Tensor, kept: dict[int, int] = kept) -> Tensor:
            kept[id(tensor.untyped_storage())] = tensor.numel() * tensor.element_size()
            return tensor

        with FlopCounterMode(display=False) as counter, saved_tensors_hooks(keep, lambda tensor: tensor):
            steps[phase](ct, us)
        found[phase] = Cost(counter.get_total_flops(), sum(kept.values()))
    return found


def phases_of(schedule: Schedule) -> dict[Phase, int]:
    """Steps of each phase that the schedule has."""
    steps: dict[Phase, int] = {"pretrain": schedule.pretrain, "warm_up": schedule.warm_up,
                               "adversarial": schedule.constant + schedule.decay}  # fmt: skip
    return {phase: count for phase, count in steps.items() if count}


def header(config: Config, inputs: Inputs, schedule: Schedule, found: dict[Phase, Cost]) -> list[str]:
    """Lines that say what a run is: data, schedule, size."""
    model = SCycleGan(config, META)
    parameters = {name: sum(p.numel() for p in n.parameters()) for name, n in model.networks.items()}
    plan, epoch = config.schedule, config.schedule.epoch or inputs.steps_of_epoch()
    epochs = ", ".join(f"{name} {getattr(plan, name):g}" for name in ("pretrain", "warm_up", "constant", "decay"))
    weights = 4 * sum(parameters.values())
    card = config.generator.card()
    lines = [
        f"CT: {len(inputs.ct):,} slices; ultrasound: {len(inputs.us):,} frames; grid {card.grid} "
        f"{card.size[0]} by {card.size[1]}",
        f"{epoch:,} steps an epoch, batch {plan.batch}; epochs: {epochs}; {schedule.steps:,} steps; rate {plan.rate:g}",
        "parameters: " + ", ".join(f"{name} {count / 1e6:.1f} M" for name, count in parameters.items()),
    ]
    for phase, cost in found.items():
        # Weights, gradients, two moments of Adam; of the generators, their average as well.
        memory = 4 * weights + 4 * (parameters["G_ct2us"] + parameters["G_us2ct"]) + cost.activations
        lines.append(f"{phase}: {cost.flop / 1e9:,.1f} GFLOP a step, at most {memory / 2**30:.1f} GiB")
    return lines


def whole_time(schedule: Schedule, found: dict[Phase, Cost], phase: Phase, seconds: float) -> str:
    """How long all steps take, if a step of one phase takes `seconds` and others take as their FLOP are to its."""
    flop = sum(count * found[name].flop for name, count in phases_of(schedule).items())
    whole = timedelta(seconds=round(seconds * flop / max(1, found[phase].flop)))
    return f"about {whole} for all {schedule.steps:,} steps ({seconds:.3g} s a step of {phase})"
