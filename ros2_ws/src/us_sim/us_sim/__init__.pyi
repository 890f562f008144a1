from .core.assembly import open_generator
from .core.geometry.probe import preset
from .core.patient.patient import builtin_patient, load_patient
from .core.robot.motion import motion
from .core.simulator import Simulator

__all__ = ["Simulator", "__version__", "builtin_patient", "load_patient", "motion", "open_generator", "preset"]
__version__: str
