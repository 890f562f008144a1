# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""The files that come with the software: generators, a segmenter, and the arm of the demo."""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

from us_sim.core.errors import ArmError, ArtifactError
from us_sim.core.robot.urdf import attached

DEFAULT = "abdomen"


def shipped() -> dict[str, Path]:
    """Return the shipped artifacts by name: the package's own, then those in the workspaces' `share/us_sim/models`."""
    found: dict[str, Path] = {}
    for folder in _folders("models"):
        for file in sorted(folder.glob("*.safetensors")):
            found.setdefault(file.stem, file)
    return found


def artifact_of(name: str) -> Path:
    """Return the file that the parameter `generator` names: a path, a shipped one's name, or nothing for the default.

    Raises:
        ArtifactError: the shipped artifacts are not there, or none has this name, which is no path either.
    """
    known = shipped()
    if name in known:
        return known[name]
    if name and Path(name).name == name and not Path(name).suffix and not Path(name).exists():
        raise ArtifactError(
            f"unknown generator {name!r}; expected one of {', '.join(known)}, or the path of a .safetensors file"
        )
    if name:
        return Path(name)
    if DEFAULT not in known:
        raise ArtifactError(f"the shipped generator {DEFAULT!r} is not installed; install us_sim again, or name an "
                            "artifact")  # fmt: skip
    return known[DEFAULT]


def segmenter_of(name: str) -> Path:
    """Return the file that the parameter `segmenter` names: a path, or a shipped one's name."""
    for folder in _folders("segmenters"):
        if (folder / f"{name}.safetensors").is_file() and Path(name).name == name:
            return folder / f"{name}.safetensors"
    return Path(name)


def shipped_arm(flange_calibration: Sequence[float] | None = None) -> str:
    """Return the URDF of the demo's arm with the probe in its flange.

    Args:
        flange_calibration: x, y, z, roll, pitch, yaw of `probe` in the flange, m and rad; None for the files' own.

    Raises:
        ArmError: the files are not there.
    """
    for folder in _folders("urdf"):
        arm, probe = folder / "arm.urdf", folder / "probe.urdf"
        if arm.exists() and probe.exists():
            return attached(arm.read_text(), probe.read_text(), "flange", flange_calibration)
    raise ArmError("the shipped arm.urdf and probe.urdf are not installed; install us_sim again")


def _folders(name: str) -> list[Path]:
    prefixes = [Path(prefix) for prefix in os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep) if prefix]
    own = Path(str(files("us_sim") / "resources" / name))
    return [own, *(prefix / "share" / "us_sim" / name for prefix in prefixes)]
