"""The fan of frames of unknown geometry: fitted by the simulator's code."""

from us_sim.core.geometry.fan_fit import fan_of as fan_of
from us_sim.core.geometry.fan_fit import fit_fan as fit_fan
