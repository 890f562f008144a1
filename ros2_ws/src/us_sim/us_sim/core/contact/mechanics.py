"""Mechanics of the patient: settings of contact force, tissue deformation and breathing."""

from __future__ import annotations

from dataclasses import dataclass

from us_sim.core.config import check_ranges, setting


@dataclass(frozen=True)
class MechanicsSettings:
    """Stiffness, damping, friction and breathing of the patient; all of it changes live.

    Raises:
        ConfigError: a value outside its range, named with the range.
    """

    deformation: bool = setting(True, "tissue gives way to the probe in image, slice and labels")
    stiffness: float = setting(1.0, "stiffness of the tissue over the usual, for ~/wrench", 0.1, 10.0)
    damping: float = setting(0.3, "share by which ~/wrench grows with the speed of pressing in, s/m", 0.0, 20.0)
    friction: float = setting(0.1, "friction between face and skin over the normal force", 0.0, 1.0)
    breathing_amplitude: float = setting(0.0, "way of the organs towards the feet in a breath, mm; 0: none", 0.0, 40.0)
    breathing_period: float = setting(4.0, "duration of a breath, s", 1.0, 20.0)

    def __post_init__(self) -> None:
        check_ranges(self)


RIGID = MechanicsSettings(deformation=False)
