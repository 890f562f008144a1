# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""The Fast DDS profile that frames of several MB need: without it best effort loses most of them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import us_sim

PROFILE = Path(us_sim.__file__).parent / "resources" / "dds" / "fast_dds.xml"
VARIABLES = ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE")  # up to Fast DDS 2.14, and later ones
OWN_FILES = ("DEFAULT_FASTRTPS_PROFILES.xml", "DEFAULT_FASTDDS_PROFILES.xml")  # in the working directory


def profile_variables(environment: Mapping[str, str], folder: Path) -> dict[str, str]:
    """Return the variables to set for the processes of the simulator; none where the user has a profile already.

    Args:
        environment: of this process.
        folder: the working directory.
    """
    if any(name in environment for name in VARIABLES) or any((folder / name).exists() for name in OWN_FILES):
        return {}
    return dict.fromkeys(VARIABLES, str(PROFILE))
