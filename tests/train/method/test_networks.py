"""Shapes, filters and receptive fields as the papers give them, and what mask input means for the weights."""

from __future__ import annotations

import pytest
import torch
from tests.train.synthetic import config
from torch import nn

from scyclegan_train.method import networks
from scyclegan_train.method.networks import PatchDiscriminator
from us_sim.core.generator.card import Card
from us_sim.core.geometry.probe import preset


def convolutions(network: nn.Module) -> list[tuple[int, int, int, int]]:
    """(in, out, kernel, stride) of every convolution, in order."""
    return [
        (layer.in_channels, layer.out_channels, layer.kernel_size[0], layer.stride[0])
        for layer in network.modules() if isinstance(layer, nn.Conv2d)
    ]  # fmt: skip


def test_the_discriminator_is_cyclegans() -> None:
    assert convolutions(PatchDiscriminator(70)) == [
        (3, 64, 4, 2), (64, 128, 4, 2), (128, 256, 4, 2), (256, 512, 4, 1), (512, 1, 4, 1),
    ]  # fmt: skip
    count = sum(p.numel() for p in PatchDiscriminator(70).parameters())
    assert count == sum(i * o * 16 + o for i, o in [(3, 64), (64, 128), (128, 256), (256, 512), (512, 1)])


def test_a_frame_of_256_has_30_by_30_patches() -> None:
    assert PatchDiscriminator(70, width=0.1)(torch.zeros(1, 3, 256, 256)).shape == (1, 1, 30, 30)


@pytest.mark.parametrize("field", [70, 34])
def test_a_patch_sees_its_field_and_nothing_else(field: int) -> None:
    network = PatchDiscriminator(field, width=0.0625).double()
    for place, layer in enumerate(network.layers):
        if isinstance(layer, nn.InstanceNorm2d):  # it looks at the whole image
            network.layers[place] = nn.Identity()
    image = torch.zeros(1, 3, 192, 192, dtype=torch.double, requires_grad=True)
    logits = network(image)
    logits[0, 0, logits.shape[2] // 2, logits.shape[3] // 2].backward()
    assert image.grad is not None
    rows = image.grad.abs().sum(dim=(0, 1, 3)).nonzero()[:, 0]
    assert int(rows.max() - rows.min()) + 1 == field


def test_a_depth_channel_tells_the_depth_alone() -> None:
    network = PatchDiscriminator(34, width=0.0625, depth_channel=True)
    seen = []
    network.layers.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    network(torch.zeros(2, 3, 32, 48))
    assert seen[0].shape == (2, 4, 32, 48)
    assert torch.equal(seen[0][1, 3, :, 7], torch.linspace(-1, 1, 32))


def test_generators_and_segmenters_have_the_papers_filters() -> None:
    card = Card(preset("c5_2"))
    paper = [(4, 64), (64, 64), (64, 128), (128, 128), (128, 256), (256, 256), (256, 512), (512, 512)]
    for network, channels, out in (
        (networks.ct_generator(card), 4, 3), (networks.us_generator(card), 4, 3), (networks.segmenter(card), 3, 5),
    ):  # fmt: skip
        found = [(i, o) for i, o, _, _ in convolutions(network)]
        assert found[:8] == [(channels, 64), *paper[1:]]
        assert found[-1] == (64, out)


def test_without_mask_input_labels_change_nothing_even_where_they_are_fed() -> None:
    card = config().generator.card()
    network = networks.ct_generator(card, reads_masks=False)
    image = torch.randn(1, 4, 32, 32)
    other = torch.cat([image[:, :3], torch.randn(1, 1, 32, 32)], dim=1)
    assert torch.equal(network(image), network(other))


def test_a_network_starts_without_a_checkerboard() -> None:
    """What only upsampling makes is flat in blocks of 2 × 2 pixels."""
    layer = networks.segmenter(config().generator.card(), 0.125).up[-1]
    assert isinstance(layer, nn.ConvTranspose2d)
    up = layer(torch.randn(1, layer.in_channels, 4, 4))
    blocks = up.unfold(2, 2, 2).unfold(3, 2, 2).flatten(4)
    assert float(blocks.std(dim=-1).max().detach()) < 1e-6 < float(up.std().detach())


def test_discriminators_start_from_small_weights() -> None:
    torch.manual_seed(0)
    weights = torch.cat([p.flatten() for n, p in networks.discriminator(70).named_parameters() if "weight" in n])
    assert float(weights.detach().std()) == pytest.approx(0.02, rel=0.01)
    assert float(weights.detach().mean()) == pytest.approx(0, abs=1e-4)
