# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Settings of the browser view."""

from __future__ import annotations

from dataclasses import dataclass

from us_sim.core.config import check_ranges, setting


@dataclass(frozen=True)
class ViewerConfig:
    """Where the page is served, and where recordings go.

    Raises:
        ConfigError: a value outside its range.
    """

    viewer_host: str = setting(
        "127.0.0.1",
        "address that the browser view listens on; 0.0.0.0 admits other machines with the token of the printed address",
    )
    viewer_port: int = setting(8080, "port of the browser view; the next free one if it is in use", 1, 65535)
    recordings: str = setting("", "folder for recorded sweeps; empty for us_sim_recordings in the home folder")

    def __post_init__(self) -> None:
        check_ranges(self)
