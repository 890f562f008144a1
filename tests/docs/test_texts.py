"""What README, CONTRIBUTING, CHANGELOG and docs name exists: modules, files, links, targets, arguments."""

from __future__ import annotations

import importlib
import importlib.util
import re
from itertools import pairwise
from pathlib import Path

import pytest

from us_sim.bringup.arguments import parse

ROOT = Path(__file__).resolve().parents[2]
TEXTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"]
TEXTS += [*sorted((ROOT / "docs").rglob("*.md")), *sorted((ROOT / "docs" / "tutorials").glob("*.py"))]
PLACES = (ROOT, ROOT / "ros2_ws/src/us_sim")  # that paths in the texts start from
FILES_OF_PACKAGES = (".safetensors", ".yaml", ".py")  # scyclegan_train.py would be a file, not a name

each_text = pytest.mark.parametrize("text", TEXTS, ids=lambda path: str(path.relative_to(ROOT)))


def exists(name: str) -> bool:
    """Whether a dotted name is a module, or something in one."""
    parts = name.split(".")
    for count in range(len(parts), 0, -1):
        try:
            if importlib.util.find_spec(".".join(parts[:count])) is None:
                continue
        except ModuleNotFoundError:
            continue
        found: object = importlib.import_module(".".join(parts[:count]))
        for part in parts[count:]:
            found = getattr(found, part, None)
        return found is not None
    return False


@each_text
def test_every_module_that_a_text_names_exists(text: Path) -> None:
    named = set(re.findall(r"(?<![\w/.-])(?:us_sim|scyclegan_train)(?:\.\w+)+", text.read_text()))
    assert sorted(name for name in named if not name.endswith(FILES_OF_PACKAGES) and not exists(name)) == []


def test_a_module_that_is_gone_is_found() -> None:
    assert exists("us_sim.core.simulator.Simulator")
    assert not exists("us_sim.core.physics.gone")
    assert not exists("us_sim.core.simulator.Gone")


@each_text
def test_every_file_that_a_text_names_exists(text: Path) -> None:
    pattern = r"(?<![\w./<>-])(?:tests|docs|ros2_ws|examples|scripts|launch|urdf|config)/[\w./-]*\w"
    named = set(re.findall(pattern, text.read_text()))
    assert sorted(name for name in named if not any((place / name).exists() for place in PLACES)) == []


@each_text
def test_every_linked_file_exists(text: Path) -> None:
    targets = re.findall(r"\]\((?!http|\.\./\.\./)([^)#\s]+)", text.read_text()) if text.suffix == ".md" else []
    assert [target for target in targets if not (text.parent / target).exists()] == []


@each_text
def test_every_target_and_argument_exists(text: Path) -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = re.findall(r"(?:^|`|&& )make (?!PYTHON)([a-z]+)", text.read_text(), re.MULTILINE)
    assert [target for target in targets if not re.search(rf"^{target}:", makefile, re.MULTILINE)] == []
    for words in re.findall(r'make sim ARGS="(.+:=.+)"', text.read_text()):
        parse(words.split())


@each_text
def test_code_stands_in_fences_that_name_their_language(text: Path) -> None:
    if text.suffix != ".md":
        return
    lines = text.read_text().splitlines()
    fences = [line.strip() for line in lines if line.lstrip().startswith("```")]
    assert set(fences[::2]) <= {f"```{language}" for language in ("python", "bash", "text", "yaml", "xml", "cpp")}
    assert set(fences[1::2]) <= {"```"}
    before = pairwise(lines)
    assert [line for blank, line in before if not blank.strip() and line.startswith("    ")] == [], "no fence"


def test_a_ros2_command_has_a_line_for_those_without_it_on_its_page() -> None:
    for text in TEXTS:
        blocks = re.findall(r"```bash\n(.*?)```", text.read_text(), re.DOTALL)
        if any("ros2 " in block for block in blocks):
            assert re.search(r"python -m us_sim|make sim|import rclpy", text.read_text()), text.name


def test_the_readme_says_what_it_is_not() -> None:
    assert "Research and simulation only. Not a medical device" in (ROOT / "README.md").read_text()
