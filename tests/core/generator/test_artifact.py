"""Generator files: written and read to the same output, refused by name when anything is wrong with them."""

from __future__ import annotations

import hashlib
import json
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from us_sim.core.errors import ArtifactError
from us_sim.core.generator.artifact import build, load_generator, save_generator
from us_sim.core.generator.card import Card
from us_sim.core.generator.unet import UNet
from us_sim.core.geometry.probe import ProbeGeometry, ProbeKind

PROBE = ProbeGeometry(ProbeKind.CONVEX, 120.0, 50.0, 1.0, width=32, height=32, scan_lines=16, samples=32)
CARDS = [
    Card(PROBE, width=0.0625),
    Card(PROBE, width=0.0625, norm="batch", encoding="rich", grid="polar", windows=((-150.0, 250.0), (-1e3, 1e3))),
]
Weights = dict[str, Tensor]


def network_of(card: Card) -> UNet:
    torch.manual_seed(1)
    network = build(card)
    with torch.inference_mode():  # statistics other than 0 and 1
        network(torch.randn(4, card.channels, 32, 32))
    return network.eval()


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "liver.safetensors"
    save_generator(path, network_of(CARDS[0]), CARDS[0])
    return path


def rewrite(path: Path, change: Callable[[Weights], Weights], card: str | None = None) -> None:
    save_file(change(load_file(path)), path, metadata={"card": card or CARDS[0].to_json()})


# -- round trip ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("card", CARDS, ids=["paper", "rich"])
def test_saved_and_loaded_it_draws_the_same(tmp_path: Path, card: Card) -> None:
    network = network_of(card)
    path = tmp_path / "model-3.safetensors"
    save_generator(path, network, card)
    loaded = load_generator(path)
    x = torch.randn(2, card.channels, *card.size)
    with torch.inference_mode():
        assert torch.equal(loaded.network(x), network(x))
    assert loaded.card == card
    assert loaded.name == "model-3"
    assert loaded.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert loaded.device == torch.device("cpu")
    assert not loaded.network.training
    assert not any(p.requires_grad for p in loaded.network.parameters())
    assert [p.name for p in tmp_path.iterdir()] == ["model-3.safetensors"]  # nothing half written stays


def test_a_file_that_begins_like_a_pickle_is_read(tmp_path: Path) -> None:
    """The first byte is that of the header's length, a multiple of 8: one of 32 files begins with 0x80."""
    path = tmp_path / "g.safetensors"
    for spaces in range(0, 256, 8):
        save_generator(path, network_of(CARDS[0]), replace(CARDS[0], git_commit=" " * spaces))
        if path.read_bytes()[:1] == b"\x80":
            break
    assert path.read_bytes()[:1] == b"\x80"
    assert load_generator(path).card.git_commit == " " * spaces


def test_saving_twice_gives_the_same_file(tmp_path: Path) -> None:
    for name in "ab":
        save_generator(tmp_path / name, network_of(CARDS[0]), CARDS[0])
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_home_is_expanded(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(saved.parent))
    assert load_generator("~/liver.safetensors").name == "liver"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_cuda_draws_what_the_cpu_draws(saved: Path) -> None:
    x = torch.randn(2, 4, 32, 32)
    on_cuda = load_generator(saved, "cuda:0")
    assert on_cuda.device.type == "cuda"
    with torch.inference_mode():
        drawn = on_cuda.network(x.cuda()).cpu()
        torch.testing.assert_close(drawn, load_generator(saved).network(x), atol=5e-3, rtol=0)


# -- refusals --------------------------------------------------------------------------------------------


def refused(path: Path, message: str) -> None:
    with pytest.raises(ArtifactError, match=message) as caught:
        load_generator(path)
    assert str(caught.value).startswith(f"{path}: ")


def test_missing_file(tmp_path: Path) -> None:
    refused(tmp_path / "none.safetensors", "no such file; give the path of a .safetensors generator")
    refused(tmp_path, "no such file")  # a folder


def test_pickles_are_refused_without_being_loaded(tmp_path: Path) -> None:
    fired = tmp_path / "fired"

    class Bomb:
        def __reduce__(self) -> tuple[Callable[..., None], tuple[Path]]:
            return Path.touch, (fired,)

    zipped, legacy, plain = (tmp_path / name for name in ("zip.pt", "legacy.pt", "plain.safetensors"))
    torch.save({"weights": Bomb()}, zipped)
    torch.save({"weights": Bomb()}, legacy, _use_new_zipfile_serialization=False)
    plain.write_bytes(pickle.dumps(Bomb()))
    for path in (zipped, legacy, plain):
        refused(path, "a pickle or PyTorch checkpoint, .*; export the generator to .safetensors")
    assert not fired.exists()


