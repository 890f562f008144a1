"""What is brought to the page, and how often."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from std_msgs.msg import Header
from us_sim_msgs.msg import FrameInfo

from us_sim.ros.conversions import pose_message
from us_sim.ros.images import image_message
from us_sim.viewer import display as display_module
from us_sim.viewer.display import SPACE, Display
from us_sim.viewer.screen import Frame, Screen


class Shown:
    """A page without a browser: keeps what the 3-D view is given."""

    def __init__(self, *, sparing: bool = False) -> None:
        self.panel: Any = SimpleNamespace(settings={})
        self.channel = SimpleNamespace(sparing=sparing)
        self.scene, self.pictures, self.places = self, list[int](), list[float]()

    def show_frame(self, image: Any) -> None:
        self.pictures.append(int(image[0, 0]))

    def place(self, pose: Any) -> None:
        self.places.append(float(pose[0, 3]))

    def place_plane(self, pose: Any) -> None:
        assert pose[0, 3] == self.places[-1]


def frame(number: int) -> Frame:
    info = FrameInfo(ct_from_probe=pose_message(np.eye(4) + np.eye(4, k=3) * number))
    return {"image": image_message(np.full((4, 4), number, np.uint8), Header()), "frame_info": info}


def test_the_3d_view_follows_no_faster_than_it_can_be_drawn_and_ends_at_the_last(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Ten frames in 0.9 s, every 0.1 s, then nothing more for a second: the first, every second one, the last."""
    page: Any = Shown()
    nothing: Any = None
    shown = Display(page, Screen(), nothing, nothing)
    for look in range(20):
        monkeypatch.setattr(display_module.time, "monotonic", lambda now=100.0 + 0.1 * look: now)
        shown._show_in_space(FRAMES[min(look, 9)], None)
    assert page.pictures == [0, 2, 4, 6, 8, 9]
    assert page.places == pytest.approx(page.pictures)
    assert 0.1 < SPACE < 0.2


def test_without_a_graphics_card_the_3d_view_waits_three_seconds_unless_a_hand_moves_the_probe(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    page: Any = Shown(sparing=True)
    nothing: Any = None
    shown = Display(page, Screen(), nothing, nothing)
    for look in range(9):
        monkeypatch.setattr(display_module.time, "monotonic", lambda now=100.0 + 0.5 * look: now)
        shown._show_in_space(FRAMES[look], None)
    assert page.pictures == [0, 6]  # at 100 and 103 s
    shown._show_in_space(FRAMES[9], np.eye(4) + np.eye(4, k=3) * 9)  # a second later, by hand
    assert page.pictures == [0, 6, 9]


def test_one_request_for_another_renderer_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A simulator that takes 2 s for an answer is not asked again meanwhile; one that does not answer, after 10 s."""
    page, asked = Shown(), list[Any]()
    page.panel.compare = SimpleNamespace(value="physics")
    remote: Any = SimpleNamespace(draw=lambda pose, ct_frame, renderer, then: asked.append(then))
    nothing: Any = None
    screen = Screen()
    shown = Display(page, screen, nothing, remote)  # type: ignore[arg-type]
    page.show_other = lambda image: None  # type: ignore[attr-defined]

    def look(seconds: float) -> int:
        monkeypatch.setattr(display_module.time, "monotonic", lambda: 100.0 + seconds)
        shown._show_other(frame(round(10 * seconds)), nothing)
        return len(asked)

    assert [look(0.1 * step) for step in range(20)] == [1] * 20
    asked[0](np.zeros((4, 4), np.uint8))  # answered at 1.9 s
    assert [look(2.0), look(2.2), look(2.4)] == [1, 1, 2]
    assert [look(12.3), look(12.5)] == [2, 3]


def test_saved_files_are_offered_for_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    page: Any = Shown()
    nothing: Any = None
    shown, times = Display(page, Screen(), nothing, nothing), iter([100.0, 159.0, 161.0])
    monkeypatch.setattr(display_module.time, "monotonic", lambda: next(times))
    shown.offer(["clip.dcm"])
    assert (shown.saved, shown.saved) == (["clip.dcm"], [])


def test_a_frozen_image_does_not_hide_who_moves_the_probe() -> None:
    """No new frame has come for long: live, nobody moves the probe; frozen, somebody may."""
    link: Any = SimpleNamespace(alive=True, failure="", loading="", starting=lambda _: 0.0, mover=lambda *_: "the demo")
    remote: Any = SimpleNamespace(there=True, demo_held=False, takes_poses=True)
    screen, page = Screen(), Shown()
    shown: Any = Display(page, screen, link, remote)  # type: ignore[arg-type]
    shown._info = SimpleNamespace(patient="phantom-0", renderer="physics")
    assert shown._state(False)["mover"] == "moved by nobody"
    screen.frozen = True
    assert shown._state(False)["mover"] == "moved by the demo"


FRAMES = [frame(number) for number in range(10)]
