"""From the settings to a simulator: opens what they name."""

from __future__ import annotations

from dataclasses import replace

from us_sim.core.artifact import Generator, load_generator
from us_sim.core.config import ImageSettings, SimConfig
from us_sim.core.device import choose_device
from us_sim.core.errors import ArtifactError, PatientError
from us_sim.core.patient import Patient, builtin_patient, load_patient
from us_sim.core.probe import ProbeGeometry, preset
from us_sim.core.simulator import Simulator


def open_patient(config: SimConfig) -> Patient:
    """Load the CT with its labels, or make the built-in phantom where no CT is named.

    Raises:
        PatientError: it cannot be used, or labels are named without a CT.
    """
    if config.ct:
        return load_patient(config.ct, config.labels or None, config.label_scheme or None)
    if config.labels:
        raise PatientError(f"labels is {config.labels!r}, but ct is empty; name the CT that the labels belong to")
    return builtin_patient(config.seed)


def open_generator(config: SimConfig) -> Generator:
    """Load the generator artifact.

    Raises:
        ArtifactError: it cannot be used, or none is named.
        ConfigError: there is no such device.
    """
    if not config.generator:
        raise ArtifactError("no generator is named, and none is shipped; give the path of an artifact")
    return load_generator(config.generator, choose_device(config.device)[0])


def probe_of(config: SimConfig) -> ProbeGeometry:
    """Return the probe that the settings describe.

    Raises:
        ProbeError: unknown preset, or a value that it cannot have.
    """
    probe = preset(config.probe)
    if config.depth > 0:
        probe = probe.with_depth(config.depth)
    return replace(probe, slice_thickness=config.slice_thickness, elevation_planes=config.elevation_planes)


def open_simulator(config: SimConfig, settings: ImageSettings) -> Simulator:
    """Return the simulator that the settings describe.

    Raises:
        UsSimError: something that they name cannot be used.
    """
    probe = probe_of(config)
    wanted = config.generator or config.renderer == "generator"
    generator = open_generator(config) if wanted else None
    return Simulator(
        open_patient(config), probe, settings,
        renderer=config.renderer, generator=generator, device=config.device, seed=config.seed,
    )  # fmt: skip
