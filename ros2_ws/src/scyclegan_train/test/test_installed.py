# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""The package as it is installed: its version, its commands, the configurations that it brings."""

from __future__ import annotations

from importlib.metadata import entry_points, version
from importlib.util import find_spec
from pathlib import Path
from xml.etree import ElementTree

import pytest

from scyclegan_train.config_file import load_config

PACKAGE = Path(__file__).resolve().parents[1]
CONFIGURATIONS = sorted((PACKAGE / "scyclegan_train/configs").glob("*.yaml"))


def test_version_is_that_of_the_package_xml() -> None:
    assert version("scyclegan_train").startswith(str(ElementTree.parse(PACKAGE / "package.xml").findtext("version")))


def test_every_command_has_its_module() -> None:
    commands = [point for point in entry_points(group="console_scripts") if point.module.startswith("scyclegan_train.")]
    assert {"scyclegan_train", "prepare", "train"} <= {point.name for point in commands}
    assert [point.name for point in commands if find_spec(point.module) is None] == []


@pytest.mark.parametrize("path", CONFIGURATIONS, ids=lambda path: path.stem)
def test_every_configuration_is_read(path: Path) -> None:
    assert load_config(path).schedule.batch >= 1
