# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""From the settings to a simulator: opens what they name."""

from __future__ import annotations

from dataclasses import fields, replace

from us_sim.core.compute.device import Device, choose_device, with_fall_back
from us_sim.core.config import ImageSettings, SimConfig
from us_sim.core.contact.mechanics import MechanicsSettings
from us_sim.core.errors import ConfigError, DeviceError
from us_sim.core.generator.artifact import Generator, load_generator
from us_sim.core.generator.backend import CPU
from us_sim.core.generator.inference import accelerated
from us_sim.core.generator.shipped import artifact_of
from us_sim.core.geometry.probe import ProbeGeometry
from us_sim.core.geometry.probe_file import load_probe
from us_sim.core.patient.patient import Patient
from us_sim.core.patient_source import open_patient
from us_sim.core.physics.scanner_file import load_scanner
from us_sim.core.simulator import Simulator


def open_generator(name: str = "", device: str | Device = "auto") -> Generator:
    """Load a generator artifact, ready to draw on a device.

    Args:
        name: a path, the name of a shipped artifact, or nothing for the one that is shipped as the default.
        device: `auto`, `cpu` or `cuda`, or one that was chosen before.

    Raises:
        ArtifactError: it cannot be used.
        ConfigError: there is no such device.
        DeviceError: the GPU fails or has no memory left.
    """
    chosen = choose_device(device)
    with chosen.failures():
        return accelerated(load_generator(artifact_of(name)), chosen.torch_device)


def base_probe(config: SimConfig) -> ProbeGeometry:
    """Return the probe that `probe` or `scanner` names, before the other parameters shape it.

    Raises:
        ProbeError: the probe cannot be used.
        ConfigError: the scanner cannot be used, or a probe is named beside it.
    """
    if not config.scanner:
        return load_probe(config.probe)
    if config.probe != SimConfig.probe:
        raise ConfigError(
            f"probe is {config.probe!r}, but scanner {config.scanner!r} includes its own; leave one of them out"
        )
    return load_scanner(config.scanner).probe


def started(config: SimConfig, settings: ImageSettings) -> ImageSettings:
    """Return the image settings to start with: those of the scanner where others are left at their default.

    Raises:
        ConfigError: the scanner cannot be used.
    """
    if not config.scanner:
        return settings
    turned = {
        item.name: getattr(settings, item.name)
        for item in fields(ImageSettings)
        if getattr(settings, item.name) != item.default
    }
    return replace(load_scanner(config.scanner).image, **turned)


def shaped(probe: ProbeGeometry, config: SimConfig) -> ProbeGeometry:
    """Return a probe with the depth, the elevational beam, the rows and the sector that the parameters ask for.

    Raises:
        ProbeError: a value that it cannot have.
    """
    if config.depth > 0:
        probe = probe.with_depth(config.depth)
    if config.slice_thickness > 0:
        probe = replace(probe, slice_thickness=config.slice_thickness)
    if config.rows:
        probe = probe.with_rows(config.rows)
    return replace(probe, elevation_planes=config.elevation_planes, sector=config.sector)


def open_simulator(
    config: SimConfig,
    settings: ImageSettings,
    base: ProbeGeometry,
    mechanics: MechanicsSettings | None = None,
    patient: Patient | None = None,
    generator: Generator | None = None,
) -> Simulator:
    """Return the simulator that the parameters describe; what is given is not loaded again.

    `base` is the probe before the parameters have shaped it; without `mechanics` tissue has its default mechanics.
    Where the GPU fails or has no memory left, the CPU takes over; the simulator's `device.reason` says why.

    Raises:
        UsSimError: something that they name cannot be used.
    """
    probe = shaped(base, config)

    def assembled(start: tuple[str | Device, Generator | None]) -> Simulator:
        device, given = start
        drawing = given or open_generator(config.generator, device)  # whichever renderer comes first: it changes live
        return Simulator(
            patient or open_patient(config), probe, settings,
            renderer=config.renderer, generator=drawing, device=device, seed=config.seed,
            mechanics=mechanics or MechanicsSettings(),
            scanner=load_scanner(config.scanner) if config.scanner else None,
        )  # fmt: skip

    def on_cpu(error: DeviceError) -> tuple[str | Device, Generator | None]:
        return Device.cpu(str(error)), generator and accelerated(generator, CPU, calibrate=False)

    start: tuple[str | Device, Generator | None] = (config.device, generator)
    return with_fall_back(assembled, start, on_cpu)[0]
