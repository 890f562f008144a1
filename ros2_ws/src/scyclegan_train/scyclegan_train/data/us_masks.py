# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Annotations in colours, as in the US simulation & segmentation data set, read as classes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from scipy.ndimage import distance_transform_edt, maximum_filter, minimum_filter

from scyclegan_train.data.faults import DataError
from us_sim.core.tissue import CLASS_COUNT, TISSUES, TissueClass

# Ours are the colours of the data set. The paper's Table I has the first four; a card without the others takes them
# for background.
_CLASSES = (TissueClass.LIVER, TissueClass.KIDNEY, TissueClass.SPLEEN, TissueClass.PANCREAS, TissueClass.VESSEL,
            TissueClass.FLUID, TissueClass.BONE)  # fmt: skip
_BACKGROUND = {"outside the fan": (0, 0, 0), "unlabelled": (10, 10, 10), "adrenals": (0, 255, 255)}
COLOURS = np.array([TISSUES[c].color for c in _CLASSES] + list(_BACKGROUND.values()), dtype=np.int32)
CLASSES = np.array([*_CLASSES, *[0] * len(_BACKGROUND)], dtype=np.uint8)

NEAR = 45.0  # distance in RGB within which a colour of the table is meant: JPEG noise
FLAT = 40  # range of a channel over 3 × 3 pixels up to which a pixel lies inside an area, not on its edge
STRANGE = 0.001  # share of pixels in areas of colours outside the table above which a mask is refused


def classes_of_colours(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return (rows, columns) uint8 class ids of an (rows, columns, 3) annotation.

    Edges bleed in JPEG and resampled files: between a spleen and black lies the liver's own colour. So, unless
    all pixels have exactly a colour of the table, only those in flat areas are read; the others take the class
    of the nearest of those.

    Raises:
        DataError: areas of a colour that is not in the table.
    """
    square = ((rgb[..., None, :].astype(np.int32) - COLOURS) ** 2).sum(axis=-1)
    nearest, distance = square.argmin(axis=-1), square.min(axis=-1)
    if not distance.any():
        return CLASSES[nearest]
    flat = (maximum_filter(rgb, (3, 3, 1)) - minimum_filter(rgb, (3, 3, 1))).max(axis=-1) <= FLAT
    known = distance <= NEAR**2
    strange = flat & ~known
    if strange.mean() > STRANGE:
        colours, counts = np.unique(rgb[strange], axis=0, return_counts=True)
        worst = tuple(int(c) for c in colours[counts.argmax()])
        raise DataError(f"colour {worst} in {np.count_nonzero(strange)} pixels is not in the table of annotations")
    sure = flat & known
    if not sure.any():
        raise DataError("has no flat areas of any colour in the table: is it an annotation?")
    _, (i, j) = distance_transform_edt(~sure, return_indices=True)
    return CLASSES[nearest[i, j]]


def read_mask(path: Path) -> NDArray[np.uint8]:
    """Return (rows, columns) uint8 class ids of a mask: colours (alpha is dropped), or ids in a single channel.

    Raises:
        DataError: unreadable, or values that are neither.
    """
    try:
        with Image.open(path) as image:
            if image.mode in ("L", "I", "I;16", "1"):
                return _class_ids(np.asarray(image.convert("I")))
            rgb = np.asarray(image.convert("RGBA").convert("RGB") if image.mode == "P" else image.convert("RGB"))
    except (OSError, UnidentifiedImageError, SyntaxError, Image.DecompressionBombError) as error:
        raise DataError(f"cannot be read as an image ({error})") from error
    return classes_of_colours(rgb)


def _class_ids(values: NDArray[np.int32]) -> NDArray[np.uint8]:
    if values.min() < 0 or values.max() >= CLASS_COUNT:
        raise DataError(
            f"single-channel values from {values.min()} to {values.max()}; expected class ids 0 to {CLASS_COUNT - 1}"
        )
    return values.astype(np.uint8)
