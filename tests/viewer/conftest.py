"""A viewer beside the nodes of the ROS tests, in one process."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rclpy.parameter import Parameter
from tests.ros.conftest import World, world

from us_sim.viewer.node import Viewer

__all__ = ["World", "viewer", "world"]

Start = Callable[..., Viewer]


@pytest.fixture
def viewer(world: World, tmp_path: Path) -> Start:
    """Starts a viewer; its recordings go to the test's folder."""

    def start(namespace: str = "", **parameters: Any) -> Viewer:
        given = {"recordings": str(tmp_path / "recordings"), **parameters}
        overrides = [Parameter(name, value=value) for name, value in given.items()]
        node = Viewer(context=world.context, namespace=namespace, parameter_overrides=overrides)
        world.add(node)
        return node

    return start
