"""The page in a real browser: a kidney is found, measured and saved; a slider changes the published image, a drag
changes the pose."""

from __future__ import annotations

import math
import os
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pydicom
import pytest
from geometry_msgs.msg import PoseStamped
from rclpy.parameter import Parameter
from sensor_msgs.msg import Image
from tests.viewer.phantoms import LENGTH, torso
from us_sim_msgs.msg import Contact, FrameInfo

from us_sim.bringup.browser import PROGRAM, Browser
from us_sim.core import assembly, patient_source
from us_sim.core.geometry.transforms import rotation_from_quaternion
from us_sim.core.simulator import Simulator
from us_sim.core.tissue import TissueClass
from us_sim.ros.conversions import pose_matrix, pose_message
from us_sim.ros.images import pixels_of
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
WORD = """(() => {  // the middle of a word
    const word = [...document.querySelectorAll("*")].find(e => !e.children.length && e.textContent === "%s");
    const box = word && word.getBoundingClientRect();
    return box && [box.x + box.width / 2, box.y + box.height / 2]; })()"""
VIEW_BUTTON = """(() => {  // of a standard view
    const page = document.getElementById("view").contentDocument;
    let row = page && [...page.querySelectorAll("*")].find(e => !e.children.length && e.textContent === "%s");
    while (row && !row.querySelector("button")) row = row.parentElement;
    const button = row && [...row.querySelectorAll("button")].find(e => e.textContent === "%s");
    if (button) button.click();
    return Boolean(button);
})()"""
CANVAS = """(() => { const box = document.querySelector("canvas").getBoundingClientRect();
    return [box.x, box.y, box.width, box.height]; })()"""


@pytest.fixture(scope="module")
def program() -> Iterator[Browser]:
    browser = Browser(1280, 720)
    yield browser
    browser.close()


@pytest.fixture
def browser(program: Browser, request: pytest.FixtureRequest) -> Iterator[Browser]:
    """An empty page of the browser that all tests share."""
    program.resize(1280, 720)
    program.errors.clear()
    yield program
    if folder := os.environ.get("US_SIM_SCREENSHOTS"):
        program.screenshot(Path(folder) / f"{request.node.name}.png")
    program.open("about:blank")


@pytest.fixture
def page(world: World, viewer: Callable[..., Viewer], browser: Browser, monkeypatch: pytest.MonkeyPatch) -> Viewer:
    """A viewer that a browser shows, on a ball of liver seen by the physics renderer."""
    monkeypatch.setattr(assembly, "Simulator", Simulator)
    monkeypatch.setattr(assembly, "open_generator", lambda name, device: None)
    world.add(UsSim(context=world.context, parameter_overrides=[Parameter("renderer", value="physics")]))
    node = viewer()
    browser.resize(620, 380)  # fewer pixels for the software renderer
    browser.open(f"{node.page.url}/view")
    world.until(lambda: node.page.watched and node.steering.ready and node.patient.info is not None)
    return node


@pytest.fixture
def console(world: World, viewer: Callable[..., Viewer], browser: Browser, monkeypatch: pytest.MonkeyPatch) -> Viewer:
    """A viewer whose console a browser shows, on a patient with two kidneys."""
    monkeypatch.setattr(assembly, "Simulator", Simulator)
    monkeypatch.setattr(assembly, "open_generator", lambda name, device: None)
    monkeypatch.setattr(patient_source, "builtin_patient", lambda seed, detail=True: torso())
    world.add(UsSim(context=world.context, parameter_overrides=[Parameter("renderer", value="physics")]))
    node = viewer()
    browser.call("Log.enable")
    browser.open(node.page.url)
    world.until(lambda: node.page.channel.watched and node.steering.ready and node.patient.info is not None)
    return node


def said(browser: Browser, what: str) -> str:
    """Return the words in a part of the console."""
    return str(browser.evaluate(f"document.getElementById('{what}').textContent"))


def press(browser: Browser, key: str) -> None:
    """Press and release a key."""
    text = {"text": key} if len(key) == 1 else {}
    browser.call("Input.dispatchKeyEvent", type="keyDown", key=key, **text)
    browser.call("Input.dispatchKeyEvent", type="keyUp", key=key)


