# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""The bytes of image messages."""

from __future__ import annotations

import sys
from array import array
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from builtin_interfaces.msg import Time
from rclpy.serialization import serialize_message
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from us_sim.ros import images

HEADER = Header(stamp=Time(sec=3, nanosec=4), frame_id="probe")


def test_bytes_of_mono8() -> None:
    message = images.image_message(np.array([[1, 2, 3], [4, 5, 255]], np.uint8), HEADER)
    assert (message.height, message.width, message.step, message.encoding) == (2, 3, 3, "mono8")
    assert (message.is_bigendian, message.header) == (0, HEADER)
    assert bytes(message.data) == bytes([1, 2, 3, 4, 5, 255])


def test_bytes_of_16sc1() -> None:
    message = images.image_message(np.array([[-1000, 258]], np.int16), HEADER)
    assert (message.height, message.width, message.step, message.encoding) == (1, 2, 4, "16SC1")
    assert message.is_bigendian == 0
    assert bytes(message.data) == b"\x18\xfc\x02\x01"  # -1000 = 0xfc18, 258 = 0x0102, little-endian


def test_bytes_of_bgra8_are_opaque_grey() -> None:
    message = images.image_message(images.bgra(np.array([[1, 2], [3, 255]], np.uint8)), HEADER)
    assert (message.height, message.width, message.step, message.encoding) == (2, 2, 8, "bgra8")
    assert bytes(message.data) == bytes([1, 1, 1, 255, 2, 2, 2, 255, 3, 3, 3, 255, 255, 255, 255, 255])
    assert images.pixels_of(message).tolist() == [[1, 2], [3, 255]]


def test_pixels_are_read_back() -> None:
    pixels = np.arange(6, dtype=np.uint8).reshape(2, 3)
    np.testing.assert_array_equal(images.pixels_of(images.image_message(pixels, HEADER)), pixels)


def test_a_view_of_an_array_is_written_row_by_row() -> None:
    pixels = np.arange(12, dtype=np.uint8).reshape(3, 4)
    message = images.image_message(pixels.T[::2], HEADER)
    assert bytes(message.data) == bytes([0, 4, 8, 2, 6, 10])


@pytest.fixture
def cv_bridge(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A module that fills messages as cv_bridge's Python code does; tells what it was asked for."""
    asked: list[str] = []

    class CvBridge:
        def cv2_to_imgmsg(self, cvim: Any, encoding: str = "passthrough", header: Header | None = None) -> Image:
            asked.append(encoding)
            message = Image(height=cvim.shape[0], width=cvim.shape[1], encoding=encoding)
            message.header = header
            message.is_bigendian = cvim.dtype.byteorder == ">"
            message.data = array("B", cvim.tobytes())
            message.step = len(message.data) // message.height
            return message

    module = ModuleType("cv_bridge")
    module.__spec__ = ModuleSpec("cv_bridge", None)
    module.CvBridge = CvBridge  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "cv_bridge", module)
    return asked


@pytest.mark.parametrize("pixels", [np.arange(6, dtype=np.uint8), np.arange(-3, 3, dtype=np.int16) * 300])
def test_with_and_without_cv_bridge_the_bytes_are_the_same(
    pixels: Any, cv_bridge: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    images._bridge.cache_clear()
    with_it = images.image_message(pixels.reshape(2, 3), HEADER)
    assert cv_bridge == ["mono8", with_it.encoding]  # the first one tries whether it works at all
    monkeypatch.setattr(images, "_bridge", lambda: None)
    without = images.image_message(pixels.reshape(2, 3), HEADER)
    assert with_it == without  # field by field: serialised, the gaps between fields hold anything
    assert bytes(with_it.data) == bytes(without.data)
    assert len(serialize_message(with_it)) == len(serialize_message(without))


def test_a_cv_bridge_that_fails_at_its_first_conversion_is_gone_without(
    cv_bridge: list[str], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Ubuntu's, built for NumPy 1, does so beside NumPy 2."""

    def fails(*_: Any, **__: Any) -> Image:
        raise RuntimeError("Unable to convert")

    monkeypatch.setattr(sys.modules["cv_bridge"].CvBridge, "cv2_to_imgmsg", fails)
    images._bridge.cache_clear()
    message = images.image_message(np.arange(6, dtype=np.uint8).reshape(2, 3), HEADER)
    assert bytes(message.data) == bytes(range(6))
    images.image_message(np.zeros((2, 3), np.uint8), HEADER)
    told = capfd.readouterr().err
    assert told.count("cv_bridge does not work (RuntimeError: Unable to convert); images are filled without it") == 1


@pytest.fixture(autouse=True)
def _forget_cv_bridge() -> Any:
    yield
    getattr(images._bridge, "cache_clear", lambda: None)()


def test_soft_window() -> None:
    hu = np.array([[-1000, -150, 51, 250, 3000]], np.int16)
    assert images.soft_window(hu).tolist() == [[0, 0, 128, 255, 255]]  # 201 of 400 HU
