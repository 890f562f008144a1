"""Every code block of the texts is run: Python in one namespace a page, shell lines by bash, data parsed.

A block that cannot run here stands behind `<!-- skip: next "reason" -->`. Each page has a folder of its own, with a
small CT, its segmentation and a recording, under the names that the pages use.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import yaml
from sybil import Example, Sybil
from sybil.parsers.markdown import CodeBlockParser, PythonCodeBlockParser, SkipParser

ROOT = Path(__file__).resolve().parent
GIVEN = ("ros2_ws", "examples")  # of the repository, as pages name files in it


def enter(namespace: dict[str, Any]) -> None:
    """Go to a new folder with the files that a page may name."""
    from tests.docs.torso import write_torso

    folder = namespace["_folder"] = Path(tempfile.mkdtemp())
    for name in GIVEN:
        (folder / name).symlink_to(ROOT / name)
    shutil.copy(ROOT / "examples/press/press.mcap", folder)
    write_torso(folder / "ct.nii.gz", folder / "segmentation.nii.gz")
    namespace["_back"] = Path.cwd()
    os.chdir(folder)


def leave(namespace: dict[str, Any]) -> None:
    """Go back, and leave nothing behind."""
    os.chdir(namespace["_back"])
    shutil.rmtree(namespace["_folder"])


def shell(example: Example) -> str | None:
    """Run a block's lines in one bash; return its output if a line failed."""
    done = subprocess.run(["bash", "-euo", "pipefail", "-c", example.parsed], capture_output=True, text=True)
    return f"exit code {done.returncode}\n{done.stdout}{done.stderr}" if done.returncode else None


def parse_yaml(example: Example) -> None:
    """Raise where a block is no YAML."""
    yaml.safe_load(example.parsed)


def parse_xml(example: Example) -> None:
    """Raise where a block is no part of a URDF or xacro file."""
    ElementTree.fromstring(f'<robot xmlns:xacro="http://www.ros.org/wiki/xacro">{example.parsed}</robot>')


pytest_collect_file = Sybil(
    parsers=[
        SkipParser(),
        PythonCodeBlockParser(),
        CodeBlockParser("bash", shell),
        CodeBlockParser("yaml", parse_yaml),
        CodeBlockParser("xml", parse_xml),
        CodeBlockParser("cpp", lambda example: "C++ is not compiled here: give a reason to skip it"),
    ],
    patterns=["README.md", "CONTRIBUTING.md", "docs/*.md"],
    setup=enter,
    teardown=leave,
).pytest()
