# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Temporal stability of a renderer under slow probe motion: the change that motion does not explain."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, map_coordinates

from scyclegan_train.evaluation.metrics import Mask, Picture, correlation
from us_sim.core.geometry.probe import ProbeGeometry
from us_sim.core.geometry.transforms import Matrix, apply, inverse
from us_sim.core.patient.patient import Patient
from us_sim.core.robot.motion import motion

ROUND = 240  # poses of a whole sweep: 0.6 mm or so from one to the next
STEPS = 6  # of the part that moves within its own plane
OUT_OF_PLANE = 1.0  # mm of elevation up to which a pixel is found again
TEXTURE = 2.0  # mm, structure coarser than which is no texture


def slow_sweep(patient: Patient) -> Matrix:
    """(STEPS, 4, 4) neighbouring poses around the body, the image plane sliding along itself."""
    middle = ROUND // 4
    return motion("liver_sweep", patient, ROUND)[middle - STEPS // 2 : middle - STEPS // 2 + STEPS]


def found_again(second: Picture, first_pose: Matrix, second_pose: Matrix, probe: ProbeGeometry) -> tuple[Picture, Mask]:
    """The second frame on the pixels of the first, (H, W), and where its plane and fan hold those points."""
    points = apply(inverse(second_pose) @ first_pose, probe.pixel_points.astype(np.float64))
    (dx, dz), (x0, z0) = probe.pixel_spacing, probe.first_pixel
    place = (points[..., 2] - z0) / dz, (points[..., 0] - x0) / dx
    inside = map_coordinates(probe.fan_mask.astype(np.float64), place, order=1) > 0.999
    return map_coordinates(second, place, order=1), inside & (np.abs(points[..., 1]) < OUT_OF_PLANE)


def flicker(frames: NDArray[np.float64], poses: Matrix, visible: Mask, probe: ProbeGeometry) -> float:
    """Mean absolute change of grey from each (H, W) frame to the next, after motion compensation."""
    changes = []
    for i, (a, b) in enumerate(pairwise(frames)):
        moved, where = found_again(b, poses[i], poses[i + 1], probe)
        changes.append(float(np.abs(a - moved)[where & visible[i]].mean()))
    return float(np.mean(changes))


def texture_follows(
    frames: NDArray[np.float64], poses: Matrix, visible: Mask, probe: ProbeGeometry
) -> tuple[float, float]:
    """Correlation of the first frame's texture with the last one's: tissue-locked, and screen-locked."""
    first, last = (_texture(frame, probe) for frame in (frames[0], frames[-1]))
    moved, where = found_again(last, poses[0], poses[-1], probe)
    where &= visible[0] & visible[-1]
    return correlation(first, moved, where), correlation(first, last, where)


def _texture(frame: Picture, probe: ProbeGeometry) -> Picture:
    return frame - gaussian_filter(frame, [TEXTURE / step for step in probe.pixel_spacing[::-1]])
