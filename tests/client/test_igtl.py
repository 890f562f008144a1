"""Frames over OpenIGTLink, read by pyigtl's own client."""

from __future__ import annotations

import socket
import time

import numpy as np
import pytest

from us_sim.core.geometry.probe import preset
from us_sim.core.geometry.transforms import apply, rigid, rotation_from_vector

pyigtl = pytest.importorskip("pyigtl")

POSE = rigid(rotation_from_vector([0.3, -0.5, 1.1]), (40.0, -70.0, 900.0))


def placed() -> np.ndarray:
    from us_sim.client.igtl_message import ct_from_ijk

    probe = preset("c5_2")
    return ct_from_ijk(POSE, probe.pixel_spacing, probe.first_pixel, probe.slice_thickness)


def test_pixels_lie_where_the_probe_says() -> None:
    row, column = 30, 200
    expected = apply(POSE, preset("c5_2").pixel_points[row, column])
    np.testing.assert_allclose(apply(placed(), [column, row, 0]), expected, atol=1e-3)


def test_the_axes_of_an_image_are_right_handed() -> None:
    assert np.linalg.det(placed()[:3, :3]) > 0


def test_a_client_receives_image_pose_and_stamp() -> None:
    from us_sim.client.igtl_message import IMAGE, TRANSFORM, messages

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    pixels = np.random.default_rng(0).integers(0, 255, (256, 256), dtype=np.uint8)
    server = pyigtl.OpenIGTLinkServer(port=port, local_server=True)
    client = pyigtl.OpenIGTLinkClient("127.0.0.1", port)
    try:
        deadline = time.monotonic() + 20
        while not (server.is_connected() and client.is_connected()) and time.monotonic() < deadline:
            time.sleep(0.01)
        for message in messages(pixels, POSE, placed(), 1234.5):
            server.send_message(message, wait=True)
        image = client.wait_for_message(IMAGE, timeout=20)
        pose = client.wait_for_message(TRANSFORM, timeout=20)
    finally:
        client.stop()
        server.stop()
    np.testing.assert_array_equal(np.squeeze(image.image), pixels)
    world = np.diag([-1, -1, 1, 1]) if image.world_coordinate_system == "lps" else np.eye(4)
    np.testing.assert_allclose(world @ image.ijk_to_world_matrix, placed(), atol=1e-2)
    np.testing.assert_allclose(pose.matrix, POSE, atol=1e-3)
    assert image.timestamp == pytest.approx(1234.5, abs=1e-3)
