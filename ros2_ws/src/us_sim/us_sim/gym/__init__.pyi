from .config import EpisodeConfig as EpisodeConfig
from .environment import ProbeEnv as ProbeEnv
from .patients import open_patient as open_patient
from .patients import save_patient as save_patient
from .planes import PLANES as PLANES
from .randomisation import Randomisation as Randomisation
from .vector import UsSimVectorEnv as UsSimVectorEnv
from .workers import worker_envs as worker_envs
