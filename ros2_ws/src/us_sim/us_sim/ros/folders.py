# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Which files the services may read: a caller on the network must not browse the machine. Where recordings go."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from us_sim.core.config import SimConfig
from us_sim.core.errors import ConfigError
from us_sim.core.user_files import home

RECORDINGS = "~/us_sim_recordings"


def recordings_folder(recordings: str) -> Path:
    """Return the folder of a parameter `recordings`; the usual one for an empty text."""
    return home(recordings or RECORDINGS)


def allowed_folders(data_folders: str, config: SimConfig) -> list[Path]:
    """Return the folders that the services may read.

    Args:
        data_folders: folders separated by ':'; empty for the home folder, the working directory and the folders of
            the files that the parameters name.
        config: the parameters.
    """
    if data_folders:
        return [home(folder).resolve() for folder in data_folders.split(os.pathsep) if folder]
    named = [home(path).resolve() for path in (config.ct, config.labels, config.generator) if path]
    return [Path.home().resolve(), Path.cwd(), *(path if path.is_dir() else path.parent for path in named)]


def listed_folders(data_folders: str, config: SimConfig) -> list[Path]:
    """Return the folders whose scans the services tell: as `allowed_folders`, without home and working directory.

    What lies there is nobody's business unless `data_folders` names it.
    """
    private = () if data_folders else (Path.home().resolve(), Path.cwd())
    return [folder for folder in allowed_folders(data_folders, config) if folder not in private]


def check_inside(paths: Iterable[str], folders: list[Path]) -> None:
    """Refuse paths outside the folders, links followed; empty ones pass.

    Raises:
        ConfigError: naming the path and the folders.
    """
    for path in filter(None, paths):
        target = home(path).resolve()
        if not any(target.is_relative_to(folder) for folder in folders):
            listed = ", ".join(map(str, folders))
            raise ConfigError(f"{path} lies outside the folders that services may read ({listed}); "
                              "move it there, or start the node with data_folders")  # fmt: skip
