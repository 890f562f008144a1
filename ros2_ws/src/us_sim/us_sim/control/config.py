# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Settings of the demo controllers."""

from __future__ import annotations

from dataclasses import dataclass

from us_sim.core.config import check_ranges, setting
from us_sim.core.errors import ConfigError


@dataclass(frozen=True)
class ScanConfig:
    """Settings of every scan; the others come with the goal.

    Raises:
        ConfigError: a value outside its range.
    """

    control_rate: float = setting(50.0, "control rate, Hz", 10.0, 200.0)
    force_limit: float = setting(25.0, "contact force at which the probe is retracted, N", 1.0, 50.0)
    client_timeout: float = setting(
        2.0, "the scan stops when no action client has been there for so long, s; 0 to scan on alone", 0.0, 60.0
    )
    recordings: str = setting("", "root folder of recordings; empty for us_sim_recordings in the home folder")

    def __post_init__(self) -> None:
        check_ranges(self)


@dataclass(frozen=True)
class ServoConfig:
    """Which organ is found, and how.

    Raises:
        ConfigError: a value outside its range, or a force that is not below its limit.
    """

    organ: str = setting("kidney", "target organ, by its name in ~/analysis")
    force: float = setting(5.0, "contact force setpoint, N", 0.5, 30.0)
    force_limit: float = setting(25.0, "contact force at which the probe is retracted, N", 1.0, 50.0)
    look_depth: float = setting(
        110.0, "imaging depth of the search, mm: hides the contralateral kidney; 0 keeps the present depth", 0.0, 400.0
    )
    control_rate: float = setting(50.0, "control rate, Hz", 10.0, 200.0)
    autostart: bool = setting(True, "begin at once; false to wait for ~/start")

    def __post_init__(self) -> None:
        check_ranges(self)
        if self.force >= self.force_limit:
            raise ConfigError(f"force is {self.force:g} N; expected less than force_limit, {self.force_limit:g} N")
