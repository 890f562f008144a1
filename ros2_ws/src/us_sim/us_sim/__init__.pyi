from .core.assembly import open_generator as open_generator
from .core.geometry.probe import preset as preset
from .core.patient.patient import builtin_patient as builtin_patient
from .core.patient.patient import load_patient as load_patient
from .core.robot.motion import motion as motion
from .core.simulator import Simulator as Simulator

__version__: str