def test_a_newcomer_measures_the_right_kidney_and_saves_it_as_dicom(
    world: World, console: Viewer, browser: Browser, tmp_path: Path
) -> None:
    world.until(lambda: said(browser, "badge") in ("LIVE", "STILL"))  # it begins on the skin
    assert said(browser, "mover") == "moved by nobody"
    world.until(lambda: browser.evaluate(VIEW_BUTTON % ("Right kidney", "long")))
    world.until(lambda: said(browser, "mover") == "moved by you")
    world.until(lambda: said(browser, "badge") == "LIVE" and not said(browser, "note"))
    assert console.steering.placement().point[0] > 40.0  # type: ignore[union-attr]
    press(browser, "d")
    world.until(lambda: said(browser, "badge") == "FROZEN" and said(browser, "rate") == "")
    box = browser.evaluate(
        "(() => { const b = image.getBoundingClientRect(); return [b.x, b.y, b.width, b.height]; })()"
    )
    assert box[2] > 0.9 * 640  # at 1280 × 720 it fills its half
    world.until(lambda: "labels" in (console.screen.frame or {}))  # the page has asked for them
    upper, lower = kidney_ends(console)
    start, end = ((box[0] + u * box[2], box[1] + v * box[3]) for u, v in (upper, lower))
    browser.drag(start, end)
    world.until(lambda: "Length" in said(browser, "results") and not console.screen.state()["follow"])
    world.until(lambda: console.screen.state()["marks"][0]["text"] in said(browser, "results"))  # the page may lag
    length = float(said(browser, "results").split("Length")[1].split()[0])
    assert length == pytest.approx(LENGTH, abs=6.0)  # voxels of 4 mm
    press(browser, "s")
    world.until(lambda: "_measurements.dcm" in said(browser, "results"))
    clip, report = (pydicom.dcmread(path) for path in sorted((tmp_path / "recordings").glob("*.dcm")))
    assert clip.NumberOfFrames >= 1
    assert float(report.ContentSequence[0].MeasuredValueSequence[0].NumericValue) == pytest.approx(length, abs=0.06)
    (name,) = (path.name for path in (tmp_path / "recordings").glob("*[0-9].dcm"))
    with urllib.request.urlopen(f"{console.page.url}/saved/{name}") as answer:
        assert answer.read()[128:132] == b"DICM"
    press(browser, "f")
    world.until(lambda: said(browser, "badge") == "LIVE")
    assert said(browser, "results").startswith("us_sim_")  # the callipers belonged to the frozen frame
    assert browser.errors == []


