# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""The node's scene and its live changes."""

from __future__ import annotations

from dataclasses import dataclass

from us_sim.core.config import ImageSettings
from us_sim.core.contact.mechanics import MechanicsSettings
from us_sim.core.geometry.probe import ProbeGeometry
from us_sim.core.simulator import Simulator


@dataclass(frozen=True, eq=False)
class Scene:
    """A simulator and the number of the ProbeInfo that describes it."""

    simulator: Simulator
    config_id: int


def equipment(simulator: Simulator) -> dict[str, str]:
    """Return what computes the frames, each with the reason, by the names that diagnostics use."""
    about = {"device": f"{simulator.device.name} ({simulator.device.reason})"}
    if simulator.generator is not None:
        backend = simulator.generator.backend
        about["generator runs on"] = f"{backend.name} ({backend.reason})"
    return about


def changed(
    simulator: Simulator, probe: ProbeGeometry, settings: ImageSettings, mechanics: MechanicsSettings, renderer: str
) -> Simulator:
    """Return the simulator with new values of what changes live; the same one if none differs.

    Raises:
        ConfigError: a renderer that cannot be used here, or a probe that the generator's card does not allow.
    """
    present = simulator.probe, simulator.settings, simulator.mechanics, simulator.renderer
    if present == (probe, settings, mechanics, renderer):
        return simulator
    return simulator.replace(probe=probe, settings=settings, mechanics=mechanics, renderer=renderer)
