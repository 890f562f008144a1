"""Which poses pass, and why the others do not."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from builtin_interfaces.msg import Time
from geometry_msgs.msg import PoseStamped

from us_sim.core.geometry.transforms import rigid
from us_sim.ros.mailbox import Mailbox
from us_sim.ros.poses import RefusedError, StampOrder, locate


def stamp(seconds: float) -> Time:
    return Time(sec=int(seconds), nanosec=round(seconds % 1 * 1e9))


def accept(order: StampOrder, seconds: float) -> None:
    order.check(stamp(seconds))
    order.accept(stamp(seconds))


def test_newer_and_equal_stamps_pass() -> None:
    order = StampOrder()
    for seconds in (5.0, 5.0, 5.1):
        accept(order, seconds)


@pytest.mark.parametrize("seconds", [4.999, 4.0])
def test_an_older_stamp_is_refused(seconds: float) -> None:
    order = StampOrder()
    accept(order, 5.0)
    with pytest.raises(RefusedError, match="older than the last accepted") as caught:
        order.check(stamp(seconds))
    assert caught.value.reason == "old stamp"


def test_a_jump_back_of_over_a_second_starts_anew() -> None:
    order = StampOrder()
    accept(order, 5.0)
    accept(order, 3.9)
    accept(order, 4.0)


def test_a_negative_stamp_is_refused() -> None:
    with pytest.raises(RefusedError, match="-1 s; expected zero or later"):
        StampOrder().check(Time(sec=-1))


def message(frame: str) -> PoseStamped:
    pose = PoseStamped()
    pose.header.frame_id = frame
    pose.pose.position.x = 0.1
    pose.pose.orientation.w = 1.0
    return pose


def unknown(frame: str, stamp: Time) -> np.ndarray:
    raise RefusedError("unknown frame", f"frame {frame!r} is unknown")


def test_a_pose_in_ct_needs_no_transform() -> None:
    np.testing.assert_allclose(locate(message("ct"), "ct", unknown)[:3, 3], [100.0, 0.0, 0.0])


def test_a_pose_in_another_frame_is_carried_over() -> None:
    up = rigid(np.eye(3), (0.0, 0.0, 7.0))
    np.testing.assert_allclose(locate(message("table"), "ct", lambda *_: up)[:3, 3], [100.0, 0.0, 7.0])


@pytest.mark.parametrize(
    ("bad", "reason", "match"),
    [(message(""), "no frame", "empty frame_id; expected 'ct'"), (message("nowhere"), "unknown frame", "nowhere")],
)
def test_a_pose_without_a_known_frame_is_refused(bad: PoseStamped, reason: str, match: str) -> None:
    with pytest.raises(RefusedError, match=match) as caught:
        locate(bad, "ct", unknown)
    assert caught.value.reason == reason


def test_an_invalid_pose_is_refused() -> None:
    bad = message("ct")
    bad.pose.orientation.w = 0.0
    with pytest.raises(RefusedError, match="length 0") as caught:
        locate(bad, "ct", unknown)
    assert caught.value.reason == "invalid pose"


def test_the_mailbox_holds_the_newest() -> None:
    box: Mailbox[int] = Mailbox()
    assert not box.put(1)
    assert box.put(2)
    assert box.take() == 2
    assert not box.put(3)


def test_a_closed_mailbox_lets_its_reader_go() -> None:
    box: Mailbox[int] = Mailbox()
    taken: list[int | None] = []
    reader = threading.Thread(target=lambda: taken.append(box.take()))
    reader.start()
    box.close()
    reader.join(5)
    assert taken == [None]
