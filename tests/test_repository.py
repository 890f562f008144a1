"""What holds for every file of the repository."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
REQUIREMENTS = [*sorted(ROOT.glob("requirements*.txt")), *sorted(ROOT.glob("ros2_ws/src/us_sim/requirements*.txt"))]
KILTED = ROOT / "requirements-ros-kilted.txt"

# Written in pieces, so that this file passes its own test.
HOSTS = [
    "pypi" + ".org",
    "python" + "hosted.org",
    "packages." + "ros.org",
    "download." + "pytorch.org",
    "conda" + ".anaconda.org",
    "--index" + "-url",
    "--find" + "-links",
    "--trusted" + "-host",
]
MACHINE = re.compile(r"(?<![\w.~$}])/(?:work|root|tmp|home/(?!user\b)\w+|mnt|Users)/(?=\w)")


def tracked() -> list[Path]:
    """Return every file that git tracks, links aside."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not a git checkout")
    files = [ROOT / name for name in listed.stdout.split("\0") if name]
    return [file for file in files if file.is_file() and not file.is_symlink()]


def texts() -> list[tuple[str, str]]:
    """Return name and text of every tracked text file."""
    found = []
    for file in tracked():
        data = file.read_bytes()
        if b"\0" not in data:
            found.append((str(file.relative_to(ROOT)), data.decode()))
    return found


def named(file: Path) -> list[str]:
    """Return the packages that a requirements file names, without versions and extras."""
    lines = [line.split("#")[0].strip() for line in file.read_text().splitlines()]
    return [re.split(r"[\[<>=!~; ]", line)[0] for line in lines if line and not line.startswith("-r ")]


def tabled() -> set[tuple[str, str]]:
    """Return (requirements file, package) of every row in CONTRIBUTING.md's tables of dependencies."""
    found, file = set(), ""
    for line in (ROOT / "CONTRIBUTING.md").read_text().splitlines():
        if heading := re.match(r"\| (requirements\S*\.txt) \| why \|$", line):
            file = heading[1]
        elif row := re.match(r"\| `([^`]+)` \| \S.* \|$", line):
            found.add((file, row[1]))
        elif not line:
            file = ""
    return {(file, name) for file, name in found if file}


def test_no_file_names_a_package_registry() -> None:
    assert [(name, host) for name, text in texts() for host in HOSTS if host in text] == []


def test_no_file_names_a_folder_of_one_machine() -> None:
    assert [(name, hit.group()) for name, text in texts() for hit in MACHINE.finditer(text)] == []


@pytest.mark.parametrize("file", REQUIREMENTS, ids=lambda file: str(file.relative_to(ROOT)))
def test_every_requirement_has_a_lower_and_an_upper_bound(file: Path) -> None:
    for line in file.read_text().splitlines():
        if line.startswith("-r "):
            assert (file.parent / line.removeprefix("-r ")) in REQUIREMENTS, line
        elif line and not line.startswith("#"):
            assert re.fullmatch(r"[\w.-]+(\[\w+\])?(==[\w.]+|>=[\w.]+,<[\w.]+)", line), line


def test_every_requirement_has_its_reason_and_no_reason_outlives_it() -> None:
    assert tabled() == {(file.name, name) for file in REQUIREMENTS if file != KILTED for name in named(file)}


def test_kilted_needs_what_jazzy_needs() -> None:
    jazzy = [name.replace("jazzy", "kilted") for name in named(ROOT / "requirements-ros.txt")]
    jazzy.remove("ros-kilted-python-cmake-module")  # a part of CMake's own since then; the next is split off
    jazzy.insert(jazzy.index("ros-kilted-ament-cmake-ros") + 1, "ros-kilted-ament-cmake-ros-core")
    assert named(KILTED) == jazzy


def test_every_list_of_the_package_is_installed_by_a_list_of_the_repository() -> None:
    lists = "".join(file.read_text() for file in ROOT.glob("requirements*.txt"))
    assert [file.name for file in REQUIREMENTS if file.parent != ROOT and file.name not in lists] == []


def test_the_lock_holds_every_requirement_with_its_hashes() -> None:
    entries = (ROOT / "requirements.lock").read_text().replace("\\\n", "").splitlines()
    pattern = re.compile(r"([\w.-]+)==([\w.+]+)(?: ; [^#]+?)?((?:\s+--hash=sha256:[0-9a-f]{64})+)")
    found = [pattern.fullmatch(line.strip()) for line in entries]
    assert [line for line, match in zip(entries, found, strict=True) if match is None] == []
    locked = {(match[1].lower(), match[2]) for match in found if match is not None}
    package = ROOT / "ros2_ws/src/us_sim"
    lists = [ROOT / "requirements-ros.txt", package / "requirements.txt"]
    lists += [package / f"requirements-{extra}.txt" for extra in ("int8", "viewer", "train")]
    wanted = {name.lower().replace("_", "-") for file in lists for name in named(file)}
    assert wanted <= {name for name, _ in locked}
    assert ("torch", "2.13.0") in locked


def test_the_launch_folder_is_the_packages_own() -> None:
    assert (ROOT / "launch").resolve() == ROOT / "ros2_ws" / "src" / "us_sim" / "launch"


def test_every_yaml_file_can_be_read() -> None:
    files = [file for file in tracked() if file.suffix in (".yaml", ".yml", ".cff")]
    assert {"ci.yml", "CITATION.cff", "bug.yml"} <= {file.name for file in files}
    assert [file for file in files if not isinstance(yaml.safe_load(file.read_text()), dict)] == []


def test_the_workflow_runs_what_contributors_run() -> None:
    jobs = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())["jobs"]
    commands = {name: [step.get("run", "") for step in job["steps"]] for name, job in jobs.items()}
    assert "make test" in commands["test"]
    assert "scripts/test_install.sh" in commands["install"]
    assert jobs["test"]["strategy"]["matrix"]["python"] == ["3.10", "3.11", "3.12", "3.13"]
    assert jobs["ros"]["strategy"]["matrix"]["distribution"] == ["jazzy", "kilted"]
    for words in ("rosdep install", "colcon build", "colcon test "):
        assert any(words in command for command in commands["ros"]), words
