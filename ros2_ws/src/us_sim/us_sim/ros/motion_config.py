# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Parameters of the nodes that move the probe: the demo motion, and the fake arm that carries it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from us_sim.core.config import MOTION_NAMES, check_ranges, setting
from us_sim.core.robot.placement import HOLDER, HOLDER_ORDER, TABLE, TABLE_ORDER, six_numbers
from us_sim.core.robot.urdf import pose

if TYPE_CHECKING:
    from us_sim.core.geometry.transforms import Matrix

PATIENT = ("ct", "labels", "label_scheme", "labels_map", "detail", "seed")  # what they share with the simulator


@dataclass(frozen=True)
class MotionConfig:
    """How the probe moves.

    Raises:
        ConfigError: a value outside its range or choices.
    """

    motion: str = setting("liver_sweep", "demo motion of the probe", choices=MOTION_NAMES)
    rate: float = setting(30.0, "poses per second, Hz", 1.0, 200.0)
    period: float = setting(12.0, "period of the motion, s", 1.0, 600.0)
    ct_frame_id: str = setting("ct", "frame id of the patient; default prefixed by the node's namespace")

    def __post_init__(self) -> None:
        check_ranges(self)

    @property
    def count(self) -> int:
        """Poses in one round."""
        return max(2, round(self.rate * self.period))


@dataclass(frozen=True)
class ArmConfig(MotionConfig):
    """How the arm stands and holds the probe.

    Raises:
        ConfigError: a value outside its range or choices, or a placement that is not six numbers.
    """

    output: str = setting(
        "pose",
        "source of the simulator's poses: TF by robot_state_publisher, or ~/probe_pose from here",
        choices=("tf", "pose"),
    )
    world_from_ct: str = setting(TABLE, f"pose of the CT in frame world: '{TABLE_ORDER}', m and rad")
    flange_calibration: str = setting(HOLDER, f"pose of the probe in the arm's flange: '{HOLDER_ORDER}', m and rad")

    def __post_init__(self) -> None:
        super().__post_init__()
        _ = self.placement, self.calibration

    @property
    def placement(self) -> Matrix:
        """`world_from_ct`, (4, 4) mm."""
        x, y, z, yaw, pitch, roll = six_numbers("world_from_ct", self.world_from_ct, TABLE_ORDER)
        return pose((x, y, z), roll, pitch, yaw)

    @property
    def calibration(self) -> list[float]:
        """x, y, z, roll, pitch, yaw, m and rad."""
        return six_numbers("flange_calibration", self.flange_calibration, HOLDER_ORDER)
