"""Time a step of S-CycleGAN: in bf16 with channels last, beside the layout of the paper's own code in eager mode.

python scripts/train_step.py [--config paper.yaml] [--steps 10] [--json FILE]

That layout is single precision, contiguous tensors and no autocast, one batch after the other. Without a GPU both run
on the CPU, a step each: the figures then say that it works, no more.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch

from scyclegan_train.config import Config
from scyclegan_train.config_file import load_config
from scyclegan_train.data.samples import CtBatch, UsBatch
from scyclegan_train.method.scyclegan import SCycleGan


def batch(config: Config, device: torch.device) -> tuple[CtBatch, UsBatch]:
    """Return a batch of noise in both domains: a step takes as long whatever it shows."""
    size, many = config.generator.card().size, config.schedule.batch
    generator = torch.Generator().manual_seed(0)

    def noise(scale: float) -> torch.Tensor:
        return scale * torch.rand(many, *size, generator=generator)

    inside = torch.ones(many, *size, dtype=torch.bool)
    labels = torch.randint(len(config.generator.card().classes), (many, *size), generator=generator).to(torch.uint8)
    ct = CtBatch(noise(100), labels, inside, inside, noise(1), noise(255))
    us = UsBatch(noise(255), labels, torch.ones(many, dtype=torch.bool), inside, torch.zeros(many, dtype=torch.int64))
    return ct.to(device), us.to(device)


def seconds(step: Callable[[], object], count: int, device: torch.device) -> float:
    """Return the mean time of a step after one to warm up."""
    step()
    if device.type == "cuda":
        torch.cuda.synchronize()
    start = time.perf_counter()
    for _ in range(count):
        step()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return (time.perf_counter() - start) / count


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--config", default="paper.yaml", help="configuration (paper.yaml)")
    parser.add_argument("--steps", type=int, default=10, help="steps that are timed (10)")
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="changes to the configuration")
    given = parser.parse_args()
    device = torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
    torch.backends.cudnn.benchmark = True
    config = load_config(given.config, given.set)
    data, count = batch(config, device), given.steps if device.type == "cuda" else 1
    half = partial(torch.autocast, device.type, torch.bfloat16)
    found = {}
    for name, last, context in (("single precision, contiguous", False, nullcontext), ("bf16", True, half)):
        torch.manual_seed(0)
        model = SCycleGan(replace(config, loop=replace(config.loop, channels_last=last)), device, context)
        found[name] = seconds(lambda model=model: model.step(*data), count, device)  # type: ignore[misc]
        print(f"{name}: {1e3 * found[name]:.1f} ms a step on {device}", flush=True)
    if given.json:
        given.json.write_text(json.dumps(found, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
