"""Frames altered as scanners and people alter them."""

from __future__ import annotations

import numpy as np
import torch
from scipy.ndimage import gaussian_filter

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


def test_each_frame_is_blurred_by_its_own_amount() -> None:
    image = torch.rand((2, 1, 40, 30), generator=torch.Generator().manual_seed(1))
    found = module._blurred(image, torch.tensor([[1.5, 0.7], [0.0, 0.0]]))
    expected = gaussian_filter(image[0, 0].numpy(), (1.5, 0.7), mode="nearest", radius=module.TAPS)
    np.testing.assert_allclose(found[0, 0].numpy(), expected, atol=1e-5)
    torch.testing.assert_close(found[1], image[1])


def test_what_is_burnt_in_is_white_and_small() -> None:
    written = module._writing(torch.Size((200, 1, 128, 96)), torch.Generator().manual_seed(0))
    assert set(written.unique().tolist()) == {0.0, 1.0}
    marked = written.flatten(1).sum(dim=1)
    assert 0.25 < float((marked > 0).float().mean()) < 0.45  # WRITTEN, less boxes without a dot
    assert float(marked.max()) <= module.LETTERS[0] * module.LETTERS[1]
