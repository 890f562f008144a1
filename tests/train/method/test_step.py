"""One step of Algorithm 1: who changes in which phase, what passes gradients, and what options leave out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from tests.train.synthetic import all_known, batches, config
from torch import Tensor, nn

from scyclegan_train.config import Config
from scyclegan_train.method import feeding, losses
from scyclegan_train.method.augmentation import augmented
from scyclegan_train.method.averaging import Average, estimate_statistics
from scyclegan_train.method.scyclegan import SCycleGan
from us_sim.core.errors import ConfigError
from us_sim.core.generator.encoding import decode, encode
from us_sim.core.generator.unet import UNet
from us_sim.core.tissue import TissueClass

NETWORKS = {"G_ct2us", "G_us2ct", "D_us", "D_ct", "S_us", "S_ct"}
RICH = {
    "encoding": "rich", "windows": [[-150, 250], [-1000, 1000]], "norm": "batch", "grid": "cartesian", "pixels": 32,
}  # fmt: skip


def model_of(made: Config) -> SCycleGan:
    torch.manual_seed(0)
    return SCycleGan(made)


def parameters_of(model: SCycleGan) -> dict[str, list[Tensor]]:
    return {name: [p.detach().clone() for p in n.parameters()] for name, n in model.networks.items()}


def changed(before: dict[str, list[Tensor]], after: dict[str, list[Tensor]]) -> set[str]:
    def same(name: str) -> bool:
        return all(torch.equal(a, b) for a, b in zip(before[name], after[name], strict=True))

    return {name for name in before if not same(name)}


def test_each_phase_changes_its_own_networks_and_no_others() -> None:
    model, seen = model_of(config()), []
    before = parameters_of(model)

    def stepped(name: str) -> None:
        nonlocal before
        seen.append((name, changed(before, parameters_of(model))))
        before = parameters_of(model)

    for name, optimizer in model.optimizers.items():
        optimizer.register_step_post_hook(lambda *_, name=name: stepped(name))
    model.step(*batches(config()))
    assert seen == [
        ("generators", {"G_ct2us", "G_us2ct"}), ("critics", {"D_us", "D_ct"}), ("segmenters", {"S_us", "S_ct"}),
    ]  # fmt: skip


def test_what_a_phase_does_not_train_gets_no_gradient() -> None:
    model, (ct, us) = model_of(config()), batches(config())
    backward = model._backward

    def watched(name: str, found: dict[str, Tensor], weights: Mapping[str, float]) -> None:
        own = {id(p) for group in model.optimizers[name].param_groups for p in group["params"]}
        everything = [p for n in model.networks.values() for p in n.parameters()]
        for p in everything:
            p.grad = None
        backward(name, found, weights)
        assert all(p.grad is not None for p in everything if id(p) in own)
        assert all(p.grad is None for p in everything if id(p) not in own)

    model._backward = watched  # type: ignore[method-assign]
    model.step(ct, us)


def test_processes_send_one_message_a_step_with_all_gradients_and_statistics() -> None:
    made, messages = config(generator={"norm": "batch"}), list[list[Tensor]]()
    model = SCycleGan(made, average=messages.append)
    model.step(*batches(made))
    [message] = messages
    parameters = [p for n in model.networks.values() for p in n.parameters()]
    layers = [m for n in model.networks.values() for m in n.modules() if isinstance(m, nn.BatchNorm2d)]
    expected = {id(p.grad) for p in parameters} | {id(b) for m in layers for b in (m.running_mean, m.running_var)}
    assert {id(tensor) for tensor in message} == expected
    model.pretrain(*batches(made))
    assert len(messages) == 2


def test_pretraining_changes_the_segmenters_and_warm_up_the_generators() -> None:
    model, (ct, us) = model_of(config()), batches(config())
    before = parameters_of(model)
    model.pretrain(ct, us)
    assert changed(before, parameters_of(model)) == {"S_us", "S_ct"}
    before = parameters_of(model)
    model.warm_up(ct, us)
    assert changed(before, parameters_of(model)) == {"G_ct2us", "G_us2ct"}


def test_a_step_names_every_loss_of_the_paper() -> None:
    found = model_of(config()).step(*batches(config()))
    assert list(found) == [
        "adversarial_us_0", "adversarial_ct", "cycle_ct", "cycle_us", "segmentation_us", "segmentation_ct",
        "critic_us_0", "critic_ct", "segmenter_us", "segmenter_ct",
    ]  # fmt: skip
    assert all(torch.isfinite(value) and not value.requires_grad for value in found.values())


def test_generator_losses_are_those_of_the_papers_equations() -> None:
    made = config(method={"adversarial": "lsgan", "fake_mask": "source"})
    model, (ct, us) = model_of(made), batches(made)
    us = all_known(us)
    x, y = model.real_images(ct, us)
    t = model.translate(x, y, ct.scatter)
    found = {name: value.detach() for name, value in model.generator_losses(x, y, t, ct, us, 0.0).items()}
    fake_us = model.ct2us(x.image, x.mask, None)
    rec_ct = model.us2ct(fake_us, x.mask, x.where)
    fake_ct = model.us2ct(y.image, y.mask, y.where)
    valid = ct.valid[:, None].expand_as(rec_ct)
    assert float(found["cycle_ct"]) == pytest.approx(float((rec_ct.detach() - x.image)[valid].abs().mean()), rel=1e-5)
    logits = model.S_ct(torch.where(us.valid[:, None], fake_ct, -1.0))
    expected = losses.segmentation(logits, y.mask, us.valid)
    assert float(found["segmentation_ct"]) == pytest.approx(float(expected.detach()), rel=1e-5)


def grad_of_fake(kind: str) -> Tensor:
    """Gradient of the CT cycle loss by the mask path alone: the image that goes back is cut off."""
    made = config(method={"fake_mask": kind})
    model, (ct, us) = model_of(made), batches(made)
    x, _ = model.real_images(ct, us)
    fake = model.ct2us(x.image, x.mask, None).detach().requires_grad_()
    mask = model.returned_mask(model.segment(model.S_us, fake, x.where), x.mask)
    losses.l1(model.us2ct(fake.detach(), mask, x.where), x.image, x.where).backward()
    return torch.zeros_like(fake) if fake.grad is None else fake.grad


def test_the_predicted_mask_passes_a_gradient_by_straight_through_alone() -> None:
    made = config()
    model, (ct, us) = model_of(made), batches(made)
    x, _ = model.real_images(ct, us)
    seen = model.segment(model.S_us, x.image, x.where)
    hard = model.returned_mask(seen, x.mask)
    assert not hard.requires_grad
    assert torch.equal(hard.argmax(dim=1), seen.argmax(dim=1))
    assert torch.equal(hard.sum(dim=1), torch.ones_like(hard[:, 0]))
    model.method = replace(model.method, fake_mask="straight_through")
    soft = model.returned_mask(seen, x.mask)
    torch.testing.assert_close(soft, hard)
    model.method = replace(model.method, fake_mask="source")
    assert model.returned_mask(seen, x.mask) is x.mask
    assert grad_of_fake("straight_through").abs().sum() > 0
    with pytest.raises(RuntimeError, match="does not require grad"):
        torch.autograd.grad(hard.sum(), seen)


def test_a_straight_through_mask_has_the_gradient_of_the_soft_max() -> None:
    model = model_of(config(method={"fake_mask": "straight_through"}))
    logits = torch.randn(1, 4, 3, 3, dtype=torch.double, requires_grad=True)
    factor = torch.randn(1, 4, 3, 3, dtype=torch.double)
    (found,) = torch.autograd.grad((model.returned_mask(logits, logits) * factor).sum(), logits)
    p = logits.detach().softmax(dim=1).numpy()
    f = factor.numpy()
    expected = p * (f - (p * f).sum(axis=1, keepdims=True))
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_frames_without_mask_get_the_segmenters_and_no_segmentation_loss() -> None:
    made = config()
    model, (ct, us) = model_of(made), batches(made, 3)
    assert us.has_mask.tolist() == [True, True, False]
    _, y = model.real_images(ct, us)
    model.S_us.eval()
    predicted = model.segment(model.S_us, y.image, y.where).argmax(dim=1)
    assert torch.equal(y.mask[2].argmax(dim=0), predicted[2])
    assert torch.equal(y.mask[0].argmax(dim=0), us.tissue[0].long())
    unknown = replace(us, has_mask=torch.zeros_like(us.has_mask))
    x, y = model.real_images(ct, unknown)
    assert float(model.segmenter_losses(x, y, unknown)["segmenter_us"].detach()) == 0
    found = model.generator_losses(x, y, model.translate(x, y, None), ct, unknown, 0.0)
    assert float(found["segmentation_ct"].detach()) == 0
    assert float(found["adversarial_ct"].detach()) > 0
    assert float(found["cycle_us"].detach()) > 0


def test_each_discriminator_judges_rows_of_its_source() -> None:
    critics = [{"source": "physics", "field": 34}, {"source": "real", "field": 34}]
    made = config(method={"critics": critics})
    model, (ct, us) = model_of(made), batches(made, 3)
    x, y = model.real_images(ct, us)
    t = model.translate(x, y, None)
    t.fake_us.retain_grad()
    model.generator_losses(x, y, t, ct, us, 0.0)["adversarial_us_1"].backward()
    assert t.fake_us.grad is not None
    assert [bool(row.any()) for row in t.fake_us.grad] == [False, False, True]  # the third frame is real


def test_a_discriminator_of_weight_0_rests() -> None:
    critics = [{"field": 34}, {"field": 34, "weight": [0, 1]}]
    made = config(method={"critics": critics})
    model, pair = model_of(made), batches(made)
    before = parameters_of(model)
    assert "critic_us_1" not in model.step(*pair, progress=0.0)
    assert all(torch.equal(a, b) for a, b in zip(before["D_us"][10:], parameters_of(model)["D_us"][10:], strict=True))
    assert "critic_us_1" in model.step(*pair, progress=0.5)
    assert model._generator_weights(0.25)["adversarial_us_1"] == 0.25


def test_discriminators_see_the_same_pixels_of_real_and_fake() -> None:
    made = config()
    model, (ct, us) = model_of(made), batches(made)
    us = replace(us, valid=us.valid & (torch.arange(32) > 9))
    seen: list[Tensor] = []
    model.D_us[0].register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    x, y = model.real_images(ct, us)
    model.critic_losses(x, y, model.translate(x, y, None), us, 0.0)
    real, fake = seen
    assert bool((real[..., :10] == -1).all())
    assert bool((fake[..., :10] == -1).all())
    assert bool((real[..., 10:] != -1).any())


@pytest.mark.parametrize(
    ("method", "absent", "still"),
    [
        ({"mask_input": False, "segmentation": 0, "fake_mask": "source"}, {"S_us", "S_ct"}, "plain CycleGAN"),
        ({"segmentation": 0}, set(), "predicted masks still go back"),
        ({"segmentation": 0, "fake_mask": "source"}, {"S_us", "S_ct"}, "source masks"),
        ({"cycle_ct": 0, "cycle_us": 0, "ct_critic": 0}, {"G_us2ct", "D_ct", "S_ct"}, "one way"),
    ],
)
def test_ablations_leave_networks_out(method: dict[str, Any], absent: set[str], still: str) -> None:
    made = config(method=method)
    model = model_of(made)
    before = parameters_of(model)
    model.step(*batches(made))
    assert changed(before, parameters_of(model)) == NETWORKS - absent, still


@pytest.mark.parametrize("generator", [{}, {**RICH, "grid": "polar", "classes": ["background", "liver", "bone"]}])
def test_without_mask_input_labels_change_nothing_in_the_simulator(generator: dict[str, Any]) -> None:
    made = config(method={"mask_input": False}, generator=generator)
    model = model_of(made)
    for _ in range(2):
        model.step(*batches(made))
    ct, _ = batches(made)
    network, fan = model.G_ct2us.eval(), feeding.fan_of(model.card, "cpu")
    bone = torch.full_like(ct.tissue, int(TissueClass.BONE))
    drawn = [network(encode(model.card, ct.hu, tissue, ct.scatter, fan)) for tissue in (ct.tissue, bone)]
    assert torch.equal(*drawn)
    assert drawn[0].std() > 0


def test_all_options_of_our_variant_run_together() -> None:
    made = config(generator=RICH, method={
        "adversarial": "lsgan", "critic_augmentation": True, "cycle_blur": 1, "cycle_visible": True, "fake_noise": 0.05,
        "segmentation_visible": True, "segment_reconstruction": True, "fake_mask": "straight_through", "pair": 5,
        "warm_up_sharp": 0.5,
    })  # fmt: skip
    model, (ct, us) = model_of(made), batches(made)
    assert {"pair", "pair_sharp", "pair_ct"} == set(model.warm_up(ct, us))
    found = model.step(ct, us)
    assert {"segmentation_rec_ct", "segmentation_rec_us", "pair"} < set(found)
    assert all(torch.isfinite(value) for value in found.values())


def test_style_and_a_critic_by_filters_take_fakes_whose_partner_is_real() -> None:
    critic = {"source": "real", "features": "filters", "field": 34, "crops": 2, "depth_channel": True}
    one_way = {"cycle_ct": 0, "cycle_us": 0, "ct_critic": 0}
    made = config(method={"critics": [critic], "style": 3, "critic_augmentation": True, **one_way})
    model, (ct, us) = model_of(made), batches(made, 3)
    x, y = model.real_images(ct, us)
    for name in ("style", "adversarial_us_0"):
        t = model.translate(x, y, None)
        t.fake_us.retain_grad()
        model.generator_losses(x, y, t, ct, us, 0.0)[name].backward()
        assert t.fake_us.grad is not None
        assert [bool(row.any()) for row in t.fake_us.grad] == [False, False, True], name  # the third frame is real
    before = parameters_of(model)
    found = model.step(ct, us)
    assert set(found) == {
        "adversarial_us_0", "segmentation_us", "style", "critic_us_0", "segmenter_us",
    }  # fmt: skip
    assert changed(before, parameters_of(model)) == {"G_ct2us", "D_us", "S_us"}
    assert model._generator_weights(0.0)["style"] == 3


def test_a_critic_by_filters_has_one_field() -> None:
    with pytest.raises(ConfigError, match="field is 70; expected 34, the only one of a discriminator on filters"):
        config(method={"critics": [{"features": "filters", "field": 70}]})


def test_segmentation_of_fakes_counts_only_where_sound_reaches() -> None:
    made = config(method={"segmentation_visible": True})
    model, (ct, us) = model_of(made), batches(made)
    x, y = model.real_images(ct, us)
    t = model.translate(x, y, None)
    assert t.segmented_us is not None
    found = model.generator_losses(x, y, t, ct, us, 0.0)
    expected = losses.segmentation(t.segmented_us, x.mask, ct.visible)
    assert float(found["segmentation_us"].detach()) == float(expected.detach())


@pytest.mark.parametrize("generator", [{}, RICH, {**RICH, "grid": "polar"}, {"source": "physics", "grid": "cartesian"}])
def test_the_generator_is_fed_as_the_simulator_feeds_it(generator: dict[str, Any]) -> None:
    made = config(generator={**generator, "pixels": 32})
    card, (ct, _) = made.generator.card(), batches(made)
    fan = feeding.fan_of(card, "cpu")
    x = feeding.real_ct(card, ct, fan)
    image = ct.physics if card.source == "physics" else ct.hu
    assert image is not None
    found = feeding.ct_input(card, x.image, x.mask, ct.scatter, fan)
    # The compiled loop sums what is lost along a scan line in double precision, the training in single.
    torch.testing.assert_close(found, encode(card, image, ct.tissue, ct.scatter, fan), rtol=0, atol=1e-6)


def test_ultrasound_survives_the_way_there_and_back() -> None:
    grey = torch.rand(2, 4, 4) * 255
    torch.testing.assert_close(decode(feeding.us_image(grey)), grey)


def test_a_two_stage_run_without_physics_frames_says_so() -> None:
    made = config(generator={"source": "physics"})
    ct, us = batches(made)
    with pytest.raises(ValueError, match="gives no physics frames"):
        model_of(made).step(replace(ct, physics=None), us)


def test_batches_of_different_size_are_refused() -> None:
    ct, us = batches(config())
    with pytest.raises(ValueError, match="2 CT and 1 ultrasound samples"):
        model_of(config()).step(ct, us.pick([0]))


def test_a_run_needs_a_discriminator_of_ultrasound() -> None:
    with pytest.raises(ConfigError, match="critics are none"):
        config(method={"critics": []})


def test_averaged_weights_follow_with_a_growing_memory() -> None:
    network = torch.nn.Linear(1, 1, bias=False)
    average = Average(network, 0.5)
    expected = float(network.weight.detach())
    for step, value in enumerate([1.0, 4.0, -2.0]):
        network.weight.data.fill_(value)
        average.update(network)
        decay = min(0.5, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * value
        assert float(average.network.weight) == pytest.approx(expected)  # type: ignore[arg-type]


def test_statistics_are_those_of_the_inputs_under_the_present_weights() -> None:
    network = UNet(2, width=0.0625, norm="batch")
    inputs = [torch.randn(3, 2, 16, 16) * 3 + 1 for _ in range(4)]
    estimate_statistics(network, inputs)
    first, norm = network.down[0][0], network.down[0][1]  # type: ignore[index]
    out = torch.stack([first(one) for one in inputs])
    torch.testing.assert_close(norm.running_mean, out.mean(dim=(0, 1, 3, 4)))
    torch.testing.assert_close(norm.running_var, out.transpose(1, 2).flatten(2).var(dim=2).mean(dim=0))
    assert norm.momentum == 0.1
    assert not norm.training


def test_augmentation_changes_gain_smoothly_and_flips_pixels_with_their_mask() -> None:
    image, where = torch.zeros(16, 3, 24, 32), torch.ones(16, 24, 32, dtype=torch.bool)
    where[..., :5] = False
    image = losses.masked(image, where)
    out, counted = augmented(image, where, torch.Generator().manual_seed(0))
    flipped = ~counted[:, 0, -1]
    assert 2 < int(flipped.sum()) < 14
    assert torch.equal(counted.sum(dim=(1, 2)), where.sum(dim=(1, 2)))
    assert bool((out[~counted[:, None].expand_as(out)] == -1).all())
    decibels = out[counted[:, None].expand_as(out)] * 30
    assert 3 < float(decibels.abs().max()) <= 9
    steps = torch.where(counted[:, None, :, 1:] & counted[:, None, :, :-1], out.diff(dim=-1), 0)
    assert float(steps.abs().max()) < 0.2
