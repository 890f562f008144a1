"""One launch for a whole frame: what is copied where. The graph is a pretended one: it runs its work again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from us_sim.core.compute import graphs
from us_sim.core.compute.graphs import Graphs, Packed, recording

CPU = torch.device("cpu")


class Pretended:
    """Counts recordings and replays."""

    def __init__(self) -> None:
        self.recorded = self.replayed = 0

    def __call__(self, draw: Callable[[], None], device: torch.device) -> Callable[[], None]:
        assert recording.get()
        self.recorded += 1
        draw()

        def replay() -> None:
            self.replayed += 1
            draw()

        return replay


def work(kind: Any, a: Tensor, b: Tensor | None) -> list[Tensor | None]:
    return [(a * kind).to(torch.uint8), None if b is None else b + 1, a.double() if b is None else None]


def test_tensors_in_one_buffer() -> None:
    like = [torch.zeros(3, dtype=torch.uint8), None, torch.zeros(2, 2, dtype=torch.float64), torch.zeros(0)]
    packed = Packed(like, CPU)
    assert packed.buffer.shape == (16 + 32,)
    packed.fill([torch.tensor([1, 2, 3], dtype=torch.uint8), None, torch.full((2, 2), 0.5).double(), torch.zeros(0)])
    assert packed.parts[1] is None
    np.testing.assert_array_equal(packed.buffer[:3].numpy(), [1, 2, 3])
    np.testing.assert_array_equal(packed.buffer[16:].numpy().view(np.float64), [0.5] * 4)


def test_one_recording_for_each_kind_and_shape() -> None:
    pretended = Pretended()
    run = Graphs(work, CPU, pretended)
    for kind in (2, 3, 2):
        for size in (1, 4):
            a, b = torch.arange(size, dtype=torch.float32), torch.ones(size, 2)
            tripled, more, none = run(kind, a, b)
            np.testing.assert_array_equal(tripled, kind * np.arange(size))
            np.testing.assert_array_equal(more, 2 * np.ones((size, 2)))
            assert none is None
    one, nothing, same = run(2, torch.ones(4), None)
    assert (one.tolist(), nothing, same.dtype) == ([2] * 4, None, np.float64)  # type: ignore[union-attr]
    assert (pretended.recorded, pretended.replayed) == (5, 7)


def test_results_are_the_callers_own() -> None:
    run = Graphs(work, CPU, Pretended())
    first = run(1, torch.full((2,), 5.0), None)[0]
    run(1, torch.full((2,), 7.0), None)
    assert first.tolist() == [5, 5]  # type: ignore[union-attr]


def test_beyond_the_most_graphs_it_runs_without(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graphs, "MOST", 1)
    pretended = Pretended()
    run = Graphs(work, CPU, pretended)
    for size in (1, 2, 1):
        shown = run(2, torch.ones(size), torch.ones(size))
        np.testing.assert_array_equal(shown[0], [2] * size)
    assert (pretended.recorded, pretended.replayed) == (1, 2)


def test_a_failed_recording_leaves_nothing_behind() -> None:
    def fails(draw: Callable[[], None], device: torch.device) -> Callable[[], None]:
        raise torch.cuda.OutOfMemoryError("CUDA out of memory.")

    run = Graphs(work, CPU, fails)
    for _ in range(2):
        with pytest.raises(torch.cuda.OutOfMemoryError):
            run(1, torch.ones(2), None)
        assert not recording.get()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_on_a_gpu() -> None:
    run = Graphs(work, torch.device("cuda:0"))
    for size in (3, 5, 3):
        given = torch.arange(size, dtype=torch.float32)
        np.testing.assert_array_equal(run(2, given, None)[0], 2 * np.arange(size))
