# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Checkpoints: weights in safetensors, the rest of the state as plain tensors; written whole or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from scyclegan_train.method.scyclegan import SCycleGan
from us_sim.core.errors import UsSimError
from us_sim.core.generator.artifact import load_network, read_card

WEIGHTS, STATE = "weights.safetensors", "state.pt"
ASIDE = ".aside"  # of checkpoints after the one that a run went on from


class CheckpointError(UsSimError, ValueError):
    """A checkpoint is missing, damaged, or of another run."""


def weights_of(model: SCycleGan) -> dict[str, Tensor]:
    """Every network's weights, and the averaged ones as `average.<name>`."""
    networks = model.networks | {f"average.{name}": a.network for name, a in model.averages.items()}
    return {f"{name}.{key}": value for name, n in networks.items() for key, value in n.state_dict().items()}


def save_checkpoint(
    folder: Path, step: int, model: SCycleGan, progress: dict[str, Any], config: str, keep: int,
    rank: int = 0, agree: Callable[[bool], bool] = lambda failed: failed,
) -> Path:  # fmt: skip
    """Write the checkpoint of a step; every process calls it.

    Args:
        folder: of the run's checkpoints.
        step: steps done.
        model: networks, optimisers, pools and random numbers.
        progress: of the loop, plain values and tensors.
        config: of the run as YAML, kept with the weights.
        keep: number of checkpoints to keep.
        rank: this process; each writes its own pools and random numbers, 0 the rest.
        agree: takes whether this process failed; returns whether any did, when all have called it.

    Returns:
        The checkpoint's folder.

    Raises:
        CheckpointError: it cannot be written, by any of the processes: nothing of it is left behind.
    """
    final, partial = folder / f"step_{step:07d}", folder / f"step_{step:07d}.partial"

    def write() -> None:
        partial.mkdir(parents=True, exist_ok=True)
        torch.save(_own_state(model), partial / f"rank_{rank}.pt")
        if rank == 0:
            weights = {name: value.detach().cpu().contiguous() for name, value in weights_of(model).items()}
            save_file(weights, partial / WEIGHTS, metadata={"config": config, "step": str(step)})
            torch.save(_shared_state(model) | {"step": step, "progress": progress}, partial / STATE)

    def put_in_place() -> None:
        if rank == 0:
            for file in partial.iterdir():
                _flush(file)
            if final.exists():
                shutil.rmtree(final)
            partial.replace(final)
            for old in checkpoints(folder)[:-keep]:
                shutil.rmtree(old)

    for work in (write, put_in_place):
        reason = _failure(work)
        if agree(bool(reason)):
            if rank == 0:
                shutil.rmtree(partial, ignore_errors=True)
            raise CheckpointError(f"{final}: cannot be written ({reason or 'by another process'}); the checkpoints "
                                  "before it are whole. Make room, then --resume")  # fmt: skip
    return final


def _failure(work: Callable[[], None]) -> str:
    """Why files could not be written; nothing if they could."""
    try:
        work()
    except (OSError, SafetensorError, RuntimeError) as error:  # torch's own writer raises RuntimeError
        return str(error).splitlines()[0]
    return ""


def set_later_aside(checkpoint: Path) -> list[Path]:
    """Rename the checkpoints after one that a run goes on from, so that they are neither latest nor swept away."""
    later = [path for path in checkpoints(checkpoint.parent) if path.name > checkpoint.name]
    for path in later:
        target = path.with_suffix(ASIDE)
        if target.exists():
            shutil.rmtree(target)
        path.rename(target)
    return later


def checkpoints(folder: Path) -> list[Path]:
    """Whole checkpoints of a run, oldest first."""
    return sorted(p for p in folder.glob("step_*") if p.is_dir() and not p.suffix)


def load_checkpoint(path: Path, model: SCycleGan, rank: int = 0, world: int = 1) -> tuple[int, dict[str, Any]]:
    """Bring a model to the state of a checkpoint.

    Returns:
        Steps done, and the loop's progress.

    Raises:
        CheckpointError: damaged, or of networks or processes that are not the run's.
    """
    written = len(list(path.glob("rank_*.pt")))
    if written != world:
        raise CheckpointError(f"{path}: was written by {written} processes; resume with as many, not {world}")
    weights, _ = read_weights(path)
    wanted = weights_of(model)
    different = sorted(n for n in wanted.keys() | weights.keys() if _shape(wanted.get(n)) != _shape(weights.get(n)))
    if different:
        raise CheckpointError(f"{path}: does not fit the configuration: {', '.join(different[:3])} differ")
    with torch.no_grad():
        for name, value in wanted.items():
            value.copy_(weights[name])
    shared, own = _read_state(path / STATE), _read_state(path / f"rank_{rank}.pt")
    for name, optimizer in model.optimizers.items():
        optimizer.load_state_dict(shared["optimizers"][name])
    for name, steps in shared["averages"].items():
        model.averages[name].steps = steps
    model.pool_us.load_state(own["pool_us"], model.device)
    model.pool_ct.load_state(own["pool_ct"], model.device)
    model.draws.set_state(own["draws"])
    model.noise.set_state(own["noise"])
    return shared["step"], shared["progress"]


