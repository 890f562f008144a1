"""From the settings to a simulator: opens what they name."""

from __future__ import annotations

from dataclasses import replace

from us_sim.core.artifact import Generator, load_generator
from us_sim.core.config import ImageSettings, SimConfig
from us_sim.core.device import choose_device
from us_sim.core.errors import ArtifactError, PatientError
from us_sim.core.patient import Patient, builtin_patient, load_patient
from us_sim.core.probe import ProbeGeometry
from us_sim.core.simulator import Simulator


def open_patient(ct: str, labels: str, label_scheme: str, seed: int) -> Patient:
    """Load a CT with its labels, or make the built-in phantom where no CT is named.

    Raises:
        PatientError: it cannot be used, or labels are named without a CT.
    """
    if ct:
        return load_patient(ct, labels or None, label_scheme or None)
    if labels:
        raise PatientError(f"labels is {labels!r}, but ct is empty; name the CT that the labels belong to")
    return builtin_patient(seed)


def open_generator(path: str, device: str) -> Generator:
    """Load a generator artifact.

    Raises:
        ArtifactError: it cannot be used, or none is named.
        ConfigError: there is no such device.
    """
    if not path:
        raise ArtifactError("no generator is named, and none is shipped; give the path of an artifact")
    return load_generator(path, choose_device(device)[0])


def shaped(probe: ProbeGeometry, config: SimConfig) -> ProbeGeometry:
    """Return a probe with the depth and the elevational beam that the parameters ask for.

    Raises:
        ProbeError: a value that it cannot have.
    """
    if config.depth > 0:
        probe = probe.with_depth(config.depth)
    if config.slice_thickness > 0:
        probe = replace(probe, slice_thickness=config.slice_thickness)
    return replace(probe, elevation_planes=config.elevation_planes)


def open_simulator(
    config: SimConfig,
    settings: ImageSettings,
    base: ProbeGeometry,
    patient: Patient | None = None,
    generator: Generator | None = None,
) -> Simulator:
    """Return the simulator that the parameters describe; what is given is not loaded again.

    `base` is the probe before the parameters have shaped it.

    Raises:
        UsSimError: something that they name cannot be used.
    """
    probe = shaped(base, config)
    if generator is None and (config.generator or config.renderer == "generator"):
        generator = open_generator(config.generator, config.device)
    if patient is None:
        patient = open_patient(config.ct, config.labels, config.label_scheme, config.seed)
    return Simulator(
        patient, probe, settings,
        renderer=config.renderer, generator=generator, device=config.device, seed=config.seed,
    )
