"""The generators that come with the software."""

from __future__ import annotations

import os
from pathlib import Path

from us_sim.core.errors import ArtifactError

DEFAULT = "abdomen"


def shipped() -> dict[str, Path]:
    """Return the shipped artifacts by name: beside the sources, or where the workspace has installed them."""
    prefixes = [Path(prefix) for prefix in os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep) if prefix]
    folders = [Path(__file__).parents[2] / "models", *(prefix / "share" / "us_sim" / "models" for prefix in prefixes)]
    found: dict[str, Path] = {}
    for folder in folders:
        for file in sorted(folder.glob("*.safetensors")):
            found.setdefault(file.stem, file)
    return found


def artifact_of(name: str) -> Path:
    """Return the file that the parameter `generator` names: a path, a shipped one's name, or nothing for the default.

    Raises:
        ArtifactError: the shipped artifacts are not there.
    """
    known = shipped()
    if name in known:
        return known[name]
    if name:
        return Path(name)
    if DEFAULT not in known:
        raise ArtifactError(f"the shipped generator {DEFAULT!r} is not installed; build the workspace again, or name "
                            "an artifact")  # fmt: skip
    return known[DEFAULT]
