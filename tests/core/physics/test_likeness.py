"""Liver of the physics renderer beside liver of the real frames: depth-matched blocks of the polar picture."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import map_coordinates

from scyclegan_train.evaluation.likeness import STATISTICS, Blocks, blocks_of, even_half, pooled
from us_sim.core.config import ImageSettings
from us_sim.core.geometry.probe import preset
from us_sim.core.patient.patient import Patient, builtin_patient, load_patient
from us_sim.core.physics.b_mode import polar_frame, transmission
from us_sim.core.physics.gel import with_gel
from us_sim.core.physics.imaging import formation
from us_sim.core.robot.motion import motion
from us_sim.core.sampling.reslice import THIN
from us_sim.core.sampling.sampler import CpuSampler
from us_sim.core.tissue import TissueClass

PROBE = preset("c5_2")
Picture = NDArray[np.float64]


def real_polar(folder: Path, index: int) -> Picture:
    """A real frame on our scan lines, (L, S) grey; the visible fan starts 160 pixels from the centre of curvature."""
    geometry = json.loads((folder / "geometry.json").read_text())
    frame = np.asarray(Image.open(folder / "frames" / f"{index:03d}.png").convert("L"), dtype=np.float64)
    radius = (PROBE.radius_of_curvature + PROBE.sample_depths) / geometry["pixel_spacing_mm"]
    angle = PROBE.line_angles[:, None]
    column, row = geometry["convex"]["offset_px"]
    place = row - 160 + radius * np.cos(angle), column + radius * np.sin(angle)
    return np.asarray(map_coordinates(frame, place, order=1))


def real_blocks(folder: Path) -> Blocks:
    """Blocks of real liver."""
    pictures = [real_polar(folder, index) for index in range(0, 140, 10)]
    return even_half(pooled(blocks_of(picture, picture > 0, PROBE) for picture in pictures))


def simulated_blocks(patient: Patient) -> Blocks:
    """Blocks of liver that sound reaches with at most 8 dB less than in liver alone."""
    sampler, form = CpuSampler(patient, 0), formation(PROBE, ImageSettings(), 0, torch.device("cpu"))
    found: list[Blocks] = []
    for pose in motion("liver_sweep", patient, 24):
        points = torch.tensor(PROBE.polar_points)
        anatomy = sampler.anatomy(points, pose[None], THIN)
        tissue = sampler.slice(points, pose[None], THIN)[1][0].numpy()
        left = transmission(*with_gel(anatomy, form), form)[0]
        reached = 20 * torch.log10(left) + 2 * 0.55 * 3.5 * form.depths / 10 > -8
        grey = polar_frame(anatomy, torch.ones(1, PROBE.scan_lines), form)[0].double().numpy()
        found.append(blocks_of(grey, (tissue == TissueClass.LIVER) & reached.numpy(), PROBE))
    return pooled(found)


@pytest.fixture(scope="module")
def real(shared_data: Path) -> Blocks:
    return real_blocks(shared_data / "us_liver_sweep")


@pytest.mark.parametrize("name", ["phantom", "ct_abdomen"])
def test_liver_lies_in_the_real_range(name: str, real: Blocks, shared_data: Path) -> None:
    """The median block of every depth lies between the 5th and 95th percentile of the real blocks."""
    folder = shared_data / "ct_abdomen"
    made = builtin_patient(0) if name == "phantom" else load_patient(folder / "ct.nii.gz", folder / "labels.nii.gz")
    simulated = simulated_blocks(made)
    off = []
    for depth, blocks in simulated.items():
        for title, statistic in STATISTICS.items():
            low, high = np.percentile([statistic(block) for block in real[depth]], [5, 95])
            value = float(np.median([statistic(block) for block in blocks]))
            if not low <= value <= high:
                off.append(f"{title} at {depth:.0f} mm is {value:.2f}, real {low:.2f} to {high:.2f}")
    assert len(simulated) >= 3, "too little liver in view"
    assert not off, off


def test_real_fan_is_the_default_probe(shared_data: Path) -> None:
    """The lit part of a real frame fills our fan: same curvature, angle and depth."""
    assert pytest.approx(math.radians(60)) == PROBE.field_of_view
    picture = real_polar(shared_data / "us_liver_sweep", 70)
    assert (picture[4:-4, 2:-12] > 0).mean() > 0.999