def kidney_ends(viewer: Viewer) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return both ends of the kidney in the frame that is shown, as shares of its width and height."""
    frame, probe = viewer.screen.frame, viewer.screen.probe
    assert frame is not None
    assert probe is not None
    row, column = np.nonzero(pixels_of(frame["labels"]) == TissueClass.KIDNEY)
    first, last = np.argmin(column), np.argmax(column)
    u, v = (column + 0.5) / probe.width, (row + 0.5) / probe.height
    return (float(u[first]), float(v[first])), (float(u[last]), float(v[last]))


PAD = """(() => {  // a pad whose sticks are deflected, as the browser would show it
    window.pad = {index: 0, id: "%s", axes: [1, 0, 0, 0.1, 0, -1], buttons: []};
    navigator.getGamepads = () => [window.pad];
    document.hasFocus = () => true;
    window.dispatchEvent(new Event("gamepadconnected"));
})()"""


@pytest.mark.parametrize(("name", "turns"), [("Xbox 360 Controller", False), ("3Dconnexion SpaceMouse Pro", True)])
def test_a_game_pad_slides_the_probe_and_freezes(
    world: World, console: Viewer, browser: Browser, name: str, turns: bool
) -> None:
    """At rest below 15 %; the sixth axis of a SpaceMouse rotates, a game pad has no more than four."""
    world.until(lambda: said(browser, "badge") in ("LIVE", "STILL"))
    before = console.steering.placement()
    assert before is not None
    browser.evaluate(PAD % name)

    def moved() -> bool:
        now = console.steering.placement()
        assert now is not None
        turned = abs(now.rotate - before.rotate) > 0.04
        return now.point[0] < before.point[0] - 3.0 and turned == turns and now.tilt == before.tilt

    world.until(moved)
    browser.evaluate("pad.axes = [0, 0, 0, 0, 0, 0], pad.buttons = [{pressed: true, value: 1}]")
    world.until(lambda: said(browser, "badge") == "FROZEN")
    assert browser.errors == []


def mover(page: Viewer) -> str:
    """Return who is said to move the probe."""
    return str(page.page.channel.state.get("mover", ""))


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


def test_a_slider_changes_the_image(world: World, page: Viewer, browser: Browser) -> None:
    images: list[Image] = world.listen(Image, "us_sim/image")
    page.steering.slide((0.0, 100.0, 0.0))
    world.until(lambda: images)
    assert {"Rotate °", "Tilt °", "Record"} <= set(browser.text().splitlines())

    def opened() -> bool:
        browser.click(*browser.evaluate(WORD % "Image"))
        return "Gain dB" in browser.text()

    world.until(opened)
    shown = "[...document.images].filter(i => i.naturalWidth > 500).length"  # none while a new frame is decoded
    world.until(lambda: browser.evaluate(shown) == 1)
    before = float(pixels_of(images[-1]).mean())
    typed = -math.inf

    def louder() -> bool:
        nonlocal typed
        if time.monotonic() - typed > 5.0:  # the page may still be finding its layout
            type_number(browser, "Gain dB", "30")
            typed = time.monotonic()
        return page.patient.info is not None and page.patient.info.gain == 30.0

    world.until(louder)
    world.until(lambda: pixels_of(images[-1]).mean() > before + 20)


def test_closed_and_opened_again_the_probe_is_where_it_was(world: World, page: Viewer, browser: Browser) -> None:
    page.steering.slide((60.0, 100.0, 0.0))
    world.until(lambda: mover(page) == "moved by you" and page.count_subscribers("us_sim/image") == 1)
    held = page.steering.pose()
    assert held is not None
    browser.open("about:blank")
    world.until(lambda: page.count_subscribers("us_sim/image") == 0)  # nobody looks: nothing is computed
    infos: list[FrameInfo] = world.listen(FrameInfo, "us_sim/frame_info")
    browser.open(f"{page.page.url}/view")
    # The first frame may still be of the pose that the simulator heard last.
    world.until(lambda: infos and np.allclose(pose_matrix(infos[-1].ct_from_probe), held, atol=1e-6))
    world.until(lambda: mover(page) == "moved by you")


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
        return page.page.scene.probe.visible and mover(page) == "moved by client"

    world.until(followed)
    tried = -math.inf

    def dragged() -> bool:
        """Drag it by 30 mm; again after a while, as the page may not have drawn the probe and turned its camera."""
        nonlocal tried
        shown = page.steering.pose()
        assert shown is not None
        if shown[0, 3] <= 15.0 and time.monotonic() - tried > 5.0:
            grip = shown[:3, 3] - 80.0 * shown[:3, 2]
            browser.drag(on_screen(page, browser, grip), on_screen(page, browser, grip - 30.0 * shown[:3, 0]), steps=4)
            tried = time.monotonic()
        return page.steering.in_control and bool(shown[0, 3] > 15.0)

    world.until(dragged)
    world.until(lambda: pose_matrix(infos[-1].ct_from_probe)[0, 3] > 15.0)
    world.until(lambda: contacts[-1].in_contact and 0.002 < contacts[-1].penetration < 0.009)
    assert mover(page) == "moved by you"
    moved = page.steering.pose()
    assert moved is not None
    right = on_screen(page, browser, np.array([-15.0, *moved[1:3, 3] - (0.0, 15.0)]))
    browser.click(*right)
    world.until(lambda: pose_matrix(infos[-1].ct_from_probe)[0, 3] < 0.0)
