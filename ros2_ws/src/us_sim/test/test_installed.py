# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""The package as it is installed: its version, its commands, the files that it brings, one frame."""

from __future__ import annotations

from importlib.metadata import entry_points, version
from importlib.util import find_spec
from pathlib import Path
from xml.etree import ElementTree

import us_sim
from us_sim.core.generator.shipped import shipped
from us_sim.core.tissue import TissueClass

PACKAGE = Path(__file__).resolve().parents[1]


def test_version_is_that_of_the_package_xml() -> None:
    assert version("us_sim").startswith(str(ElementTree.parse(PACKAGE / "package.xml").findtext("version")))


def test_every_command_has_its_module() -> None:
    commands = [point for point in entry_points(group="console_scripts") if point.module.split(".")[0] == "us_sim"]
    assert {"us_sim", "us_sim_render", "probe_motion"} <= {point.name for point in commands}
    assert [point.name for point in commands if find_spec(point.module) is None] == []


def test_generators_lie_beside_the_code() -> None:
    assert {"abdomen", "abdomen_lite"} <= set(shipped())


def test_a_frame_shows_the_liver() -> None:
    patient = us_sim.builtin_patient(seed=0)
    frame = us_sim.Simulator(patient, renderer="ct", device="cpu").render(us_sim.motion("liver_sweep", patient, 3)[1])
    assert frame.image is not None
    assert frame.labels is not None
    assert (frame.labels == TissueClass.LIVER).mean() > 0.1
    assert frame.image.max() > 100
