"""What the soak measures of a process, and how it tells growth from chance. The soak itself is `make soak`."""

from __future__ import annotations

import os
import threading

import numpy as np
import pytest

pytest.importorskip("rclpy")
pytest.importorskip("viser")

from us_sim.bringup.soak import Record, slope


def test_a_slope_and_its_error_by_hand() -> None:
    """Through (0, 1), (1, 3), (2, 2), (3, 6): mean 1.5 and 3, slope 7/5; what is left: 0.1, 0.7, -1.7, 0.9."""
    rise, error = slope([0, 1, 2, 3], [1, 3, 2, 6])
    assert rise == pytest.approx(1.4)
    assert error == pytest.approx(np.sqrt((0.01 + 0.49 + 2.89 + 0.81) / 2 / 5))


def test_growth_is_counted_once_warm() -> None:
    """12 MiB/h from the third part on; what is loaded before does not count."""
    record = Record([(t, 500 * min(t, 0.3) + 12 * t, 7, 3) for t in np.linspace(0, 0.9, 31)])
    assert record.grown(1) == pytest.approx((150 + 12 * 0.9, 12, 0), abs=1e-6)
    assert record.grown(2) == pytest.approx((7, 0, 0))


def test_a_look_at_this_process() -> None:
    """A descriptor and a thread more are one more of each."""
    record, done = Record(), threading.Event()
    record.look(os.getpid(), 0.0)
    thread = threading.Thread(target=done.wait)
    with open(os.devnull):
        thread.start()
        record.look(os.getpid(), 0.1)
    done.set()
    thread.join()
    (_, memory, files, threads), (_, _, files_later, threads_later) = record.rows
    assert memory > 20
    assert (files_later - files, threads_later - threads) == (1, 1)
