"""The fan in frames of a scanner: lives in the simulator, which fits scanners too."""

from us_sim.core.geometry.fans import LIVER_SWEEP as LIVER_SWEEP
from us_sim.core.geometry.fans import FanGeometry as FanGeometry
from us_sim.core.geometry.fans import Resampler as Resampler
from us_sim.core.geometry.fans import fan_in_frame as fan_in_frame
from us_sim.core.geometry.fans import read_fan as read_fan
