"""The console's screen: freeze, cine loop and callipers, with frames that are told by hand."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy")
from sensor_msgs.msg import Image
from us_sim_msgs.msg import FrameInfo

from us_sim.core.geometry.probe import ProbeGeometry, ProbeKind
from us_sim.viewer.console import Console
from us_sim.viewer.screen import MOST_MARKS, Screen

PROBE = ProbeGeometry(ProbeKind.LINEAR, depth=50.0, aperture=40.0, width=64, height=160, scan_lines=32, samples=64)


def frame(second: int, frozen: bool = False) -> dict[str, Any]:
    info = FrameInfo(frozen=frozen, renderer="physics")
    info.header.stamp.sec = second
    pixels = np.full((160, 64), second, np.uint8)
    image = Image(height=160, width=64, step=64, encoding="mono8", data=pixels.tobytes())
    return {"frame_info": info, "image": image}


@pytest.fixture
def screen() -> Screen:
    """Five frames, one each second, and the last of them frozen."""
    screen = Screen()
    screen.clear(PROBE)
    for second in range(1, 6):
        screen.take(frame(second))
    screen.take(frame(5, frozen=True))
    return screen


def second_of(screen: Screen) -> int:
    assert screen.frame is not None
    return int(screen.frame["frame_info"].header.stamp.sec)


def drag(screen: Screen, start: tuple[float, float], end: tuple[float, float]) -> None:
    screen.point("down", *start)
    screen.point("move", 0.9, 0.9)
    screen.point("up", *end)


def test_the_loop_is_looked_through_while_frozen_and_left_when_live(screen: Screen) -> None:
    assert (second_of(screen), screen.place, len(screen.cine)) == (5, 4, 5)
    screen.scrub(1)
    assert second_of(screen) == 2
    screen.step(-5)
    assert second_of(screen) == 1
    assert screen.state()["cine"] == {"count": 5, "place": 0, "playing": False, "seconds": -4.0}
    screen.take(frame(5, frozen=True))  # the simulator repeats it
    assert second_of(screen) == 1
    screen.take(frame(6))
    assert (second_of(screen), screen.frozen) == (6, False)
    screen.scrub(0)  # live: there is nothing to look through
    assert second_of(screen) == 6


def test_the_loop_plays_on_and_is_held(screen: Screen, monkeypatch: pytest.MonkeyPatch) -> None:
    now = SimpleNamespace(monotonic=lambda: 100.0)
    monkeypatch.setattr("us_sim.viewer.screen.time", now)
    screen.scrub(0)
    screen.play()
    now.monotonic = lambda: 102.5
    screen.tick()
    assert second_of(screen) == 3
    screen.play()
    now.monotonic = lambda: 104.0
    screen.tick()
    assert (second_of(screen), screen.playing) == (3, False)


def test_a_distance_is_dragged(screen: Screen) -> None:
    screen.choose("distance")
    drag(screen, (0.25, 0.2), (1.0, 1.0))
    (mark,) = screen.state()["marks"]
    assert mark["text"] == "Length 50.0 mm"  # 30 mm across, 40 mm down
    assert mark["ends"] == [[0.25, 0.2], [1.0, 1.0]]
    drag(screen, (0.5, 0.5), (0.5, 0.5))  # a click draws nothing
    assert len(screen.marks) == 1
    screen.scrub(0)  # another frame: they would lie
    assert screen.marks == []


def test_an_ellipse_takes_its_third_point_from_the_pointer(screen: Screen) -> None:
    screen.choose("ellipse")
    drag(screen, (0.0, 0.5), (1.0, 0.5))
    assert screen.state()["follow"]
    screen.point("move", 0.5, 0.6)
    screen.point("down", 0.5, 0.7)
    screen.point("up", 0.5, 0.7)  # half axes 20 mm and 10 mm
    (mark,) = screen.state()["marks"]
    assert mark["text"] == "Area 6.3 cm²  Circumference 96.9 mm"
    assert not screen.state()["follow"]


def test_an_arrow_is_given_its_text_and_marks_are_taken_away(screen: Screen) -> None:
    screen.choose("arrow")
    drag(screen, (0.1, 0.1), (0.2, 0.2))
    screen.annotate("cyst")
    screen.choose("distance")
    drag(screen, (0.1, 0.1), (0.2, 0.2))
    screen.annotate("not an arrow")
    assert [mark["text"] for mark in screen.state()["marks"]] == ["cyst", "Length 6.4 mm"]
    screen.undo()
    assert len(screen.marks) == 1
    screen.point("down", 0.1, 0.1)
    screen.choose("")  # unfinished
    assert len(screen.marks) == 1
    screen.wipe()
    assert screen.marks == []


def test_marks_have_an_end_and_need_a_tool(screen: Screen) -> None:
    drag(screen, (0.1, 0.1), (0.2, 0.2))
    assert screen.marks == []
    screen.choose("distance")
    for _ in range(MOST_MARKS + 3):
        drag(screen, (0.1, 0.1), (0.2, 5.0))  # outside: at the edge
    assert len(screen.marks) == MOST_MARKS
    assert screen.marks[0].points[1][1] == pytest.approx(50.0)
    screen.choose("distance")
    assert screen.tool == ""
    screen.choose("distance")
    screen.take(frame(6))  # live again: what moves is not measured
    assert (screen.tool, screen.marks) == ("", [])


def test_what_is_saved_is_the_loop_and_the_marks_of_the_shown_frame(screen: Screen) -> None:
    screen.scrub(2)
    screen.choose("distance")
    drag(screen, (0.25, 0.2), (1.0, 1.0))
    screen.point("down", 0.5, 0.5)  # a second one is not finished
    clip = screen.clip("phantom-0", "ab")
    assert clip is not None
    assert ([int(one[0, 0]) for one in clip.frames], clip.shown, clip.interval) == ([1, 2, 3, 4, 5], 2, 1.0)
    assert len(clip.marks) == 2


def test_a_page_that_comes_to_a_frozen_image_saves_that() -> None:
    screen = Screen()
    screen.clear(PROBE)
    assert screen.clip("p", "") is None
    screen.take(frame(5, frozen=True))
    clip = screen.clip("p", "")
    assert clip is not None
    assert (len(clip.frames), clip.shown) == (1, 0)


class Asked:
    """What the console asks for, in words."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []

    def __getattr__(self, name: str) -> Any:
        return lambda *values, **named: self.calls.append((name, *values, *named.values()))


