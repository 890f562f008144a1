"""The set-up: what it says of an unfit machine, what it skips, how it goes on; env.sh in real shells."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TOOLS = (
    "bash",
    "cat",
    "cp",
    "dirname",
    "find",
    "grep",
    "head",
    "make",
    "mkdir",
    "rm",
    "sed",
    "sh",
    "sha256sum",
    "sort",
    "tail",
    "xargs",
)
BASH = shutil.which("bash") or "bash"

# Stands for Python: answers the version questions, makes .venv with itself inside, writes down what is installed.
PYTHON = """#!/bin/sh
case "$*" in
    *version_info*) echo "$FAKE_VERSION" ;;
    *base_prefix*) echo "/fake $FAKE_VERSION" ;;
    *"import ensurepip"*) exit "$FAKE_NO_VENV" ;;
    *Python.h*) exit "$FAKE_NO_HEADER" ;;
    "-m venv "*) shift $(($# - 1)); mkdir -p "$1/bin"; cp "$0" "$1/bin/python" ;;
    "-m pip install"*)
        shift $(($# - 1)); echo "$1" >>"$FAKE_LOG"
        if [ "$1" = "$FAKE_BROKEN" ]; then echo "no such package: frobnicate"; exit 1; fi ;;
    "-m colcon build"*) echo build >>"$FAKE_LOG"; mkdir -p install ;;
    "-m us_sim.offline.compile") echo loops >>"$FAKE_LOG" ;;
esac
"""
FIT = {
    "python3": PYTHON,
    "uname": '#!/bin/sh\n[ "$1" = -s ] && echo Linux || echo x86_64\n',
    "cc": "#!/bin/sh\n",
    "c++": "#!/bin/sh\n",
    "cmake": "#!/bin/sh\necho cmake version 3.25.1\n",
}

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A folder of programs that is the whole PATH: a machine that has what the set-up needs."""
    programs = tmp_path / "programs"
    programs.mkdir()
    for tool in TOOLS:
        found = shutil.which(tool)
        assert found, f"this test needs {tool}"
        (programs / tool).symlink_to(found)
    for name, text in FIT.items():
        program(programs / name, text)
    return programs


@pytest.fixture
def run(machine: Path, tmp_path: Path) -> Run:
    """Runs a script of a copy of the repository on that machine; keywords are environment variables."""
    copy = tmp_path / "checkout"
    copy.mkdir()
    for name in ("scripts", "ros2_ws/src"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for file in [*ROOT.glob("requirements*.txt"), ROOT / "Makefile", ROOT / "env.sh"]:
        shutil.copy(file, copy)
    defaults = {
        "PATH": str(machine),
        "HOME": str(tmp_path),
        "FAKE_VERSION": "3.11",
        "FAKE_LOG": str(tmp_path / "installed"),
        "FAKE_NO_VENV": "0",
        "FAKE_NO_HEADER": "0",
        "FAKE_BROKEN": "",
    }

    def _run(script: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [BASH, script, *arguments],
            cwd=copy,
            env={**defaults, **environment},
            capture_output=True,
            text=True,
            timeout=60,
        )

    return _run


def program(path: Path, text: str) -> None:
    """Write an executable script in place of what is there."""
    path.unlink(missing_ok=True)
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def installed(tmp_path: Path) -> list[str]:
    """Return what was installed, then what was built, since the last question."""
    log = tmp_path / "installed"
    lines = log.read_text().split() if log.exists() else []
    log.unlink(missing_ok=True)
    built = sorted({"build", "loops"} & set(lines))  # side by side, in no order
    return [line for line in lines if line not in built] + built


# -- an unfit machine ----------------------------------------------------------------------------------


def test_a_fit_machine_is_not_talked_about(run: Run) -> None:
    result = run("scripts/check.sh")
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


@pytest.mark.parametrize(
    ("missing", "line"),
    [
        ("cc", "us_sim: no C compiler 'cc' found; install gcc"),
        ("c++", "us_sim: no C++ compiler 'c++' found; install g++"),
        ("cmake", "us_sim: no CMake found; install cmake (3.16 or newer)"),
        ("make", "us_sim: no make found; install make"),
        (
            "python3",
            "us_sim: no 'python3' found; install python3 (3.10 to 3.13), "
            "or name another one: make PYTHON=/path/to/python3.12",
        ),
    ],
)
def test_a_missing_program_is_named_in_one_line(machine: Path, run: Run, missing: str, line: str) -> None:
    (machine / missing).unlink()
    result = run("scripts/check.sh")
    assert (result.returncode, result.stderr.splitlines()) == (1, [line])


@pytest.mark.parametrize(
    ("environment", "line"),
    [
        ({"FAKE_VERSION": "3.9"}, "'python3' is Python 3.9; install python3.10 to python3.13 and name it"),
        ({"FAKE_VERSION": "3.14"}, "'python3' is Python 3.14; install python3.10 to python3.13 and name it"),
        ({"FAKE_NO_VENV": "1"}, "Python 3.11 has no module venv or ensurepip; install python3.11-venv"),
        ({"FAKE_NO_HEADER": "1"}, "Python 3.11 has no header Python.h; install python3.11-dev"),
        ({"PYTHON": "python3.12"}, "no 'python3.12' found; install python3"),
    ],
)
def test_an_unfit_python_is_named_in_one_line(run: Run, environment: dict[str, str], line: str) -> None:
    result = run("scripts/check.sh", **environment)
    assert result.returncode == 1
    assert result.stderr.startswith(f"us_sim: {line}")
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("system", "line"),
    [
        ("Darwin arm64", "this is Darwin arm64; Linux is needed, x86_64, or aarch64 with a ROS 2 installation"),
        ("Linux riscv64", "this is Linux riscv64; Linux is needed"),
        ("Linux aarch64", "this is Linux aarch64, for which there are no ROS 2 wheels; install ROS 2"),
    ],
)
def test_an_unsupported_platform_is_named(machine: Path, run: Run, system: str, line: str) -> None:
    name, kind = system.split()
    program(machine / "uname", f'#!/bin/sh\n[ "$1" = -s ] && echo {name} || echo {kind}\n')
    result = run("scripts/check.sh")
    assert (result.returncode, len(result.stderr.splitlines())) == (1, 1)
    assert result.stderr.startswith(f"us_sim: {line}")


def test_aarch64_with_a_ros_installation_is_fit(machine: Path, run: Run) -> None:
    program(machine / "uname", '#!/bin/sh\n[ "$1" = -s ] && echo Linux || echo aarch64\n')
    program(machine / "ros2", "#!/bin/sh\n")
    assert run("scripts/check.sh", ROS_DISTRO="jazzy").returncode == 0


def test_an_old_cmake_is_named(machine: Path, run: Run) -> None:
    program(machine / "cmake", "#!/bin/sh\necho cmake version 3.10.2\n")
    assert run("scripts/check.sh").stderr == "us_sim: CMake is 3.10; install cmake 3.16 or newer\n"


def test_all_that_is_missing_is_named_at_once_and_nothing_is_begun(machine: Path, run: Run, tmp_path: Path) -> None:
    for name in ("cc", "c++", "cmake"):
        (machine / name).unlink()
    result = run("scripts/setup.sh", "requirements.txt")
    assert (result.returncode, len(result.stderr.splitlines())) == (1, 3)
    assert not (tmp_path / "checkout" / ".venv").exists()


# -- the set-up ----------------------------------------------------------------------------------------


def test_a_second_run_does_nothing(run: Run, tmp_path: Path) -> None:
    first = run("scripts/setup.sh", "requirements.txt")
    assert first.returncode == 0, first.stdout + first.stderr
    assert installed(tmp_path) == ["requirements-ros.txt", "requirements.txt", "build", "loops"]
    assert [line.split(" ... ")[0] for line in first.stdout.splitlines()] == [
        "us_sim: virtual environment in .venv",
        "us_sim: packages of requirements-ros.txt",
        "us_sim: packages of requirements.txt",
        "us_sim: building the workspace, compiling the loops of a frame",
    ]
    second = run("scripts/setup.sh", "requirements.txt")
    assert (second.returncode, second.stdout, installed(tmp_path)) == (0, "", [])


def test_only_what_changed_is_done_again(run: Run, tmp_path: Path) -> None:
    checkout = tmp_path / "checkout"
    run("scripts/setup.sh", "requirements.txt")
    installed(tmp_path)

    run("scripts/setup.sh", "requirements.txt", "requirements-dev.txt")
    assert installed(tmp_path) == ["requirements-dev.txt"]

    (checkout / "ros2_ws/src/us_sim/requirements.txt").write_text("numpy>=1.27,<3\n")  # setup.py declares it
    run("scripts/setup.sh", "requirements.txt")
    assert installed(tmp_path) == ["requirements.txt", "build"]

    with (checkout / "ros2_ws/src/us_sim/us_sim/core/sampling/reslice.py").open("a") as loops:
        loops.write("# changed\n")
    run("scripts/setup.sh", "requirements.txt")
    assert installed(tmp_path) == ["loops"]

    (checkout / "ros2_ws/src/us_sim_msgs/msg/Contact.msg").write_text("bool in_contact  # changed\n")
    run("scripts/setup.sh", "requirements.txt")
    assert installed(tmp_path) == ["build"]

    (checkout / "ros2_ws/src/us_sim/us_sim/new_module.py").write_text("")
    run("scripts/setup.sh", "requirements.txt")
    assert installed(tmp_path) == []

    run("scripts/setup.sh", "requirements.txt", FAKE_VERSION="3.12")
    assert installed(tmp_path) == ["requirements-ros.txt", "requirements.txt", "build", "loops"]


def test_a_failed_set_up_shows_why_and_goes_on_where_it_stopped(run: Run, tmp_path: Path) -> None:
    failed = run("scripts/setup.sh", "requirements.txt", FAKE_BROKEN="requirements.txt")
    assert failed.returncode == 1
    assert f"packages of requirements.txt ... failed after 0 s. The end of {tmp_path}" in failed.stdout
    assert failed.stdout.endswith("    no such package: frobnicate\n")
    assert installed(tmp_path) == ["requirements-ros.txt", "requirements.txt"]

    assert run("scripts/setup.sh", "requirements.txt").returncode == 0
    assert installed(tmp_path) == ["requirements.txt", "build", "loops"]


def test_another_release_comes_from_its_own_wheels(run: Run, tmp_path: Path) -> None:
    assert run("scripts/setup.sh", "requirements.txt", ROS="kilted").returncode == 0
    assert installed(tmp_path) == ["requirements-ros-kilted.txt", "requirements.txt", "build", "loops"]
    assert run("scripts/setup.sh", "requirements.txt", ROS="jazzy").returncode == 0
    assert installed(tmp_path) == ["requirements-ros.txt", "requirements.txt", "build", "loops"]
    refused = run("scripts/setup.sh", "requirements.txt", ROS="humble")
    message = "us_sim: ROS is 'humble'; expected jazzy or kilted, the releases with wheels\n"
    assert (refused.returncode, refused.stderr) == (1, message)


def test_an_installed_ros_is_used_instead_of_the_wheels(machine: Path, run: Run, tmp_path: Path) -> None:
    program(machine / "ros2", "#!/bin/sh\n")
    assert run("scripts/setup.sh", "requirements.txt", ROS_DISTRO="jazzy").returncode == 0
    assert installed(tmp_path) == ["requirements.txt", "build", "loops"]
    assert (tmp_path / "checkout/.venv/ros").read_text() == "jazzy\n"

    run("scripts/setup.sh", "requirements.txt")  # the same machine, ROS not sourced
    assert installed(tmp_path) == ["requirements-ros.txt", "requirements.txt", "build", "loops"]


# -- env.sh --------------------------------------------------------------------------------------------

SHELLS = [
    pytest.param(name, marks=pytest.mark.skipif(not shutil.which(name), reason=f"{name} is not installed"))
    for name in ("bash", "zsh")
]


def shell(name: str, script: str) -> subprocess.CompletedProcess[str]:
    """Run a script in a shell with nothing but HOME and PATH, from another folder."""
    environment = {"HOME": os.environ.get("HOME", "/"), "PATH": os.defpath}
    return subprocess.run([name, "-c", script], cwd="/", env=environment, capture_output=True, text=True, timeout=60)


@pytest.fixture
def workspace() -> Path:
    """This checkout, set up."""
    if not (ROOT / ".venv" / "workspace.stamp").exists() or os.environ.get("ROS_DISTRO"):
        pytest.skip("the workspace is not set up with the wheels; run make test")
    return ROOT


@pytest.mark.parametrize("name", SHELLS)
def test_env_before_the_set_up_says_what_to_do(name: str, tmp_path: Path) -> None:
    shutil.copy(ROOT / "env.sh", tmp_path)
    result = shell(name, f". {tmp_path}/env.sh || echo refused")
    assert result.stdout == "refused\n"
    assert result.stderr == f"us_sim: not set up yet; run: make -C '{tmp_path}' setup\n"


@pytest.mark.parametrize("name", SHELLS)
def test_env_shows_the_workspace_and_leaves_the_shell_as_it_was(name: str, workspace: Path) -> None:
    result = shell(
        name,
        f"""set -eu
        . {workspace}/env.sh; before=$PATH:$AMENT_PREFIX_PATH
        . {workspace}/env.sh; [ "$before" = "$PATH:$AMENT_PREFIX_PATH" ]
        command -v python colcon us_sim_render
        python -c 'import rclpy, us_sim, us_sim_msgs.msg, scyclegan_train'
        echo "$ROS_AUTOMATIC_DISCOVERY_RANGE"
        case $- in *e*u*|*u*e*) echo still strict ;; esac""",
    )
    assert result.returncode == 0, result.stderr
    python, colcon, render, reach, strict = result.stdout.splitlines()
    assert (python, colcon) == (f"{workspace}/.venv/bin/python", f"{workspace}/.venv/bin/colcon")
    assert (Path(render).name, reach, strict) == ("us_sim_render", "LOCALHOST", "still strict")


@pytest.mark.parametrize("name", SHELLS)
def test_env_refuses_to_mix_two_ros_installations(name: str, workspace: Path) -> None:
    result = shell(name, f"ros2() {{ :; }}; ROS_DISTRO=jazzy; . {workspace}/env.sh || echo refused")
    assert result.stdout == "refused\n"
    assert "set up for ROS 2 from 'wheels', but this shell has 'jazzy'" in result.stderr
