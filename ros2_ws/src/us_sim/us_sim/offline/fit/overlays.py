# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Overlays burnt into a scanner's frames: text, rulers, calipers, logos."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import binary_dilation, gaussian_filter

from us_sim.core.errors import DataError
from us_sim.core.geometry.fans import FanGeometry, fan_in_frame
from us_sim.core.geometry.frame_files import NOT_AN_IMAGE

HUE = 48  # difference of a pixel's channels from which it is coloured
STILL = 2.0  # standard deviation over frames below which a bright pixel is drawn, not heard
BRIGHT = 30.0  # above its surroundings
NEAR = 0.04  # of the fan's depth where the probe's own ring stands still too
AROUND = 2  # pixels by which overlays are widened
ENOUGH = 6  # frames from which standing still says something
MOST = 0.25  # of the fan that overlays may take


def coloured(path: Path) -> NDArray[np.bool_]:
    """(rows, columns) coloured pixels of an image file: calipers, colour Doppler, labels.

    Raises:
        DataError: unreadable.
    """
    try:
        with Image.open(path) as image:
            rgb = np.asarray(image.convert("RGB")).astype(np.int16)
    except NOT_AN_IMAGE as error:
        raise DataError(f"cannot be read as an image ({error})") from error
    return _widened(rgb.max(axis=-1) - rgb.min(axis=-1) > HUE)


def constant(frames: NDArray[np.uint8], fan: FanGeometry) -> NDArray[np.bool_]:
    """(rows, columns) pixels of (N, rows, columns) frames that are bright and the same in all of them.

    Raises:
        DataError: so much of the fan stands still that the frames are one and the same view.
    """
    if len(frames) < ENOUGH:
        return np.zeros(frames.shape[1:], dtype=bool)
    mean, spread = frames.mean(axis=0), frames.std(axis=0)
    near, far = fan.radii
    y, x = np.indices(mean.shape)
    deep = np.hypot(x - fan.centre[0], y - fan.centre[1]) > near + NEAR * (far - near)
    drawn = _widened((spread < STILL) & (mean - gaussian_filter(mean, 8.0) > BRIGHT) & deep)
    inside = fan_in_frame(fan, (mean.shape[0], mean.shape[1]))
    if (drawn | (spread < STILL) & (mean > BRIGHT))[inside].mean() > MOST:
        raise DataError("the frames hardly differ; expected different views, not one frozen picture")
    return drawn


def _widened(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    return np.asarray(binary_dilation(mask, iterations=AROUND)) if mask.any() else mask