def test_messages_of_the_page_become_actions(screen: Screen) -> None:
    asked, refused = Asked(), list[str]()
    console = Console(screen, asked, refused.append)
    for message in (
        {"do": "nudge", "x": 3, "y": 0},
        {"do": "turn", "name": "tilt", "by": -3},
        {"do": "adjust", "name": "gain", "by": 2},
        {"do": "save", "kind": "dicom"},
        {"do": "freeze"},
        {"do": "scrub", "place": 1},
    ):
        console.take(message)
    assert asked.calls == [("nudge", 3.0, 0.0), ("turn_by", "tilt", -3.0), ("adjust", "gain", 2.0), ("save", "dicom"),
                           ("freeze", False)]  # fmt: skip
    assert second_of(screen) == 2
    assert not refused


def test_a_calliper_freezes_a_live_image() -> None:
    screen, asked = Screen(), Asked()
    screen.clear(PROBE)
    screen.take(frame(1))
    console = Console(screen, asked, lambda why: None)
    console.take({"do": "tool", "name": "distance"})
    assert asked.calls == [("freeze", True)]


@pytest.mark.parametrize(
    ("message", "why"),
    [
        ({"do": "explode"}, "explode"),
        ({"do": "scrub"}, "place"),
        ({"do": "scrub", "place": "x"}, "invalid literal"),
        ({"do": "adjust", "name": "renderer", "by": 1}, "expected one of gain, depth"),
        ({"do": "turn", "name": "tilt", "by": 1e9}, "expected a step of -180 to 180"),
        ({"do": "save", "kind": "exe"}, "expected one of png, gif, mp4, dicom"),
    ],
)
def test_messages_that_ask_for_nothing_are_refused(screen: Screen, message: dict[str, Any], why: str) -> None:
    refused: list[str] = []
    Console(screen, Asked(), refused.append).take(message)
    assert len(refused) == 1
    assert why in refused[0]


def test_words_stand_where_they_were_put_and_none_leave_nothing(screen: Screen) -> None:
    screen.choose("text")
    screen.point("down", 0.5, 0.25)
    screen.point("up", 0.5, 0.25)
    screen.annotate("cyst")
    (mark,) = screen.state()["marks"]
    assert (mark["kind"], mark["text"], mark["ends"]) == ("text", "cyst", [[0.5, 0.25]])
    screen.point("down", 0.5, 0.75)
    screen.annotate("")  # the user thought better of it
    assert len(screen.marks) == 1


def test_on_the_m_mode_strip_time_and_depth_are_dragged(screen: Screen) -> None:
    """The strip shows 6 s and 50 mm: from its middle at 20 mm to five sixths at 30 mm it is 2 s."""
    screen.point_strip("down", 0.5, 0.4)
    assert screen.marks == []  # there is no strip
    screen.show_m_mode()
    screen.choose("ellipse")
    screen.point_strip("down", 0.5, 0.4)
    assert screen.marks == []  # only a distance can be
    screen.choose("distance")
    drag(screen, (0.25, 0.4), (0.25, 0.6))
    for phase, u, v in (("down", 0.5, 0.4), ("move", 0.9, 0.9), ("up", 5 / 6, 0.6)):
        screen.point_strip(phase, u, v)
    on_image, on_strip = screen.state()["marks"]
    assert (on_image["strip"], on_image["text"]) == (False, "Length 10.0 mm")
    assert (on_strip["strip"], on_strip["text"]) == (True, "Time 2.00 s  Depth 10.0 mm  Velocity 5.0 mm/s")
    assert on_strip["line"] == [[0.5, 0.4], [0.8333, 0.6]]
    assert screen.state()["m_ruler"][4] == (1.0, "5")  # cm
    screen.choose("distance")
    screen.point("down", 0.9, 0.4)  # another scan line: what was measured on the one before goes
    assert [mark.kind for mark in screen.marks] == ["distance"]


def test_the_m_mode_line_goes_where_it_is_dragged_and_ends_with_the_shown_frame(screen: Screen) -> None:
    """Lines of a linear probe lie evenly: a quarter of the width is line 8 of 32, at 8.5/32."""
    assert screen.strip() is None
    assert screen.state()["m"] == []
    screen.show_m_mode()
    assert screen.state()["m"] == [[0.5156, 0.0], [0.5156, 1.0]]
    screen.point("down", 0.26, 0.4)
    assert [place[0] for place in screen.state()["m"]] == [0.2656, 0.2656]
    strip = screen.strip()
    assert strip is not None
    assert strip[40, -1] == 5
    screen.scrub(1)
    strip = screen.strip()
    assert strip is not None
    assert strip[40, -1] == 2
    screen.choose("distance")
    screen.point("down", 0.9, 0.4)
    assert screen.m_mode.line == 8  # a calliper is drawn, the line stays
    screen.show_m_mode()
    assert screen.strip() is None
