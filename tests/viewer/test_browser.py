"""The page in a real browser: it loads, a slider changes the published image, a drag changes the pose."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from geometry_msgs.msg import PoseStamped
from rclpy.parameter import Parameter
from sensor_msgs.msg import Image
from tests.viewer.browser import PROGRAM, Browser
from us_sim_msgs.msg import Contact, FrameInfo

from us_sim.core import assembly
from us_sim.core.geometry.transforms import rotation_from_quaternion
from us_sim.core.simulator import Simulator
from us_sim.ros.conversions import pixels_of, pose_matrix, pose_message
from us_sim.ros.node import UsSim
from us_sim.viewer.node import Viewer
from us_sim.viewer.placement import Placement

if TYPE_CHECKING:
    from tests.ros.conftest import World

pytestmark = [
    pytest.mark.skipif(PROGRAM is None, reason="needs Chromium or Chrome on the PATH"),
    pytest.mark.alone,  # the browser draws in software on all cores
]

INPUT = """(() => {  // the number beside a slider
    const label = [...document.querySelectorAll("*")].find(e => !e.children.length && e.textContent === "%s");
    let row = label;
    const number = "input:not([type=hidden])";
    while (!row.querySelector(number)) row = row.parentElement;
    const box = row.querySelector(number).getBoundingClientRect();
    return [box.x + box.width / 2, box.y + box.height / 2];
})()"""
CANVAS = """(() => { const box = document.querySelector("canvas").getBoundingClientRect();
    return [box.x, box.y, box.width, box.height]; })()"""


@pytest.fixture
def browser() -> Iterator[Browser]:
    browser = Browser()
    yield browser
    folder = os.environ.get("US_SIM_SCREENSHOTS")
    if folder:
        browser.screenshot(Path(folder) / "browser_test.png")
    browser.close()


@pytest.fixture
def page(world: World, viewer: Callable[..., Viewer], browser: Browser, monkeypatch: pytest.MonkeyPatch) -> Viewer:
    """A viewer that a browser shows, on a ball of liver seen by the physics renderer."""
    monkeypatch.setattr(assembly, "Simulator", Simulator)
    monkeypatch.setattr(assembly, "open_generator", lambda name, device: None)
    world.add(UsSim(context=world.context, parameter_overrides=[Parameter("renderer", value="physics")]))
    node = viewer()
    browser.open(node.page.url)
    world.until(lambda: node.page.watched and node.steering.ready and node._info is not None)
    return node


def type_number(browser: Browser, label: str, number: str) -> None:
    """Write a number beside a slider, as a user does who knows the value."""
    x, y = browser.evaluate(INPUT % label)
    for count in (1, 2, 3):  # a triple click selects what is there
        for kind in ("mousePressed", "mouseReleased"):
            browser.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=count)
    browser.call("Input.insertText", text=number)
    for kind in ("keyDown", "keyUp"):
        browser.call("Input.dispatchKeyEvent", type=kind, key="Enter", code="Enter", windowsVirtualKeyCode=13)


def on_screen(page: Viewer, browser: Browser, point: Any) -> tuple[float, float]:
    """Return where a (3,) point, mm in `ct`, is seen."""
    (client,) = page.page.server.get_clients().values()
    w, x, y, z = client.camera.wxyz
    seen = rotation_from_quaternion(x, y, z, w).T @ (np.asarray(point) - client.camera.position)
    left, top, width, height = browser.evaluate(CANVAS)
    focal = 0.5 * height / np.tan(0.5 * client.camera.fov)
    across, down = focal * seen[:2] / seen[2]
    return left + 0.5 * width + across, top + 0.5 * height + down


def test_the_page_shows_frames_and_its_slider_changes_them(world: World, page: Viewer, browser: Browser) -> None:
    images: list[Image] = world.listen(Image, "us_sim/image")
    page.steering.slide((0.0, 100.0, 0.0))
    world.until(lambda: "moved by you" in browser.text())
    world.until(lambda: images)
    assert {"Rotate °", "Gain dB", "Depth mm", "Record", "Organ outlines"} <= set(browser.text().splitlines())
    assert browser.evaluate("[...document.images].filter(i => i.naturalWidth > 500).length") == 2
    before = float(pixels_of(images[-1]).mean())
    typed = -math.inf

    def louder() -> bool:
        nonlocal typed
        if time.monotonic() - typed > 5.0:  # the page may still be finding its layout
            type_number(browser, "Gain dB", "30")
            typed = time.monotonic()
        return page._info is not None and page._info.gain == 30.0

    world.until(louder)
    world.until(lambda: pixels_of(images[-1]).mean() > before + 20)
    world.until(lambda: "liver" in browser.text())


def test_closed_and_opened_again_the_probe_is_where_it_was(world: World, page: Viewer, browser: Browser) -> None:
    page.steering.slide((60.0, 100.0, 0.0))
    world.until(lambda: "moved by you" in browser.text() and page.count_subscribers("us_sim/image") == 1)
    held = page.steering.pose()
    assert held is not None
    browser.open("about:blank")
    world.until(lambda: page.count_subscribers("us_sim/image") == 0)  # nobody looks: nothing is computed
    infos: list[FrameInfo] = world.listen(FrameInfo, "us_sim/frame_info")
    browser.open(page.page.url)
    world.until(lambda: infos)
    np.testing.assert_allclose(pose_matrix(infos[-1].ct_from_probe), held, atol=1e-6)
    world.until(lambda: "moved by you" in browser.text())


def test_dragging_the_probe_slides_it_over_the_skin(world: World, page: Viewer, browser: Browser) -> None:
    infos: list[FrameInfo] = world.listen(FrameInfo, "us_sim/frame_info")
    contacts: list[Contact] = world.listen(Contact, "us_sim/contact")
    poses = world.client.create_publisher(PoseStamped, "us_sim/probe_pose", 1)
    skin = page.steering._skin
    assert skin is not None
    start = PoseStamped(pose=pose_message(Placement(skin.nearest((0.0, 100.0, 0.0))).pose(skin)))
    start.header.frame_id = "ct"

    def followed() -> bool:
        poses.publish(start)
        return page.page.scene.probe.visible and "moved by others" in browser.text()

    world.until(followed)
    tried = -math.inf

    def dragged() -> bool:
        """Drag it by 30 mm; again after a while, as the page may not have drawn the probe and turned its camera."""
        nonlocal tried
        shown = page.steering.pose()
        assert shown is not None
        if shown[0, 3] <= 15.0 and time.monotonic() - tried > 5.0:
            grip = shown[:3, 3] - 80.0 * shown[:3, 2]
            browser.drag(on_screen(page, browser, grip), on_screen(page, browser, grip - 30.0 * shown[:3, 0]))
            tried = time.monotonic()
        return page.steering.in_control and bool(shown[0, 3] > 15.0)

    world.until(dragged)
    world.until(lambda: pose_matrix(infos[-1].ct_from_probe)[0, 3] > 15.0)
    world.until(lambda: contacts[-1].in_contact and 0.002 < contacts[-1].penetration < 0.009)
    assert "moved by you" in browser.text()
    moved = page.steering.pose()
    assert moved is not None
    right = on_screen(page, browser, np.array([-15.0, *moved[1:3, 3] - (0.0, 15.0)]))
    browser.click(*right)
    world.until(lambda: pose_matrix(infos[-1].ct_from_probe)[0, 3] < 0.0)
