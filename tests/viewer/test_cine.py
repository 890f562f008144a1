"""The cine loop, by hand."""

from __future__ import annotations

from us_sim.viewer.cine import MOST, Cine

S = 1_000_000_000


def test_the_last_ten_seconds_are_kept() -> None:
    cine = Cine()
    for second in range(15):
        cine.add(second * S, second)
    assert cine.frames() == list(range(4, 15))
    assert cine.times() == [float(t) for t in range(11)]
    assert (cine.frame(0), cine.frame(3), cine.frame(99), cine.frame(-5)) == (4, 7, 14, 4)


def test_frames_that_come_faster_do_not_fill_the_memory() -> None:
    cine = Cine()
    for number in range(MOST + 5):
        cine.add(number, number)
    assert len(cine) == MOST
    assert cine.frame(0) == 5


def test_the_same_pose_drawn_again_takes_the_place_of_the_first() -> None:
    cine = Cine()
    cine.add(S, "before")
    cine.add(S, "after")
    assert cine.frames() == ["after"]


def test_a_bag_played_again_begins_a_new_loop() -> None:
    cine = Cine()
    cine.add(5 * S, "old")
    cine.add(4 * S, "new")
    assert cine.frames() == ["new"]


def test_the_loop_plays_in_its_own_time_and_goes_round() -> None:
    cine = Cine()
    for place, stamp in enumerate((0, S, 4 * S)):  # 0, 1 and 4 s; the last is shown for the mean interval, 2 s
        cine.add(stamp, place)
    assert [cine.place_at(t) for t in (0.0, 0.9, 1.0, 3.9, 4.0, 5.9, 6.0, 7.0)] == [0, 0, 1, 1, 2, 2, 0, 1]
    single = Cine()
    single.add(S, "one")
    assert single.place_at(3.7) == 0
