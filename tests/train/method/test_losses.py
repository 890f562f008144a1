"""Each loss against a few lines of NumPy, and what masked pixels may not do."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from torch import Tensor

from scyclegan_train.method import losses
from scyclegan_train.method.image_pool import ImagePool

Array = NDArray[Any]
RNG = np.random.default_rng(0)


def drawn(*shape: int) -> tuple[Tensor, Array]:
    values = RNG.standard_normal(shape)
    return torch.from_numpy(values), values


def where(batch: int, height: int, width: int) -> tuple[Tensor, Array]:
    mask = RNG.random((batch, height, width)) < 0.6
    return torch.from_numpy(mask), mask


def one_hot(batch: int, classes: int, height: int, width: int) -> tuple[Tensor, Array]:
    hot = np.eye(classes)[RNG.integers(0, classes, (batch, height, width))].transpose(0, 3, 1, 2)
    return torch.from_numpy(np.ascontiguousarray(hot)), hot


def mean_by_sample(values: Array, mask: Array) -> float:
    return float(np.mean([v[:, m].mean() if m.any() else 0.0 for v, m in zip(values, mask, strict=True)]))


def test_a_weighted_sum_refuses_a_loss_that_nobody_weighed() -> None:
    found = {"pair": torch.tensor(2.0), "cycle": torch.tensor(3.0)}
    assert float(losses.weighted_sum(found, {"pair": 10.0, "cycle": 0.5, "absent": 7.0})) == 21.5
    with pytest.raises(ValueError, match=r"losses \['cycle'\] have no weight; expected some of \['pair'\]"):
        losses.weighted_sum(found, {"pair": 1.0})


def test_l1_is_the_mean_over_counted_pixels() -> None:
    (a, na), (b, nb), (w, nw) = drawn(3, 2, 6, 5), drawn(3, 2, 6, 5), where(3, 6, 5)
    assert float(losses.l1(a, b, w)) == pytest.approx(mean_by_sample(abs(na - nb), nw))


def test_a_sample_of_which_nothing_counts_adds_nothing() -> None:
    (a, na), (b, nb), (w, nw) = drawn(2, 1, 4, 4), drawn(2, 1, 4, 4), where(2, 4, 4)
    w[1], nw[1] = False, False
    assert float(losses.l1(a, b, w)) == pytest.approx(abs(na - nb)[0, 0][nw[0]].mean() / 2)


@pytest.mark.parametrize("real", [True, False])
def test_adversarial_losses_weigh_patches_by_what_counts_in_them(real: bool) -> None:
    (logits, n), (w, nw) = drawn(2, 1, 3, 3), where(2, 12, 12)
    weight = nw.reshape(2, 3, 4, 3, 4).mean(axis=(2, 4))
    vanilla = np.log1p(np.exp(-n if real else n))[:, 0]
    squares = ((n - real) ** 2)[:, 0]
    for kind, each in (("vanilla", vanilla), ("lsgan", squares)):
        expected = np.mean([(e * k).sum() / k.sum() for e, k in zip(each, weight, strict=True)])
        assert float(losses.adversarial(kind, logits, real, w)) == pytest.approx(expected)


def test_vanilla_is_equation_1() -> None:
    """A discriminator minimises −log D(y) − log(1 − D(G(x)))."""
    (a, na), (b, nb) = drawn(1, 1, 2, 2), drawn(1, 1, 2, 2)
    everywhere = torch.ones(1, 8, 8, dtype=torch.bool)
    found = losses.adversarial("vanilla", a, True, everywhere) + losses.adversarial("vanilla", b, False, everywhere)
    d = 1 / (1 + np.exp(-na)), 1 / (1 + np.exp(-nb))
    assert float(found) == pytest.approx(-np.log(d[0]).mean() - np.log(1 - d[1]).mean())


def test_cross_entropy_is_equation_3() -> None:
    (logits, n), (mask, hot), (w, nw) = drawn(2, 4, 5, 5), one_hot(2, 4, 5, 5), where(2, 5, 5)
    p = np.exp(n) / np.exp(n).sum(axis=1, keepdims=True)
    each = -(hot * np.log(p)).sum(axis=1, keepdims=True)
    assert float(losses.cross_entropy(logits, mask, w)) == pytest.approx(mean_by_sample(each, nw))


def test_dice_is_equation_4() -> None:
    (logits, n), (mask, hot), (w, nw) = drawn(2, 4, 5, 5), one_hot(2, 4, 5, 5), where(2, 5, 5)
    p = np.exp(n) / np.exp(n).sum(axis=1, keepdims=True)
    k = nw[:, None]
    overlap, total = (p * hot * k).sum(axis=(2, 3)), ((p + hot) * k).sum(axis=(2, 3))
    expected = 1 - (2 * overlap + 1) / (total + 1)
    assert float(losses.dice(logits, mask, w)) == pytest.approx(expected.mean())


def test_a_perfect_segmentation_costs_nothing() -> None:
    mask, _ = one_hot(1, 3, 8, 8)
    everywhere = torch.ones(1, 8, 8, dtype=torch.bool)
    assert float(losses.segmentation(100 * mask, mask, everywhere)) == pytest.approx(0, abs=1e-6)


def test_segmentation_of_a_frame_without_mask_is_zero_and_passes_no_gradient() -> None:
    logits, (mask, _) = drawn(1, 3, 8, 8)[0].requires_grad_(), one_hot(1, 3, 8, 8)
    loss = losses.segmentation(logits, mask, torch.zeros(1, 8, 8, dtype=torch.bool))
    loss.backward()
    assert float(loss.detach()) == 0
    assert logits.grad is not None
    assert not logits.grad.any()


@pytest.mark.parametrize("loss", ["l1", "adversarial", "segmentation", "pair"])
def test_pixels_that_do_not_count_get_no_gradient(loss: str) -> None:
    image, (w, nw) = drawn(2, 3, 8, 8)[0].requires_grad_(), where(2, 8, 8)
    other, (mask, _) = drawn(2, 3, 8, 8)[0], one_hot(2, 3, 8, 8)
    {
        "l1": lambda: losses.l1(image, other, w),
        "adversarial": lambda: losses.adversarial("lsgan", losses.masked(image, w), True, w),
        "segmentation": lambda: losses.segmentation(image, mask, w),
        "pair": lambda: losses.pair(image, other, w, 1.0),
    }[loss]().backward()
    assert image.grad is not None
    assert not image.grad.numpy().transpose(0, 2, 3, 1)[~nw].any()
    assert image.grad.numpy().transpose(0, 2, 3, 1)[nw].any()


def test_blur_is_a_gaussian() -> None:
    image, n = drawn(1, 2, 20, 16)
    expected = np.stack([gaussian_filter(one, 1.5, mode="nearest", radius=round(4.5)) for one in n[0]])
    np.testing.assert_allclose(losses.blurred(image, 1.5)[0], expected, rtol=1e-5, atol=1e-6)
    assert losses.blurred(image, 0.0) is image


def test_the_pair_loss_is_free_in_speckle_and_strict_in_place() -> None:
    everywhere = torch.ones(1, 32, 32, dtype=torch.bool)
    edge = torch.zeros(1, 1, 32, 32)
    edge[..., 16:] = 1
    speckle = edge + 0.5 * torch.from_numpy(RNG.choice([-1.0, 1.0], (1, 1, 32, 32))).float()
    moved = edge.roll(6, dims=-1)
    assert losses.pair(edge, speckle, everywhere, 2.0) < 0.5 * losses.pair(edge, moved, everywhere, 2.0)
    assert float(losses.pair(edge, edge, everywhere, 2.0)) == 0


def frames(*values: float) -> tuple[Tensor, Tensor]:
    image = torch.tensor(values)[:, None, None, None].expand(-1, 3, 2, 2)
    return image, image[:, 0] > 0


def test_the_pool_gives_back_each_fake_with_its_own_pixels() -> None:
    pool = ImagePool(3, torch.Generator().manual_seed(0))
    assert torch.equal(pool.exchange(*frames(1, 2, 3))[0], frames(1, 2, 3)[0])  # it fills
    held, seen = {1.0, 2.0, 3.0}, []
    for value in range(4, 60):
        sign = -1 if value % 2 else 1
        image, where = pool.exchange(*frames(sign * value))
        out = float(image[0, 0, 0, 0])
        assert bool((where == (out > 0)).all())
        assert out in held | {sign * value}
        seen.append(out == sign * value)
        held = (held | {float(sign * value)}) - {out}
    assert len(held) == 3
    assert 0.3 < np.mean(seen) < 0.7  # each is new half of the time


def test_the_pool_goes_on_from_its_state() -> None:
    first = ImagePool(2, torch.Generator().manual_seed(1))
    first.exchange(*frames(1, 2, 3, 4))
    random = torch.Generator()
    random.set_state(first._random.get_state())
    second = ImagePool(2, random)
    second.load_state(first.state(), torch.device("cpu"))
    for value in (5, 6, 7):
        assert torch.equal(first.exchange(*frames(value))[0], second.exchange(*frames(value))[0])


def test_a_pool_of_none_hands_everything_through() -> None:
    image, where = frames(1, 2)
    assert ImagePool(0, torch.Generator()).exchange(image, where)[0] is image
