"""The U-Net: its size counted by hand, its shapes, its bounds."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from us_sim.core.generator.unet import STRIDE, Norm, UNet, folded, unfolded


def parameters(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def noise(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def test_parameters_of_the_papers_network() -> None:
    """A block i -> o has two 3×3 convolutions with bias: 9 i o + 9 o² + 2 o.

    Encoder 4-64-128-256-512:     39,296 + 221,440 + 885,248 + 3,539,968
    Transposed 2×2, 4 i o + o:   524,544 + 131,200 +  32,832
    Decoder 512-256-128-64:    1,769,984 + 442,624 + 110,720
    Head 1×1, 64 -> 3:               195
    """
    assert parameters(UNet(4)) == 7_698_051
    # Batch normalisation has 2 o of its own after each convolution, which then has no bias: 2 o more a block.
    assert parameters(UNet(4, norm="batch")) == 7_698_051 + 2 * (64 + 128 + 256 + 512 + 256 + 128 + 64)
    # Input channels meet 9 · 64 weights each, output channels 64 weights and a bias.
    assert parameters(UNet(14, out=5)) == 7_698_051 + 10 * 576 + 2 * 65


@pytest.mark.parametrize(
    ("width", "filters"), [(1.0, (64, 128, 256, 512)), (0.25, (16, 32, 64, 128)), (0.0625, (4, 8, 16, 32)),
                           (0.05, (4, 6, 13, 26)), (2.0, (128, 256, 512, 1024))]
)  # fmt: skip
def test_width_scales_the_filters(width: float, filters: tuple[int, ...]) -> None:
    network = UNet(4, width=width)
    first = [next(m for m in block.modules() if isinstance(m, nn.Conv2d)) for block in network.down]
    assert tuple(convolution.out_channels for convolution in first) == filters


@pytest.mark.parametrize("norm", ["instance", "batch"])
@pytest.mark.parametrize(("height", "width"), [(16, 16), (64, 64), (48, 80)])
def test_shapes_and_bounds(norm: Norm, height: int, width: int) -> None:
    torch.manual_seed(0)
    network = UNet(7, width=0.0625, norm=norm).eval()
    assert STRIDE == 8
    with torch.inference_mode():
        out = network(100 * noise(2, 7, height, width))
    assert out.shape == (2, 3, height, width)
    assert out.abs().max() <= 1
    assert out.std() > 0


def test_a_segmenter_gives_unbounded_logits() -> None:
    torch.manual_seed(0)
    network = UNet(3, out=5, width=0.0625, bounded=False).eval()
    with torch.no_grad():
        network.get_parameter("head.bias").fill_(40.0)
        out = network(noise(1, 3, 32, 32))
    assert out.shape == (1, 5, 32, 32)
    assert out.min() > 1


def test_the_norm_is_what_it_says() -> None:
    for norm, kind in (("instance", nn.InstanceNorm2d), ("batch", nn.BatchNorm2d)):
        network = UNet(4, width=0.0625, norm=norm)  # type: ignore[arg-type]
        norms = [m for m in network.modules() if isinstance(m, nn.InstanceNorm2d | nn.BatchNorm2d)]
        assert len(norms) == 14  # two in each of four encoder and three decoder blocks
        assert all(isinstance(m, kind) for m in norms)


def test_batch_norm_draws_a_frame_whatever_the_others_are() -> None:
    torch.manual_seed(0)
    network = UNet(4, width=0.0625, norm="batch").eval()
    frames = noise(3, 4, 32, 32)
    with torch.inference_mode():
        torch.testing.assert_close(network(frames)[1], network(frames[1:2])[0], atol=1e-5, rtol=0)


def test_skips_carry_detail_past_the_bottleneck() -> None:
    """With the way up from below cut off, a single pixel still changes its own place and not the far ones."""
    torch.manual_seed(0)
    network = UNet(1, width=0.0625, norm="batch").eval()
    with torch.inference_mode():
        for up in network.up:
            up.get_parameter("weight").zero_()
        image = noise(1, 1, 32, 32)
        dotted = image.clone()
        dotted[0, 0, 8, 8] += 5
        change = (network(dotted) - network(image)).abs().sum(dim=(0, 1))
    assert change[8, 8] > 0
    assert change[20:, 20:].max() == 0


def test_an_image_is_tone_and_contrast_of_the_speckle() -> None:
    """With weights of 0 the biases are all that is drawn: for each sample of a row, three tones and a contrast."""
    network = UNet(5, width=0.0625, speckle=2, fold=2).eval()
    given = noise(1, 5, 32, 16)
    with torch.inference_mode():
        network.get_parameter("head.weight").zero_()
        network.get_parameter("head.bias").copy_(torch.tensor([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8]))
        drawn = network(given)
    assert drawn.shape == (1, 3, 32, 16)
    for channel, tones in enumerate([(0.1, 0.2), (0.3, 0.4), (0.5, 0.6)]):
        for first, contrast in enumerate((0.7, 0.8)):
            expected = torch.tanh(tones[first] + contrast * given[0, 2, first::2])
            torch.testing.assert_close(drawn[0, channel, first::2], expected)


def test_neighbours_in_depth_are_channels_of_one_row() -> None:
    column = torch.arange(12.0).reshape(1, 2, 6, 1)  # two channels of six samples
    rows = folded(column, 3)
    assert rows[0, :, :, 0].tolist() == [[0, 3], [1, 4], [2, 5], [6, 9], [7, 10], [8, 11]]
    assert torch.equal(unfolded(rows, 3), column)


def test_a_folded_network_costs_what_its_rows_cost() -> None:
    """Half the rows; the first convolution reads twice 4 channels, the head draws twice 3."""
    rows, columns = 32, 16
    more = 2 * rows * columns * (9 * 4 * 64 + 64 * 3)
    assert UNet(4, fold=2).flop(2 * rows, columns) == UNet(4).flop(rows, columns) + more


def test_last_features_have_the_images_rows() -> None:
    network = UNet(3, width=0.0625, fold=2).eval()
    with torch.inference_mode():
        features = network.last_features(noise(1, 3, 32, 16))
    assert features.shape == (1, 4, 32, 16)
    assert torch.equal(features[:, :, ::2], features[:, :, 1::2])
