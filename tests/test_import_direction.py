"""Imports run one way: the rooms of the design, held by reading every module's imports."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCES = Path(__file__).resolve().parents[1] / "ros2_ws" / "src"
PACKAGES = [SOURCES / "us_sim" / "us_sim", SOURCES / "scyclegan_train" / "scyclegan_train"]
LAWS = tuple(f"us_sim.control.{name}" for name in ("admittance", "guard", "raster", "scanning", "visual_servo"))
CLIENTS = ("us_sim.viewer", "us_sim.control")  # they talk to the node by its topics
ROS = ("rclpy", "ament_index_python", "tf2_ros", "cv_bridge", "launch", "launch_ros", "rcl_interfaces")


def module_name(path: Path) -> str:
    """Return the dotted name of a file below one of PACKAGES."""
    package = next(package for package in PACKAGES if package in path.parents)
    parts = path.relative_to(package.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(source: str, name: str, is_package: bool = False) -> Iterator[str]:
    """Yield the full name of everything that a module's text imports, also inside functions."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            kept = name.split(".")[: len(name.split(".")) - node.level + is_package] if node.level else []
            base = ".".join([*kept, *([node.module] if node.module else [])])
            yield from (f"{base}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if called in ("import_module", "__import__") and isinstance(node.args[0].value, str):
                yield node.args[0].value


def within(imported: str, *rooms: str) -> bool:
    """Whether a name lies in one of the rooms."""
    return any(imported == room or imported.startswith(f"{room}.") for room in rooms)


def is_ros(imported: str) -> bool:
    """Whether a name belongs to ROS 2 or is an interface package."""
    return within(imported, *ROS) or imported.split(".")[0].endswith(("_msgs", "_srvs", "_interfaces"))


def forbidden(importer: str, imported: str) -> bool:
    """Whether this import runs against the design."""
    if within(imported, "scyclegan_train"):
        return not within(importer, "scyclegan_train")
    if within(imported, "us_sim.ros.node") and within(importer, *CLIENTS):
        return True
    if within(imported, "us_sim.control") and within(importer, "us_sim.ros", "us_sim.viewer"):
        return True
    if within(importer, *LAWS) and within(imported, *LAWS):
        return False
    if within(imported, "us_sim.ros", *CLIENTS) or is_ros(imported):
        return not within(importer, "us_sim.ros", *CLIENTS) or within(importer, *LAWS)
    return False


MODULES = sorted(path for package in PACKAGES for path in package.rglob("*.py"))


@pytest.mark.parametrize("path", MODULES, ids=module_name)
def test_a_module_imports_only_what_its_room_may(path: Path) -> None:
    name = module_name(path)
    found = imports(path.read_text(), name, is_package=path.name == "__init__.py")
    assert [imported for imported in found if forbidden(name, imported)] == []


@pytest.mark.parametrize(
    ("importer", "source"),
    [
        ("us_sim.core.physics", "import rclpy"),
        ("us_sim.core.physics", "from sensor_msgs.msg import Image"),
        ("us_sim.core.physics", "from ..ros import node"),
        ("us_sim.core.physics", "def f():\n    from us_sim.ros.conversions import metres"),
        ("us_sim.render", "from std_srvs.srv import SetBool"),
        ("us_sim.render", "from importlib import import_module\nimport_module('rclpy.node')"),
        ("us_sim.ros.node", "import scyclegan_train.loop"),
        ("us_sim.ros.sim", "from us_sim.control.robot import Robot"),
        ("us_sim.core.motion", "from us_sim.control import admittance"),
        ("us_sim.control.robot", "from us_sim.ros.node import UsSim"),
        ("us_sim.viewer.node", "from us_sim.ros import node"),
        ("us_sim.control.visual_servo", "from us_sim_msgs.msg import Analysis"),
        ("us_sim.control.admittance", "from us_sim.ros.conversions import pose_matrix"),
        ("scyclegan_train.loop", "import us_sim.ros"),
        ("scyclegan_train.loop", "import rclpy"),
    ],
)
def test_an_import_against_the_design_is_found(importer: str, source: str) -> None:
    assert any(forbidden(importer, imported) for imported in imports(source, importer))


@pytest.mark.parametrize(
    ("importer", "source"),
    [
        ("us_sim.ros.node", "import rclpy\nfrom us_sim.core import probe"),
        ("us_sim.viewer.page", "from us_sim_msgs.msg import FrameInfo"),
        ("us_sim.control.robot", "from us_sim.ros.conversions import pose_matrix\nfrom us_sim.viewer import frames"),
        ("us_sim.core.physics", "from . import probe\nfrom .errors import UsSimError\nimport torch"),
        ("scyclegan_train.loop", "from scyclegan_train import losses\nfrom us_sim.core.generator import UNet"),
    ],
)
def test_an_import_along_the_design_passes(importer: str, source: str) -> None:
    assert not any(forbidden(importer, imported) for imported in imports(source, importer))
