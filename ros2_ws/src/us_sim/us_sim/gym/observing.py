# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""What a policy sees: spaces, and observations from a frame."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from us_sim.core.analysis.confidence import confidence_map
from us_sim.core.frame import Frame
from us_sim.core.geometry.probe import ProbeGeometry
from us_sim.core.geometry.transforms import quaternion_from_rotation
from us_sim.core.tissue import CLASS_COLORS
from us_sim.gym.config import EpisodeConfig

Observation = Any  # an array, or a dictionary of arrays


def space_of(config: EpisodeConfig) -> spaces.Space[Any]:
    """Return the space of an environment's observations: a dictionary of its views, or the first view itself."""
    picture = spaces.Box(0, 255, (config.size, config.size, 1), np.uint8)
    every: dict[str, spaces.Space[Any]] = {
        "image": picture, "labels": picture, "confidence": picture,
        "wrench": spaces.Box(-np.inf, np.inf, (6,), np.float32),
        "coupling": spaces.Box(0, 1, (1,), np.float32),
        "pose": spaces.Box(-np.inf, np.inf, (7,), np.float32),
    }  # fmt: skip
    if config.flat:
        return every[config.views[0]]
    return spaces.Dict({name: every[name] for name in config.views})


def observed(frame: Frame, config: EpisodeConfig, probe: ProbeGeometry) -> Observation:
    """Return what a policy sees of a frame: arrays of `space_of`.

    `wrench` is force and torque, N and N m; `pose` is x y z of `ct_from_probe`, m, and its quaternion x y z w.
    """
    views = {name: _view(name, frame, probe) for name in config.views}
    return views[config.views[0]] if config.flat else views


def _view(name: str, frame: Frame, probe: ProbeGeometry) -> NDArray[Any]:
    if name in ("image", "labels"):
        picture = getattr(frame, name)
        return np.array(picture[..., None])
    if name == "confidence":
        assert frame.image is not None
        return np.rint(255 * confidence_map(frame.image, probe)).astype(np.uint8)[..., None]
    if name == "wrench":
        return np.concatenate([frame.wrench.force, 1e-3 * frame.wrench.torque]).astype(np.float32)
    if name == "coupling":
        return np.array([frame.contact.coupling], np.float32)
    pose = frame.ct_from_probe
    return np.array([*(1e-3 * pose[:3, 3]), *quaternion_from_rotation(pose[:3, :3])], np.float32)


def picture_of(frame: Frame) -> NDArray[np.uint8]:
    """Return (H, W, 3) RGB of a frame: its B-mode image, or without one its labels in the colours of their classes."""
    if frame.image is not None:
        return np.repeat(frame.image[..., None], 3, axis=-1)
    assert frame.labels is not None
    return np.asarray(CLASS_COLORS[frame.labels])
