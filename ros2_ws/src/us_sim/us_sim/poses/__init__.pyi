from .bags import RecordedPose as RecordedPose
from .bags import is_bag as is_bag
from .bags import read_bag as read_bag
from .trajectory import Trajectory as Trajectory
from .trajectory import paced as paced
from .trajectory import read_trajectory as read_trajectory
