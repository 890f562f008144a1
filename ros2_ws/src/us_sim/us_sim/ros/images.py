# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Arrays of pixels to image messages, and back."""

from __future__ import annotations

import sys
from array import array
from functools import cache
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Picture
from rclpy.logging import get_logger
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from us_sim.core.config import SOFT_WINDOW

JPEG_QUALITY = 95  # of 100, as compressed_image_transport's default
ENCODINGS = {"uint8": "mono8", "int16": "16SC1"}


@cache
def _bridge() -> Any | None:
    """Return cv_bridge's converter; None where it is missing or does not work beside this NumPy.

    Ubuntu's build, made for NumPy 1, raises what it likes: at its import, or at the first conversion.
    """
    try:
        from cv_bridge import CvBridge

        bridge = CvBridge()
        bridge.cv2_to_imgmsg(np.zeros((1, 1), np.uint8), encoding="mono8", header=Header())
        return bridge
    except ModuleNotFoundError as error:
        if error.name == "cv_bridge":
            return None
        reason: Exception = error
    except Exception as error:
        reason = error
    get_logger("us_sim").warning(
        f"cv_bridge does not work ({type(reason).__name__}: {reason}); images are filled without it, to the same bytes"
    )
    return None


def image_message(pixels: NDArray[Any], header: Header) -> Image:
    """Return the image message of (H, W) uint8 (mono8) or int16 (16SC1), or of (H, W, 3 or 4) uint8 (rgb8, bgra8).

    cv_bridge fills it where there is one; otherwise the same bytes are written here.
    """
    encoding = ENCODINGS[pixels.dtype.name] if pixels.ndim == 2 else {3: "rgb8", 4: "bgra8"}[pixels.shape[2]]
    bridge = _bridge()
    if bridge is not None:
        return bridge.cv2_to_imgmsg(np.ascontiguousarray(pixels), encoding=encoding, header=header)
    height, width = pixels.shape[:2]
    return Image(
        header=header,
        height=height,
        width=width,
        encoding=encoding,
        step=pixels.nbytes // height,
        is_bigendian=int(sys.byteorder == "big"),
        data=array("B", pixels.tobytes()),
    )


def compressed_message(pixels: NDArray[np.uint8], kind: str, header: Header) -> CompressedImage:
    """Return (H, W) grey values as `jpeg` or `png`, the format named as compressed_image_transport names it."""
    file = BytesIO()
    Picture.fromarray(pixels).save(file, kind, quality=JPEG_QUALITY)
    return CompressedImage(header=header, format=f"mono8; {kind} compressed ", data=array("B", file.getvalue()))


def bgra(grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the opaque (H, W, 4) pixels, blue, green, red, alpha, of an (H, W) grey image."""
    return np.stack([grey, grey, grey, np.full_like(grey, 255)], axis=-1)


def pixels_of(image: Image) -> NDArray[np.uint8]:
    """Return the (H, W) grey values of a mono8 image, or of a bgra8 one that is grey."""
    channels = 4 if image.encoding == "bgra8" else 1
    rows = np.frombuffer(image.data, np.uint8).reshape(image.height, image.step)
    return rows[:, : image.width * channels : channels]


def hu_of(image: Image) -> NDArray[np.int16]:
    """Return the (H, W) HU of a 16SC1 image."""
    kind = ">i2" if image.is_bigendian else "<i2"
    return np.frombuffer(image.data, kind).reshape(image.height, image.step // 2)[:, : image.width].astype(np.int16)


def soft_window(hu: NDArray[np.int16]) -> NDArray[np.uint8]:
    """Return HU as grey values: black at -150 HU and below, white at 250 HU and above."""
    low, high = SOFT_WINDOW
    grey = (np.clip(hu, low, high) - low) * (255.0 / (high - low))
    return np.rint(grey).astype(np.uint8)
