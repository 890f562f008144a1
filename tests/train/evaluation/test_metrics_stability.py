"""Motion-compensated change against pictures that move in a known way."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from scyclegan_train.evaluation.stability import flicker, found_again, texture_follows
from us_sim.core.geometry.probe import ProbeGeometry, preset

PROBE: ProbeGeometry = replace(preset("c5_2"), width=120, height=96)
X, Z = PROBE.pixel_points[..., 0], PROBE.pixel_points[..., 2]
SLIDE = 3.0  # mm from one frame to the next


def poses(count: int, axis: int = 0) -> np.ndarray:
    found = np.tile(np.eye(4), (count, 1, 1))
    found[:, axis, 3] = SLIDE * np.arange(count)
    return found


def seen(visible: int) -> np.ndarray:
    return np.tile(PROBE.fan_mask, (visible, 1, 1))


def test_tissue_that_only_moves_does_not_change() -> None:
    """Grey 2 a mm across, fixed in the patient: linear interpolation reproduces it."""
    frames = np.stack([100 + 2.0 * (X + SLIDE * i) for i in range(3)]).astype(np.float64)
    assert flicker(frames, poses(3), seen(3), PROBE) == pytest.approx(0, abs=1e-3)


def test_what_stays_with_the_screen_changes_by_slope_times_slide() -> None:
    frames = np.stack([100 + 2.0 * X] * 3).astype(np.float64)
    assert flicker(frames, poses(3), seen(3), PROBE) == pytest.approx(2.0 * SLIDE, rel=1e-3)


def test_pixels_that_leave_plane_or_fan_are_not_found_again() -> None:
    frame = np.ones(X.shape)
    _, inside = found_again(frame, np.eye(4), poses(2, axis=1)[1], PROBE)
    assert not inside.any()
    _, inside = found_again(frame, np.eye(4), poses(2)[1], PROBE)
    left = PROBE.fan_mask & np.roll(PROBE.fan_mask, 1, axis=1)
    assert 0.95 < inside.sum() / left.sum() <= 1.0


def test_texture_tells_tissue_from_screen() -> None:
    ripple = lambda x: 100 + 20 * np.sin(2 * np.pi * x / 8.0) * np.cos(2 * np.pi * Z / 8.0)  # noqa: E731
    moving = np.stack([ripple(X + SLIDE * i) for i in range(3)]).astype(np.float64)
    staying = np.stack([ripple(X)] * 3).astype(np.float64)
    follows, stays = texture_follows(moving, poses(3), seen(3), PROBE)
    assert follows > 0.95
    assert stays == pytest.approx(np.cos(2 * np.pi * 6 / 8), abs=0.05)  # 6 mm on, the ripple is a quarter period off
    follows, stays = texture_follows(staying, poses(3), seen(3), PROBE)
    assert stays == pytest.approx(1)
    assert follows < 0.1
