"""Imports run downwards: the rooms and floors of the design, held by reading every module's imports."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from importlib import import_module
from pathlib import Path

import pytest

SOURCES = Path(__file__).resolve().parents[1] / "ros2_ws" / "src"
PACKAGES = [SOURCES / "us_sim" / "us_sim", SOURCES / "scyclegan_train" / "scyclegan_train"]
ROS = ("rclpy", "ament_index_python", "tf2_ros", "cv_bridge", "launch", "launch_ros", "rcl_interfaces")
ROS_ROOMS = ("us_sim.ros", "us_sim.client", "us_sim.viewer", "us_sim.control", "us_sim.bringup")
LAWS = tuple(f"us_sim.control.{name}" for name in ("admittance", "guard", "raster", "scanning", "visual_servo"))

# From the ground up. A module imports from its own room and from floors below; rooms of one floor are strangers.
FLOORS = (
    ("us_sim.core.errors", "us_sim.core.tissue"),
    ("us_sim.core.files",),
    ("us_sim.core.command", "us_sim.core.user_files"),
    ("us_sim.core.config", "us_sim.core.geometry"),
    ("us_sim.core.compute",),
    ("us_sim.core.patient",),
    ("us_sim.core.contact", "us_sim.core.patient_source", "us_sim.core.sampling", "us_sim.core.robot"),
    ("us_sim.core.physics",),
    ("us_sim.core.generator",),
    ("us_sim.core.analysis",),
    ("us_sim.core.faults", "us_sim.core.frame", "us_sim.core.pipeline"),
    ("us_sim.core.simulator",),
    ("us_sim.core.differentiable", "us_sim.core.faulty_simulator", "us_sim.core.registration"),
    ("us_sim.core.assembly",),
    LAWS,
    ("us_sim.poses",),
    ("us_sim.offline", "us_sim.gym"),
    ("us_sim.bench",),
    ("us_sim.ros",),
    ("us_sim.client",),
    ("us_sim.viewer", "us_sim.control"),
    ("us_sim.bringup",),
    ("us_sim.commands",),
    ("scyclegan_train.config",),
    ("scyclegan_train.config_file",),
    ("scyclegan_train.data",),
    ("scyclegan_train.method",),
    ("scyclegan_train.run",),
    ("scyclegan_train.evaluation",),
    tuple(
        f"scyclegan_train.{name}"
        for name in ("prepare", "train", "evaluate", "export", "segmenter", "synthesise", "compare", "sweep")
    ),
    ("scyclegan_train.__main__",),
)
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
FACES = ("us_sim", "us_sim.core", "scyclegan_train")  # packages that hold rooms: their `__init__` belongs to none


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


def room_of(name: str) -> str | None:
    """Return the room that a module or one of its names lies in; None for the faces and for strangers."""
    return next((room for room in FLOOR if within(name, room)), None)


def is_ros(imported: str) -> bool:
    """Whether a name belongs to ROS 2 or is an interface package."""
    return within(imported, *ROS) or imported.split(".")[0].endswith(("_msgs", "_srvs", "_interfaces"))


def forbidden(importer: str, imported: str) -> bool:
    """Whether this import runs against the design."""
    home, guest = room_of(importer), room_of(imported)
    if is_ros(imported):
        return not within(importer, *ROS_ROOMS) or within(importer, *LAWS)
    if within(imported, "us_sim.ros.node"):
        return not within(importer, "us_sim.ros")
    if within(importer, *LAWS):
        return guest is not None and not within(imported, *LAWS, "us_sim.core")
    if within(importer, "scyclegan_train") and guest is not None:
        return not within(imported, "us_sim.core") and _rises(home, guest)
    return guest is not None and _rises(home, guest)


def _rises(home: str | None, guest: str) -> bool:
    if home is None or home == guest:  # faces export what they like; a room's modules know one another
        return False
    if within(home, "scyclegan_train") and within(guest, "us_sim"):
        return True  # its core alone, which has been let through before
    return FLOOR[guest] >= FLOOR[home]


MODULES = {module_name(path): path for package in PACKAGES for path in sorted(package.rglob("*.py"))}


def imports_of(name: str) -> list[str]:
    """Return all that a module of ours imports."""
    path = MODULES[name]
    return list(imports(path.read_text(), name, is_package=path.name == "__init__.py"))


@pytest.mark.parametrize("name", MODULES)
def test_a_module_imports_only_from_below(name: str) -> None:
    assert [imported for imported in imports_of(name) if forbidden(name, imported)] == []


@pytest.mark.parametrize("name", MODULES)
def test_a_module_lies_in_a_room(name: str) -> None:
    assert room_of(name) is not None or name in FACES


def test_no_room_holds_a_circle() -> None:
    graph = {}
    for name in MODULES:
        if MODULES[name].name == "__init__.py":
            continue
        found = {module for i in imports_of(name) for module in (i, i.rpartition(".")[0]) if module in MODULES}
        graph[name] = found - {name}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"a circle of imports: {' -> '.join(error.args[1])}")


ROOMS = [name for name, path in MODULES.items() if path.name == "__init__.py" and room_of(name)]


@pytest.mark.parametrize("name", ROOMS)
def test_a_room_says_what_belongs_there(name: str) -> None:
    assert ast.get_docstring(ast.parse(MODULES[name].read_text())), f"{name} has no docstring"


EXPORTING = [*FACES, *(name for name in ROOMS if name not in ROS_ROOMS or name == "us_sim.control")]


@pytest.mark.parametrize("name", EXPORTING)
def test_a_room_exports_names_that_exist(name: str) -> None:
    room = import_module(name)
    assert room.__all__
    assert [public for public in room.__all__ if not hasattr(room, public)] == []


@pytest.mark.parametrize("name", EXPORTING)
def test_no_exported_name_hides_a_module(name: str) -> None:
    inside = {module.removeprefix(f"{name}.").split(".")[0] for module in MODULES if within(module, name)}
    assert inside & set(import_module(name).__all__) == set()


@pytest.mark.parametrize(
    ("importer", "source"),
    [
        ("us_sim.core.physics.b_mode", "import rclpy"),
        ("us_sim.core.physics.b_mode", "from sensor_msgs.msg import Image"),
        ("us_sim.core.physics.b_mode", "from ...ros import node"),
        ("us_sim.core.physics.b_mode", "def f():\n    from us_sim.ros.conversions import metres"),
        ("us_sim.core.physics.b_mode", "from us_sim.core.generator import card"),
        ("us_sim.core.contact.force", "from us_sim.core.sampling.reslice import reslice"),
        ("us_sim.core.patient.volume", "from us_sim.core import simulator"),
        ("us_sim.offline.render", "from std_srvs.srv import SetBool"),
        ("us_sim.gym.environment", "import rclpy"),
        ("us_sim.gym.environment", "from us_sim.control.servo import ServoNode"),
        ("us_sim.gym.environment", "from us_sim.offline.dataset import Dataset"),
        ("us_sim.offline.render", "from importlib import import_module\nimport_module('rclpy.node')"),
        ("us_sim.ros.node", "import scyclegan_train.run.loop"),
        ("us_sim.ros.fake_arm", "from us_sim.bringup.arguments import ARGUMENTS"),
        ("us_sim.bringup.sim", "from us_sim.ros.node import UsSim"),
        ("us_sim.client.recording", "from us_sim.viewer.page import Page"),
        ("us_sim.core.robot.motion", "from us_sim.control import admittance"),
        ("us_sim.control.robot", "from us_sim.ros.node import UsSim"),
        ("us_sim.viewer.node", "from us_sim.ros import node"),
        ("us_sim.viewer.node", "from us_sim.control.robot import Robot"),
        ("us_sim.control.visual_servo", "from us_sim_msgs.msg import Analysis"),
        ("us_sim.control.admittance", "from us_sim.ros.conversions import pose_matrix"),
        ("scyclegan_train.run.loop", "import us_sim.ros"),
        ("scyclegan_train.run.loop", "import us_sim.offline.render"),
        ("scyclegan_train.data.inputs", "from scyclegan_train.method import losses"),
        ("scyclegan_train.run.loop", "import rclpy"),
    ],
)
def test_an_import_against_the_design_is_found(importer: str, source: str) -> None:
    assert any(forbidden(importer, imported) for imported in imports(source, importer))


@pytest.mark.parametrize(
    ("importer", "source"),
    [
        ("us_sim.ros.node", "import rclpy\nfrom us_sim.core.geometry import probe"),
        ("us_sim.viewer.page", "from us_sim_msgs.msg import FrameInfo"),
        ("us_sim.control.robot", "from us_sim.ros.conversions import pose_matrix\nfrom us_sim.client import frames"),
        ("us_sim.control.guard", "from us_sim.control.admittance import moved\nfrom us_sim.core.config import setting"),
        ("us_sim.gym.skin_probe", "from us_sim.control.guard import Guard\nfrom us_sim.core.simulator import Frame"),
        ("us_sim.core.physics.b_mode", "from . import speckle\nfrom ..errors import UsSimError\nimport torch"),
        ("scyclegan_train.run.loop", "from scyclegan_train.method import losses\nfrom us_sim.core import tissue"),
    ],
)
def test_an_import_along_the_design_passes(importer: str, source: str) -> None:
    assert not any(forbidden(importer, imported) for imported in imports(source, importer))
