"""The packages as they are installed: version, public names, dependencies, files, commands without ROS."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

import scyclegan_train
import us_sim
from us_sim import commands

ROOT = Path(__file__).resolve().parents[1]
SOURCES = ROOT / "ros2_ws" / "src"
PUBLIC = ["Simulator", "__version__", "builtin_patient", "load_patient", "motion", "open_generator", "preset"]
SETUP = "import sys, runpy, setuptools; setuptools.setup = lambda **told: print(told[sys.argv[1]]); "


def declared(package: str, item: str) -> str:
    """Return what the setup.py of a package tells setuptools."""
    run = [sys.executable, "-c", SETUP + "runpy.run_path('setup.py')", item]
    return subprocess.run(run, cwd=SOURCES / package, capture_output=True, text=True, check=True).stdout.strip()


def test_there_is_one_version() -> None:
    told = {file: ElementTree.parse(file).findtext("version") for file in SOURCES.glob("*/package.xml")}
    assert len(told) == 3
    assert set(told.values()) == {us_sim.__version__} == {scyclegan_train.__version__}
    assert f"\nversion: {us_sim.__version__}\n" in (ROOT / "CITATION.cff").read_text()
    changes = (ROOT / "CHANGELOG.md").read_text()
    assert re.findall(r"^## (\d\S*)", changes, re.MULTILINE)[0] == us_sim.__version__


@pytest.mark.parametrize("package", ["us_sim", "scyclegan_train"])
def test_setup_tells_what_package_xml_says(package: str) -> None:
    assert declared(package, "version") == us_sim.__version__
    assert declared(package, "license") == "Apache-2.0"
    assert declared(package, "maintainer_email") == "us_sim@users.noreply.github.com"


def test_dependencies_are_those_of_the_requirements_files() -> None:
    required, extras = declared("us_sim", "install_requires"), declared("us_sim", "extras_require")
    assert "'torch==2.13.0'" in required
    assert "viser" not in required
    assert extras.count("viser") == 1
    names = ["int8", "viewer", "train", "cluster", "onnx", "sweep", "gym", "export", "igtl", "bench", "test"]
    assert re.findall(r"'(\w+)': \[", extras) == names
    assert declared("scyclegan_train", "install_requires") == f"['us_sim[train]=={us_sim.__version__}']"


def test_the_public_names() -> None:
    assert sorted(us_sim.__all__) == PUBLIC
    assert us_sim.preset("c5_2").depth > 0
    with pytest.raises(AttributeError, match="frobnicate"):
        us_sim.frobnicate  # type: ignore[attr-defined]  # noqa: B018


def test_importing_the_package_loads_nothing_heavy() -> None:
    code = "import sys, us_sim; print(sorted({'torch', 'numpy', 'numba', 'rclpy'} & set(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_every_command_names_a_function() -> None:
    names = re.findall(r"(\w+) = us_sim\.commands:(\w+)", declared("us_sim", "entry_points"))
    assert len(names) == 12
    for command, function in names:
        module = getattr(commands, function).args[1]
        assert command == function == getattr(commands, function).args[0]
        assert "\ndef main(" in (SOURCES / "us_sim" / f"{module.replace('.', '/')}.py").read_text(), module


@pytest.mark.parametrize(
    ("package", "remedy"),
    [
        ("rclpy", "source a ROS 2 installation, or use `make setup` in the repository"),
        ("std_msgs", "source a ROS 2 installation"),
        ("us_sim_msgs", "build the workspace with `make setup` or colcon, and source it"),
        ("viser", "install us_sim with its extra: us_sim[viewer]"),
        ("frobnicate", "install us_sim again, with all that it requires"),
        ("pyigtl", "install us_sim with its extra: us_sim[igtl]"),
    ],
)
def test_a_command_says_in_one_sentence_what_is_missing(
    package: str, remedy: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "needy.py").write_text(f"raise ModuleNotFoundError(name='{package}.node')")
    monkeypatch.syspath_prepend(tmp_path)
    assert commands.start("us_sim_viewer", "needy") == 2
    said = capsys.readouterr().err
    assert said.startswith(f"us_sim_viewer: Python finds no module '{package}.node'; {remedy}")
    assert said.count("\n") == 1


def test_an_interrupt_while_a_command_loads_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "slow.py").write_text("raise KeyboardInterrupt")
    monkeypatch.syspath_prepend(tmp_path)
    assert commands.start("us_sim_render", "slow") == 130
    assert capsys.readouterr().err == "us_sim_render: interrupted\n"


@pytest.mark.parametrize("module", ["us_sim.offline.compile", "us_sim.bench", "scyclegan_train.train"])
def test_so_it_is_while_python_loads_a_module(module: str, tmp_path: Path) -> None:
    (tmp_path / "numpy.py").write_text("raise KeyboardInterrupt")
    run = interrupted_by(tmp_path, "-m", module)
    assert (run.returncode, run.stdout) == (-signal.SIGINT, "")
    assert run.stderr in (f"{module}: interrupted\n", f"{module}.__main__: interrupted\n")


def test_other_errors_while_python_loads_a_module_have_their_traceback(tmp_path: Path) -> None:
    (tmp_path / "numpy.py").write_text("1 / 0")
    run = interrupted_by(tmp_path, "-m", "us_sim.offline.compile")
    assert run.stderr.startswith("Traceback")
    assert run.stderr.endswith("ZeroDivisionError: division by zero\n")


def test_a_program_that_imports_us_sim_keeps_its_tracebacks(tmp_path: Path) -> None:
    assert "Traceback" in interrupted_by(tmp_path, "-c", "import us_sim; raise KeyboardInterrupt").stderr


def interrupted_by(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run Python with modules of a folder in place of those that are installed."""
    search = os.pathsep.join(filter(None, (str(folder), os.environ.get("PYTHONPATH"))))
    environment = {**os.environ, "PYTHONPATH": search}
    return subprocess.run([sys.executable, *words], capture_output=True, text=True, check=False, env=environment)


def test_the_shipped_files_lie_in_the_package_alone() -> None:
    code = "from us_sim.core.generator.shipped import *; print(*shipped(), segmenter_of('organs')); shipped_arm()"
    environment = {**os.environ, "AMENT_PREFIX_PATH": ""}
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    organs = SOURCES / "us_sim/us_sim/resources/segmenters/organs.safetensors"
    assert run.stdout.split()[:2] == ["abdomen", "abdomen_lite"]
    assert Path(run.stdout.split()[2]).resolve() == organs
