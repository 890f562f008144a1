"""The reference segmenter: it learns, answers on its grid, and is read again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from scyclegan_train.data.samples import UsBatch
from scyclegan_train.evaluation import reference_segmenter
from scyclegan_train.evaluation.reference_segmenter import ReferenceSegmenter, open_reference, shrunk, train
from scyclegan_train.method import feeding
from scyclegan_train.method.networks import segmenter


def quiet(line: str) -> None:
    del line


def test_it_learns_what_is_bright() -> None:
    grey = torch.full((8, 16, 16), 60.0) + 5 * torch.randn(8, 16, 16, generator=torch.Generator().manual_seed(0))
    tissue = torch.zeros(8, 16, 16, dtype=torch.uint8)
    for i in range(8):
        tissue[i, 2 * (i % 3) : 2 * (i % 3) + 8, 4:12] = 1
    grey[tissue == 1] += 80
    fan = torch.ones(16, 16, dtype=torch.bool)
    torch.manual_seed(0)
    network = segmenter(reference_segmenter.LINES, 0.1)
    train(
        network,
        feeding.us_image(grey),
        tissue,
        fan.expand(8, -1, -1),
        60,
        quiet,
    )
    with torch.no_grad():
        found = network(feeding.us_image(grey)).argmax(dim=1)
    assert (found == tissue).float().mean() > 0.95


def test_classes_and_features_lie_on_the_reference_segmenters_grid() -> None:
    reference = ReferenceSegmenter(segmenter(reference_segmenter.LINES, 0.05))
    frames = np.random.default_rng(0).uniform(0, 255, (2, 512, 192))
    tissue = np.arange(512 * 192, dtype=np.int64).reshape(1, 512, 192)
    assert reference.classes(frames).shape == (2, 128, 96) == (2, *shrunk(tissue).shape[1:])
    assert shrunk(tissue)[0, 0, 0] == 2 * 192 + 1  # the middle of the 4 × 2 samples that are averaged
    where = np.ones((2, 512, 192), bool)
    where[1, :, :96] = False
    full, half = reference.features(frames, where)
    assert len(full) == 12
    assert len(half) == 4  # of 3 columns, only the right one counts for the most part


def test_it_is_trained_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def frames(cases: object, count: int, *_: object, **__: object) -> UsBatch:
        tissue, known = torch.zeros(count, 64, 32, dtype=torch.uint8), torch.ones(count, dtype=torch.bool)
        return UsBatch(torch.zeros(count, 64, 32), tissue, known, tissue == 0, torch.zeros(count))

    monkeypatch.setattr(reference_segmenter, "physics_frames", frames)
    first = open_reference(tmp_path, 2, 4, quiet)
    monkeypatch.setattr(reference_segmenter, "physics_frames", None)
    again = open_reference(tmp_path, 2, 4, quiet)
    x = torch.randn(1, 3, 16, 16)
    torch.testing.assert_close(first.network(x), again.network(x), rtol=0, atol=0)
