"""Slices along the motions: as many as were asked for, each as the renderer reads it, its physics frame beside it."""

from __future__ import annotations

import numpy as np
import torch

from us_sim.core.config import ImageSettings
from us_sim.core.generator.artifact import load_generator
from us_sim.core.generator.motion_slices import motion_slices
from us_sim.core.generator.renderer import LearnedRenderer
from us_sim.core.generator.shipped import artifact_of
from us_sim.core.patient.patient import builtin_patient
from us_sim.core.robot.motion import MOTIONS, motion
from us_sim.core.sampling.reslice import elevation_beam
from us_sim.core.sampling.sampler import CpuSampler


def test_each_motion_gives_its_poses() -> None:
    phantom = builtin_patient(0)
    generator = load_generator(artifact_of("abdomen_lite"))
    seen = list(motion_slices(generator, phantom, 3, 2))
    assert len(seen) == 2 * len(MOTIONS)
    card, last = generator.card, seen[-1]
    np.testing.assert_array_equal(last.pose[0], motion(list(MOTIONS)[-1], phantom, 2)[-1])
    beam = elevation_beam(card.probe.slice_thickness, card.probe.elevation_planes)
    renderer = LearnedRenderer(generator, card.probe, ImageSettings(), 3)
    sampler = CpuSampler(phantom, 3)
    with torch.inference_mode():
        assert torch.equal(last.read(), renderer.read(sampler, last.pose, beam))
        assert torch.equal(last.physics(), renderer.reference(sampler, last.pose, beam))
        assert last.read().shape == (1, card.channels, *card.size)
