# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Settings of the OpenIGTLink server."""

from __future__ import annotations

from dataclasses import dataclass

from us_sim.core.config import check_ranges, setting


@dataclass(frozen=True)
class IgtlConfig:
    """Where it listens.

    Raises:
        ConfigError: a value outside its range.
    """

    igtl_port: int = setting(18944, "port of the OpenIGTLink server", 1, 65535)

    def __post_init__(self) -> None:
        check_ranges(self)
