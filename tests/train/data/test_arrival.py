"""Copies to a GPU, played by the CPU: what is sent, waited for and kept, and in which order."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
from tests.train.synthetic import TinyCt, TinyUs
from tests.train.tiny import tiny_card

from scyclegan_train.data.arrival import Batches, on_device
from scyclegan_train.data.samples import CtBatch

CARD = tiny_card()


def given(count: int) -> Iterator[Batches]:
    return ((TinyCt(CARD).batch([i]), TinyUs(CARD).batch([i])) for i in range(count))


def test_without_a_gpu_batches_pass_in_their_order() -> None:
    found = list(on_device(given(3), torch.device("cpu")))
    assert len(found) == 3
    assert all(torch.equal(ct.hu, wanted.hu) for (ct, _), (wanted, _) in zip(found, given(3), strict=True))


class Stream:
    """Notes what is asked of it."""

    def __init__(self, name: str, told: list[str]) -> None:
        self.name, self.told, self.events = name, told, 0

    def record_event(self) -> str:
        self.events += 1
        self.told.append(f"sent {self.events}")
        return f"event {self.events}"

    def wait_event(self, event: str) -> None:
        self.told.append(f"{self.name} waits for {event}")


def test_a_batch_is_sent_before_the_one_ahead_of_it_is_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    computing = Stream("computing", told)
    kept: list[object] = []

    @contextmanager
    def within(stream: Stream) -> Iterator[None]:
        assert stream.name == "copies"
        yield

    monkeypatch.setattr(torch.cuda, "Stream", lambda device: Stream("copies", told))
    monkeypatch.setattr(torch.cuda, "stream", within)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: computing)
    monkeypatch.setattr(CtBatch, "to", lambda batch, device: batch)
    monkeypatch.setattr("scyclegan_train.data.samples.UsBatch.to", lambda batch, device: batch)
    monkeypatch.setattr(torch.Tensor, "record_stream", lambda value, stream: kept.append(stream))
    for step, _ in enumerate(on_device(given(3), torch.device("cuda")), 1):
        told.append(f"step {step}")
    assert told == [
        "sent 1", "sent 2", "computing waits for event 1", "step 1", "sent 3", "computing waits for event 2", "step 2",
        "computing waits for event 3", "step 3",
    ]  # fmt: skip
    assert set(kept) == {computing}
    assert len(kept) == 3 * (6 + 5)  # every tensor of both domains, three times
