# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Slices on disk: one safetensors file for each scan, HU kept as int16, and the source that reads them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from scyclegan_train.data.faults import DataError
from scyclegan_train.data.samples import CtBatch
from scyclegan_train.data.splits import check_apart, refolded
from us_sim.core.files import atomic_write, is_partial
from us_sim.core.generator.card import Card

RECIPE = "recipe.json"
VERSION = 3  # 2: frames of the probe's size alone; 1: transverse slices evenly through the liver
_STORED = {
    "hu": torch.int16, "tissue": torch.uint8, "valid": torch.bool, "visible": torch.bool,
    "scatter": torch.float16, "physics": torch.uint8,
}  # fmt: skip


@dataclass(frozen=True)
class Recipe:
    """How slices were made; a folder holds slices of one recipe.

    Attributes:
        grid: `cartesian` or `polar`.
        probe: the fan with its grids, as in the card's JSON.
        poses: `skin`, drawn on the skin; or `transverse`, the paper's.
        slices: of each scan.
        seed: of the poses.
        whole_slice: the frame covers the whole transverse slice, whatever its size in mm.
        version: of this format.
    """

    grid: str
    probe: dict[str, Any]
    poses: str
    slices: int
    seed: int
    whole_slice: bool = False
    version: int = VERSION

    def to_json(self) -> str:
        """Return the recipe as JSON."""
        return json.dumps(asdict(self), indent=1, sort_keys=True)


def recipe_of(card: Card, poses: str, slices: int, seed: int, whole_slice: bool = False) -> Recipe:
    """Return the recipe for a card."""
    return Recipe(card.grid, json.loads(card.to_json())["probe"], poses, slices, seed, whole_slice)


def write_recipe(folder: Path, recipe: Recipe) -> None:
    """Write a folder's recipe, or check that it is the one already there.

    Raises:
        DataError: the folder holds slices of another recipe.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / RECIPE
    if path.exists():
        there, wanted = read_recipe(folder), json.loads(recipe.to_json())
        different = [name for name in wanted if there.get(name) != wanted[name]]
        if different:
            raise DataError(f"{path}: slices were made with other {', '.join(different)}; give another folder")
        return
    others = sorted(found.name for found in folder.glob("*.safetensors") if not is_partial(found))
    if others:
        raise DataError(f"{folder}: holds {others[0]}, which prepare did not write; give another folder")
    with atomic_write(path) as partial:
        partial.write_text(recipe.to_json())


def read_recipe(folder: Path) -> dict[str, Any]:
    """Return a folder's recipe.

    Raises:
        DataError: missing or not readable.
    """
    path = folder / RECIPE
    try:
        return dict(json.loads(path.read_text()))
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: no prepared slices here ({error}); run prepare first") from error


def same_grid(folder: Path, card: Card) -> None:
    """Compare a folder's slices with a card.

    Raises:
        DataError: no slices, or slices on another grid.
    """
    recipe, wanted = read_recipe(folder), json.loads(recipe_of(card, "", 0, 0).to_json())
    for name in ("grid", "probe", "version"):
        if recipe.get(name) != wanted[name]:
            raise DataError(f"{folder}: its slices have another {name} than the run; prepare them with its config")


def write_slices(path: Path, batch: CtBatch, about: dict[str, str]) -> None:
    """Write the slices of a scan so that the file is there whole or not at all."""
    tensors = {}
    for name, kind in _STORED.items():
        value = getattr(batch, name)
        if value is not None:
            stored = value.round() if not kind.is_floating_point and value.is_floating_point() else value
            tensors[name] = stored.to(kind).clone(memory_format=torch.contiguous_format)  # valid may be visible itself
    with atomic_write(path) as partial:
        partial.write_bytes(_in_order(save(tensors, about)))


def about_slices(path: Path) -> dict[str, str]:
    """Return what the header of a file of slices says: `patient`, `split`, `ct`.

    Raises:
        DataError: not such a file.
    """
    try:
        with safe_open(str(path), "pt") as file:
            about = dict(file.metadata() or {})
            if not {"hu", "tissue", "valid", "visible"} <= set(file.keys()) or "patient" not in about:
                raise DataError(f"{path}: holds no slices; remove it and run prepare again")
            return {**about, "slices": str(file.get_slice("hu").get_shape()[0])}
    except (OSError, SafetensorError) as error:
        raise DataError(f"{path}: damaged ({error}); remove it and run prepare again") from error


class PreparedCt:
    """Slices that `prepare` wrote, shuffled anew in each epoch.

    Args:
        folder: of prepare.
        card: whose grid the slices have to be on.
        split: `train`, `val` or `test`; None for all.
        fold: i of k; who is `train` and who `val` is then drawn anew.
        seed: of the order.
        device: where batches go.

    Raises:
        DataError: no slices, a damaged file, slices on another grid, a patient in two splits.
    """

    def __init__(
        self,
        folder: Path | str,
        card: Card,
        *,
        split: str | None = "train",
        fold: tuple[int, int] = (0, 0),
        seed: int = 0,
        device: torch.device | str = "cpu",
    ) -> None:
        folder = Path(folder)
        same_grid(folder, card)
        about = {path: about_slices(path) for path in sorted(folder.glob("*.safetensors")) if not is_partial(path)}
        for a in about.values():
            a["split"] = refolded(a["split"], a["patient"], fold)
        names = {a["split"] for a in about.values()}
        check_apart({name: {a["patient"] for a in about.values() if a["split"] == name} for name in names})
        chosen = [path for path, a in about.items() if split in (None, a["split"])]
        if not chosen:
            raise DataError(f"{folder}: holds {len(about)} scans, none of split {split}; run prepare on more patients")
        self.patients = sorted({about[path]["patient"] for path in chosen})
        self._places = [(path, k) for path in chosen for k in range(int(about[path]["slices"]))]
        self._files = {path: safe_open(str(path), "pt") for path in chosen}
        self._held = {path: set(file.keys()) for path, file in self._files.items()}
        self._seed, self._device = seed, torch.device(device)

    def __len__(self) -> int:
        return len(self._places)

    @property
    def paired(self) -> bool:
        """Whether every slice has the physics frame of its pose."""
        return all("physics" in held for held in self._held.values())

    def batch(self, indices: Sequence[int], epoch: int = 0) -> CtBatch:
        order = np.random.default_rng([self._seed, epoch]).permutation(len(self))
        places = [self._places[order[index % len(self)]] for index in indices]
        fields: dict[str, Tensor | None] = {}
        for name, kind in _STORED.items():
            held = all(name in self._held[path] for path, _ in places)
            stack = torch.stack([self._files[path].get_slice(name)[k] for path, k in places]) if held else None
            wide = (stack is not None and kind in (torch.int16, torch.float16)) or name == "physics"
            fields[name] = stack.float() if stack is not None and wide else stack
        return CtBatch(**fields).to(self._device)  # type: ignore[arg-type]


def _in_order(data: bytes) -> bytes:
    """The same safetensors file with its metadata sorted: the library writes them in an order of chance."""
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + data[8 + size :]
