"""Frames altered as scanners and people alter them."""

from __future__ import annotations

import torch

from scyclegan_train.method import appearance as module
from scyclegan_train.method.appearance import appearance


def altered(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    ramp = torch.linspace(-0.8, 0.8, 96).expand(4, 3, 128, 96)
    return ramp, appearance(ramp, torch.Generator().manual_seed(seed))


def test_the_same_seed_alters_alike_and_another_does_not() -> None:
    before, once = altered(3)
    assert torch.equal(once, altered(3)[1])
    assert not torch.equal(once, altered(4)[1])
    assert (once - before).abs().mean() > 0.02


def test_grey_stays_grey_and_in_range_and_bright_stays_brighter() -> None:
    _, after = altered(5)
    assert after.shape == (4, 3, 128, 96)
    assert torch.equal(after[:, 0], after[:, 2])
    assert -1 <= float(after.min()) <= float(after.max()) <= 1
    assert (after[:, 0, :, 64:].mean(dim=(1, 2)) > after[:, 0, :, :32].mean(dim=(1, 2))).all()


def test_what_is_burnt_in_is_white_and_small() -> None:
    written = module._writing(torch.Size((200, 1, 128, 96)), torch.Generator().manual_seed(0))
    assert set(written.unique().tolist()) == {0.0, 1.0}
    marked = written.flatten(1).sum(dim=1)
    assert 0.25 < float((marked > 0).float().mean()) < 0.45  # WRITTEN, less boxes without a dot
    assert float(marked.max()) <= module.LETTERS[0] * module.LETTERS[1]
