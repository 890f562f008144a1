# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Frames of a scanner as files: which there are, and their pixels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from us_sim.core.errors import DataError

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")
NOT_AN_IMAGE = (OSError, UnidentifiedImageError, SyntaxError, ValueError, Image.DecompressionBombError)


def images_in(folder: Path) -> list[Path]:
    """Image files of a folder, sorted by name.

    Raises:
        DataError: no such folder, or no images in it.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder of frames")
    files = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
    if not files:
        raise DataError(f"{folder}: no images in it; expected {', '.join(SUFFIXES)}")
    return files


def size_of(path: Path) -> tuple[int, int]:
    """(rows, columns) of an image, read from its header.

    Raises:
        DataError: unreadable.
    """
    try:
        with Image.open(path) as image:
            return image.height, image.width
    except NOT_AN_IMAGE as error:
        raise DataError(f"cannot be read as an image ({error})") from error


def read_grey(path: Path) -> NDArray[np.uint8]:
    """(rows, columns) grey levels; an alpha channel is dropped.

    Raises:
        DataError: unreadable, more than 8 bits, or without any content.
    """
    try:
        with Image.open(path) as image:
            mode = image.mode
            grey = np.asarray(image.convert("RGB").convert("L"))
    except NOT_AN_IMAGE as error:
        raise DataError(f"cannot be read as an image ({error})") from error
    if mode[0] in "IF":
        raise DataError(f"has {mode} pixels; expected 8 bits: save it as 8-bit grey or RGB")
    if grey.max() == grey.min():
        raise DataError(f"is empty: every pixel is {grey.max()}")
    return grey


def shown(size: tuple[int, int]) -> str:
    """Return (rows, columns) as people write it."""
    return f"{size[1]} x {size[0]}"


def size_text(size: tuple[int, ...]) -> str:
    """Return (rows, columns) as people write it."""
    return f"{size[1]} x {size[0]}"
