# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""A network's file: weights and card in one safetensors file, never a pickle."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from us_sim.core.errors import ArtifactError
from us_sim.core.files import atomic_write
from us_sim.core.generator import out_of_distribution, uncertainty
from us_sim.core.generator.backend import GeneratorBackend, TorchBackend
from us_sim.core.generator.card import RELATIVE, SPECKLE, Card
from us_sim.core.generator.out_of_distribution import TrainingStatistics
from us_sim.core.generator.uncertainty import ErrorHeads
from us_sim.core.generator.unet import Norm, UNet
from us_sim.core.user_files import home

STATISTICS, HEADS = "training_statistics.", "error_heads."  # begin the names of tensors that are no weights
WEIGHTS = (torch.float32, torch.float16, torch.bfloat16, torch.float64)  # types that torch may read as float32


@dataclass(frozen=True, eq=False)
class Generator:
    """A trained generator, ready to run on one device.

    Attributes:
        network: in single precision, as it was trained.
        card: its model card.
        name: what the user calls it.
        sha256: of its file.
        backend: what runs the network.
        file: where it was read from; None if it was made in memory.
        statistics: of the slices it was trained on; None: not known.
        heads: that tell its error pixel by pixel; None: not known.
    """

    network: UNet
    card: Card
    name: str
    sha256: str
    backend: GeneratorBackend
    file: Path | None = None
    statistics: TrainingStatistics | None = None
    heads: ErrorHeads | None = None

    @property
    def device(self) -> torch.device:
        """Where it wants its input."""
        return self.backend.device


def build(card: Card) -> UNet:
    """Return the untrained network that a card describes."""
    norm, relative = cast(Norm, card.norm), card.architecture == RELATIVE
    if card.kind in ("segmenter", "ct_segmenter"):
        return UNet(card.channels, len(card.classes), card.width, norm, bounded=False, relative=relative)
    speckle = len(card.windows) if card.architecture == SPECKLE else None
    return UNet(card.channels, width=card.width, norm=norm, relative=relative, speckle=speckle, fold=card.fold)


def save_generator(
    path: str | Path,
    network: UNet,
    card: Card,
    statistics: TrainingStatistics | None = None,
    heads: ErrorHeads | None = None,
) -> None:
    """Write weights and card of a generator, or of a segmenter; the file appears whole or not at all."""
    target = Path(path)
    told = {STATISTICS + name: value for name, value in vars(statistics).items()} if statistics else {}
    told |= {HEADS + name: value for name, value in vars(heads).items()} if heads else {}
    weights = {name: value.detach().cpu().contiguous() for name, value in {**network.state_dict(), **told}.items()}
    with atomic_write(target) as partial:
        save_file(weights, partial, metadata={"card": card.to_json()})
        partial.chmod(0o644)  # the library leaves it readable to its owner alone, but artifacts are shared


def load_generator(path: str | Path, device: torch.device | str = "cpu") -> Generator:
    """Read a generator; PyTorch runs it, the reference.

    Args:
        path: a `.safetensors` file that `save_generator` wrote.
        device: where it shall run.

    Raises:
        ArtifactError: naming the file and what is wrong: missing, pickle, truncated, no card, a bad card, or
            weights that do not fit the card.
    """
    file = home(path)
    network, card, digest, told = _loaded(file, "generator")
    backend = TorchBackend(network.to(device), torch.device(device))
    return Generator(network, card, file.stem, digest, backend, file, *_read_told(file, told, network))


def load_network(file: Path, kind: str) -> tuple[UNet, Card, str]:
    """Read a network of a card's kind; return it with its card and the SHA-256 of the file.

    Raises:
        ArtifactError: as `load_generator`, or the file holds a network of another kind.
    """
    return _loaded(file, kind)[:3]


def _loaded(file: Path, kind: str) -> tuple[UNet, Card, str, dict[str, Tensor]]:
    """The same, and the tensors that are no weights."""
    tensors, card = _read(file, kind)
    if card.kind != kind:
        raise ArtifactError(f"{file}: holds a {card.kind}; expected a {kind}, as the trainer's export writes it")
    network = build(card)
    told = {name: tensors.pop(name) for name in list(tensors) if name.startswith((STATISTICS, HEADS))}
    _check_weights(file, tensors, network.state_dict())
    network.load_state_dict(tensors)
    network.eval().requires_grad_(False)
    return network, card, hashlib.sha256(file.read_bytes()).hexdigest(), told


def _read_told(
    file: Path, told: dict[str, Tensor], network: UNet
) -> tuple[TrainingStatistics | None, ErrorHeads | None]:
    """What a generator's file tells besides the weights."""
    statistics, heads = (
        {name.removeprefix(start): value for name, value in told.items() if name.startswith(start)}
        for start in (STATISTICS, HEADS)
    )
    try:
        return (
            out_of_distribution.from_tensors(statistics) if statistics else None,
            uncertainty.from_tensors(heads, network.head.in_channels) if heads else None,
        )
    except ArtifactError as error:
        raise ArtifactError(f"{file}: {error}") from error


def read_card(path: str | Path) -> Card:
    """Return what a network's file says of itself, of whatever kind it is.

    Raises:
        ArtifactError: as `load_generator`.
    """
    return _read(home(path), "network")[1]


def _read(file: Path, kind: str) -> tuple[dict[str, Tensor], Card]:
    if "\0" in str(file) or not file.is_file():
        raise ArtifactError(f"{file}: no such file; give the path of a .safetensors {kind}")
    with file.open("rb") as stream:
        start = stream.read(9)  # of a safetensors file: the header's length, which may begin as pickles do, and "{"
    if start[8:] != b"{" and (start[:2] == b"PK" or start[:1] == b"\x80"):
        raise ArtifactError(
            f"{file}: a pickle or PyTorch checkpoint, which may run code when loaded; export the {kind} to .safetensors"
        )
    try:
        with safe_open(file, framework="pt") as content:
            text = (content.metadata() or {}).get("card")
            weights = {name: content.get_tensor(name) for name in content.keys()}  # noqa: SIM118, not a dict
    except (SafetensorError, OSError) as error:
        raise ArtifactError(f"{file}: not a whole safetensors file ({error}); export or copy it again") from error
    if text is None:
        raise ArtifactError(f"{file}: holds no card; only files written by this project's export can be used")
    try:
        return weights, Card.from_json(text)
    except ArtifactError as error:
        raise ArtifactError(f"{file}: {error}") from error


def _check_weights(file: Path, found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    missing, surplus = expected.keys() - found.keys(), found.keys() - expected.keys()
    if missing or surplus:
        raise ArtifactError(
            f"{file}: weights do not fit the card: missing {sorted(missing)[:3]}, unexpected {sorted(surplus)[:3]}"
        )
    for name, value in found.items():
        if value.shape != expected[name].shape:
            raise ArtifactError(
                f"{file}: weight {name} has shape {tuple(value.shape)}; the card asks for {tuple(expected[name].shape)}"
            )
        if value.dtype not in (WEIGHTS if expected[name].is_floating_point() else (expected[name].dtype,)):
            raise ArtifactError(
                f"{file}: weight {name} is {str(value.dtype).removeprefix('torch.')}; expected float32 or float16, as "
                "the trainer's export writes them"
            )
        if not value.isfinite().all():
            raise ArtifactError(f"{file}: weight {name} holds NaN or Inf; export the generator again")