@pytest.mark.parametrize("kept", [0, 1, 7, 8, 100, 0.5, 0.999, -1])
def test_truncated_files(saved: Path, kept: float) -> None:
    data = saved.read_bytes()
    saved.write_bytes(data[: int(kept * len(data)) if 0 < kept < 1 else int(kept)])
    refused(saved, r"not a whole safetensors file \(.*\); export or copy it again")


@pytest.mark.parametrize(
    "content",
    [b"not a generator", b"\xff" * 64, (2**62).to_bytes(8, "little") + b"{}", bytes(8), b"\x02" + bytes(7) + b"{}"],
)
def test_other_files(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "other.safetensors"
    path.write_bytes(content)
    refused(path, "not a whole safetensors file|holds no card")


def test_no_card(saved: Path) -> None:
    weights = load_file(saved)
    for metadata in (None, {}, {"format": "pt"}):
        save_file(weights, saved, metadata=metadata)
        refused(saved, "holds no card; only files written by this project's export can be used")


def changed_card(**changes: object) -> str:
    return json.dumps({**json.loads(CARDS[0].to_json()), **changes})


@pytest.mark.parametrize(
    ("card", "message"),
    [
        ("{", "card: Expecting property name"),
        ("{}", "card: field 'probe' is missing; export the generator again"),
        (changed_card(flavour=3), r"card: unknown fields \['flavour'\]; written by a newer version"),
        (changed_card(format_version=9), "card: format_version is 9; expected 1"),
        (changed_card(norm="layer"), "card: norm is 'layer'; expected one of instance, batch"),
    ],
)
def test_bad_cards(saved: Path, card: str, message: str) -> None:
    rewrite(saved, lambda weights: weights, card)
    refused(saved, message)


def test_weights_that_do_not_fit_the_card(saved: Path) -> None:
    rewrite(saved, lambda w: w, replace(CARDS[0], width=0.125).to_json())
    refused(saved, r"weight .* has shape \(.*\); the card asks for \(.*\)")
    rewrite(saved, lambda w: w, replace(CARDS[0], encoding="rich").to_json())
    refused(saved, r"weight down.0.0.weight has shape \(4, 4, 3, 3\); the card asks for \(4, 6, 3, 3\)")
    rewrite(saved, lambda w: w, replace(CARDS[0], norm="batch").to_json())
    refused(saved, r"weights do not fit the card: missing \[.*running_mean.*\], unexpected \[.*bias'")


def test_missing_and_surplus_weights(saved: Path) -> None:
    rewrite(saved, lambda w: {k: v for k, v in w.items() if k != "head.bias"})
    refused(saved, r"weights do not fit the card: missing \['head.bias'\], unexpected \[\]")
    save_generator(saved, network_of(CARDS[0]), CARDS[0])
    rewrite(saved, lambda w: {**w, "tail.bias": torch.zeros(3)})
    refused(saved, r"weights do not fit the card: missing \[\], unexpected \['tail.bias'\]")


def test_wrong_shape(saved: Path) -> None:
    rewrite(saved, lambda w: {**w, "head.bias": torch.zeros(4)})
    refused(saved, r"weight head.bias has shape \(4,\); the card asks for \(3,\)")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_weights_that_are_not_finite(saved: Path, value: float) -> None:
    rewrite(saved, lambda w: {**w, "head.bias": torch.tensor([0, value, 0])})
    refused(saved, "weight head.bias holds NaN or Inf; export the generator again")


@pytest.mark.parametrize("kind", ["complex64", "int8", "bool", "uint8", "int64"])
def test_weights_that_are_no_real_numbers_are_refused(saved: Path, kind: str) -> None:
    rewrite(saved, lambda weights: {**weights, "head.bias": weights["head.bias"].to(getattr(torch, kind))})
    refused(saved, f"weight head.bias is {kind}; expected float32 or float16")


def test_a_card_nested_200000_deep_is_refused(saved: Path) -> None:
    rewrite(saved, lambda weights: weights, card="[" * 200_000)
    refused(saved, "card: .*; export the generator again")
