"""A trained generator as a sensor: 30 frames a second, services answered meanwhile, the newest pose first."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

import pytest

rclpy = pytest.importorskip("rclpy")
pytestmark = pytest.mark.alone

from sensor_msgs.msg import Image  # noqa: E402
from tests.ros.conftest import World  # noqa: E402

from us_sim.bringup.round_trip import SERVICES, measured  # noqa: E402
from us_sim.ros.node import UsSim  # noqa: E402

TRIES = 2  # what else runs on the machine may disturb one of them
FLOOD, RATE = 1000, 500.0  # poses, and how many a second


def test_30_hz_with_services_answered_within_20_ms() -> None:
    found = []
    for _ in range(TRIES):
        rows = measured(30.0, 4.0, ["generator:=abdomen_lite"])
        slowest = max(rows[name]["p95"] for name in SERVICES)
        found.append((rows["image"]["rate"], rows["image"]["p95"], slowest))
        if found[-1][0] > 28 and found[-1][1] < 40 and slowest < 20:
            return
    told = f"images a second, 95 % of images and of services in ms: {found}"
    if os.getloadavg()[0] > 1.5 * len(os.sched_getaffinity(0)):
        pytest.skip(f"the machine is busy with other things; {told}")
    # Met until frames got richer: at the last look a lite frame took 1.1 times the CPU of then (docs/performance.md).
    pytest.xfail(f"not met on this machine; {told}")


@pytest.fixture
def real_world() -> Iterator[World]:
    world = World()
    yield world
    world.close()
    assert not world.failures


def test_of_500_poses_a_second_the_newest_is_drawn(real_world: World) -> None:
    """Poses do not queue: when they end, one frame may be in work and one waits, that of the last pose."""
    world = real_world
    given = {"renderer": "generator", "generator": "abdomen_lite"}
    node = UsSim(context=world.context, parameter_overrides=[
        rclpy.parameter.Parameter(name, value=value) for name, value in given.items()
    ])  # fmt: skip
    world.add(node)
    images = world.listen(Image, "us_sim/image")
    world.listened(node.session.outputs.image)
    send = world.sender(node)
    world.until(lambda: images)
    start = time.monotonic()
    for place in range(FLOOD):
        send(world.pose(10.0 + place / RATE))
        time.sleep(max(0.0, start + place / RATE - time.monotonic()))  # the rate of the input, no synchronisation
    counts = node.session.statistics.counts
    drawn = counts["rendered"]
    world.until(lambda: images[-1].header.stamp == node.session.stream._last.stamp)  # type: ignore[union-attr]
    assert counts["rendered"] - drawn <= 3
    stamps = [image.header.stamp.sec + image.header.stamp.nanosec * 1e-9 for image in images]
    assert stamps == sorted(stamps)
    assert counts["skipped"] > counts["rendered"] > 10
