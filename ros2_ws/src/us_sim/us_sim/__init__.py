"""A simulated ultrasound probe: `core` is free of ROS, `ros` holds the node."""

import importlib
import os

# Two OpenMP pools live here, torch's and numba's, and both read this once, when torch is imported. Threads that
# spin while they wait take the cores from one another and from other processes: with both of two cores busy,
# frames of 20 ms took up to 1 s spinning and stayed under 60 ms sleeping.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# OpenBLAS has threads of its own, and they always spin: the small equations of the confidence map woke them for each
# frame, and a stream of 30 frames a second fell to 3. One thread solves them in 5 ms.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

_HOMES = {
    "load_patient": "core.patient.patient",
    "builtin_patient": "core.patient.patient",
    "preset": "core.geometry.probe",
    "Simulator": "core.simulator",
    "open_generator": "core.assembly",
    "motion": "core.robot.motion",
}


def __getattr__(name: str) -> object:
    """Import a public name when it is first used: `import us_sim` stays quick."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
