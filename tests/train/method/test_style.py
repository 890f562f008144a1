"""The fixed filters, the style distance, crops and the discriminator by filters."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor

from scyclegan_train.method.crops import SIDE, random_crops
from scyclegan_train.method.filter_bank import CHANNELS, FilterBank, kernels
from scyclegan_train.method.networks import FilterDiscriminator
from scyclegan_train.method.style import StyleDistance

HEIGHT, WIDTH = 96, 48


def speckle(grain: float, seed: int, gain: float = 0.2) -> Tensor:
    """(2, 3, H, W) noise of one grain and standard deviation."""
    noise = np.random.default_rng(seed).standard_normal((2, 1, HEIGHT, WIDTH))
    smooth = gaussian_filter(noise, (0, 0, grain, grain)) if grain else noise
    return torch.from_numpy(gain * smooth / smooth.std()).float().expand(-1, 3, -1, -1)


def everywhere() -> Tensor:
    return torch.ones(2, HEIGHT, WIDTH, dtype=torch.bool)


def distance(a: Tensor, b: Tensor, where: Tensor | None = None) -> float:
    where = everywhere() if where is None else where
    return float(StyleDistance()(a, where, b, where, torch.Generator().manual_seed(0)).detach())


def test_filters_have_no_mean_and_unit_norm() -> None:
    bank = kernels()[:, 0].double()
    assert bank.shape == (CHANNELS, 13, 13)
    np.testing.assert_allclose(bank[1:].sum(dim=(1, 2)), 0, atol=1e-6)
    np.testing.assert_allclose(bank[1:].square().sum(dim=(1, 2)), 1, rtol=1e-6)


def test_an_even_filter_answers_a_wave_of_its_own_orientation() -> None:
    across = torch.cos(2 * torch.pi * torch.arange(64.0) / 7).expand(1, 1, 64, 64)  # along columns, 3.5 · scale 2
    answers = FilterBank()(across)[0, :, 32, 28:35].abs().amax(dim=1)  # over a wavelength: phase does not matter
    first = 1 + 2 * 4  # of the even ones at scale 2; orientation 0 lies along the columns
    assert int(answers[first : first + 4].argmax()) == 0
    assert answers[first] > 3 * answers[first + 2]


def test_responses_at_places_are_those_of_the_whole_image() -> None:
    image, bank = torch.randn(2, 1, 20, 24), FilterBank()
    places = torch.tensor([0, 19, 20 * 24 + 5 * 24 + 7, 2 * 20 * 24 - 1])
    whole = bank(image).transpose(0, 1).flatten(1)
    torch.testing.assert_close(bank.at(image, places), whole[:, places], rtol=1e-4, atol=1e-5)


def test_the_same_speckle_elsewhere_is_near_other_grain_and_other_gain_are_far() -> None:
    real = speckle(1.0, 0)
    near = distance(speckle(1.0, 1), real)
    assert near < 0.2
    assert distance(speckle(2.5, 1), real) > 2 * near
    assert distance(speckle(1.0, 1, gain=0.4), real) > 2 * near
    assert distance(speckle(1.0, 1) + 0.3, real) > 2 * near


def test_style_is_compared_at_the_same_depth() -> None:
    ramp = torch.linspace(-0.5, 0.5, HEIGHT)[:, None]
    real = speckle(1.0, 0) + ramp
    assert distance(speckle(1.0, 1) - ramp, real) > 2 * distance(speckle(1.0, 1) + ramp, real)


def test_descending_the_distance_takes_on_the_style_and_only_where_it_counts() -> None:
    where, style, random = everywhere(), StyleDistance(), torch.Generator().manual_seed(0)
    where[..., :8] = False
    fake, real = speckle(2.5, 1).clone().requires_grad_(), speckle(1.0, 0)
    style(fake, where, real, where, random).backward()
    assert fake.grad is not None
    assert not fake.grad[..., :8].any()
    assert fake.grad[..., 8:].any()
    image, optimizer = fake.detach().requires_grad_(), None
    optimizer = torch.optim.Adam([image], 0.02)
    before = distance(image, real, where)
    for _ in range(25):
        optimizer.zero_grad()
        style(image, where, real, where, random).backward()
        optimizer.step()
    assert distance(image, real, where) < 0.6 * before


def test_without_real_frames_the_distance_is_0() -> None:
    style, nothing = StyleDistance(), torch.zeros_like(everywhere())
    assert float(style(speckle(1.0, 0), everywhere(), speckle(2.0, 1), nothing, torch.Generator())) == 0


def test_crops_of_several_images_are_cut_at_the_same_places() -> None:
    image = torch.arange(2 * 100 * 90.0).reshape(2, 1, 100, 90)
    crops, same = random_crops((image, image[:, 0] > 9000), 3, torch.Generator().manual_seed(0))
    assert crops.shape == (6, 1, SIDE, SIDE)
    assert torch.equal(crops[:, 0] > 9000, same)
    assert bool((crops[:3] < 9000).all())  # the first three are of the first image
    assert bool((crops.diff(dim=-1) == 1).all())
    assert len({float(crop[0, 0, 0]) for crop in crops}) > 1
    (small,) = random_crops((torch.zeros(1, 32, 200),), 2, torch.Generator())
    assert small.shape == (2, 32, SIDE)


def test_a_patch_of_the_discriminator_by_filters_sees_34_pixels() -> None:
    network = FilterDiscriminator(width=0.1).double()
    image = torch.zeros(1, 3, 128, 128, dtype=torch.double, requires_grad=True)
    logits = network(image)
    logits[0, 0, logits.shape[2] // 2, logits.shape[3] // 2].backward()
    assert image.grad is not None
    rows = image.grad.abs().sum(dim=(0, 1, 3)).nonzero()[:, 0]
    assert int(rows.max() - rows.min()) + 1 == 34


def test_the_discriminator_by_filters_learns_its_last_layers_alone() -> None:
    network = FilterDiscriminator(width=0.1, depth_channel=True)
    assert {name.split(".")[0] for name, _ in network.named_parameters()} == {"layers"}
    assert set(network.state_dict()) == {name for name, _ in network.named_parameters()}
    image, depth = torch.randn(1, 3, 40, 40), torch.full((1, 40, 40), 0.5)
    assert not torch.equal(network(image), network(image, depth))


@pytest.mark.parametrize("seed", [0, 1])
def test_fixed_features_are_the_same_in_every_run(seed: int) -> None:
    torch.manual_seed(seed)
    assert torch.equal(*(dict(FilterDiscriminator().named_buffers())["projection"] for _ in range(2)))
    assert torch.equal(*(dict(StyleDistance().named_buffers())["directions"] for _ in range(2)))
