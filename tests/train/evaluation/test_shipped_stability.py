"""The shipped generators under a probe that stands still or moves slowly."""

from __future__ import annotations

import numpy as np
import pytest

from scyclegan_train.data.patient_source import phantom_cases
from scyclegan_train.evaluation import held_out, stability
from us_sim.core.assembly import open_generator
from us_sim.core.simulator import Simulator

SHIPPED = ("abdomen", "abdomen_lite")


@pytest.mark.parametrize("name", SHIPPED)
def test_a_slow_sweep_changes_no_more_than_speckle_does(name: str) -> None:
    """0.6 mm a frame, the known motion taken out: what is left is speckle, and physics has as much of it."""
    patient, generator = phantom_cases([3])[0](), open_generator(name, "cpu")
    drawing = Simulator(patient, generator.card.probe, renderer="generator", generator=generator, device="cpu")
    poses = stability.slow_sweep(patient)
    visible = held_out.scene(patient, poses, np.ones(len(poses), bool), drawing.probe).visible

    def changed(renderer: str) -> float:
        frames = drawing.render_batch(poses, renderer=renderer, ct_slice=False, labels=False)
        images = np.stack([frame.image for frame in frames if frame.image is not None]).astype(np.float64)
        return stability.flicker(images, poses, visible, drawing.probe)

    assert 0 < changed("generator") <= changed("physics")


@pytest.mark.parametrize("name", SHIPPED)
def test_a_still_probe_gives_identical_frames(name: str) -> None:
    patient, generator = phantom_cases([3])[0](), open_generator(name, "cpu")
    drawing = Simulator(patient, generator.card.probe, renderer="generator", generator=generator, device="cpu")
    here, there = stability.slow_sweep(patient)[[0, -1]]
    first, *others = (drawing.render(pose, ct_slice=False, labels=False).image for pose in (here, there, here, here))
    assert first is not None
    assert np.any(first != others[0])
    for again in others[1:]:
        np.testing.assert_array_equal(again, first)
