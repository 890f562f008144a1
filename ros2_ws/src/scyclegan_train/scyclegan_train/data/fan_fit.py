"""The fan of frames whose geometry nobody wrote down: found by the simulator's code."""

from us_sim.core.geometry.fan_fit import fan_of as fan_of
from us_sim.core.geometry.fan_fit import fit_fan as fit_fan