def load_weights(path: Path, model: SCycleGan) -> list[str]:
    """Start networks from those of another run's checkpoint; all else is initialised.

    Returns:
        Names of the networks that differ there in size, which keep their random start.

    Raises:
        CheckpointError: missing, damaged, or its generator of ultrasound is another.
    """
    weights, _ = read_weights(path)
    networks = model.networks | {f"average.{name}": a.network for name, a in model.averages.items()}
    left = []
    for name, network in networks.items():
        own = {n.removeprefix(f"{name}."): w for n, w in weights.items() if n.startswith(f"{name}.")}
        if {n: _shape(w) for n, w in own.items()} == {n: _shape(w) for n, w in network.state_dict().items()}:
            network.load_state_dict(own)
        else:
            left.append(name)
    if "G_ct2us" in left:
        raise CheckpointError(
            f"{path}: its G_ct2us differs from the configuration's; start from a run of the same card"
        )
    return left


ARTIFACTS = {"generator": "G_ct2us", "us2ct": "G_us2ct", "segmenter": "S_us", "ct_segmenter": "S_ct"}


def load_artifact(path: Path, model: SCycleGan) -> str:
    """Start a network, and the average of it, from an artifact: a segmenter, or a generator, shipped or of another run.

    Returns:
        The network's name.

    Raises:
        UsSimError: not an artifact.
        CheckpointError: of other channels, width, classes or normalisation than the configuration's.
    """
    card = read_card(path)
    name = ARTIFACTS[card.kind]
    weights = load_network(path, card.kind)[0].state_dict()
    network = model.networks[name]
    if {n: _shape(w) for n, w in weights.items()} != {n: _shape(w) for n, w in network.state_dict().items()}:
        raise CheckpointError(f"{path}: its {name} is of another size than the configuration's; expected encoding, "
                              f"width, norm and classes as in its card: {card.encoding}, {card.width:g}, {card.norm}, "
                              f"{len(card.classes)} classes")  # fmt: skip
    network.load_state_dict(weights)
    if name in model.averages:
        model.averages[name].network.load_state_dict(weights)
    return name


def read_weights(path: Path) -> tuple[dict[str, Tensor], str]:
    """Return a checkpoint's weights and its run's configuration as YAML.

    Raises:
        CheckpointError: missing or damaged.
    """
    file = path / WEIGHTS
    if not file.is_file():
        raise CheckpointError(f"{path}: no checkpoint; expected a folder step_… that holds {WEIGHTS}")
    try:
        with safe_open(file, framework="pt") as content:
            config = (content.metadata() or {}).get("config")
            weights = {name: content.get_tensor(name) for name in content.keys()}  # noqa: SIM118, not a dict
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{file}: damaged ({error}); use an earlier checkpoint") from error
    if config is None:
        raise CheckpointError(f"{file}: holds no configuration; it is not a checkpoint of this trainer")
    return weights, config


def _shared_state(model: SCycleGan) -> dict[str, Any]:
    return {
        "optimizers": {name: optimizer.state_dict() for name, optimizer in model.optimizers.items()},
        "averages": {name: average.steps for name, average in model.averages.items()},
    }


def _own_state(model: SCycleGan) -> dict[str, Any]:
    return {
        "pool_us": model.pool_us.state(), "pool_ct": model.pool_ct.state(),
        "draws": model.draws.get_state(), "noise": model.noise.get_state(),
    }  # fmt: skip


def _read_state(file: Path) -> dict[str, Any]:
    try:
        state: dict[str, Any] = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load raises many kinds
        raise CheckpointError(f"{file}: damaged ({error}); use an earlier checkpoint") from error
    return state


def _flush(file: Path) -> None:
    """Wait until a file is on disk: a rename before that could outlive its content."""
    with file.open("rb") as stream:
        os.fsync(stream.fileno())


def _shape(value: Tensor | None) -> tuple[int, ...] | None:
    return None if value is None else tuple(value.shape)
