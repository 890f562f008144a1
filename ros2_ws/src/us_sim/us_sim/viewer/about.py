# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""What a saved file says of its origin."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class About:
    """What a file says of its origin.

    Attributes:
        patient: name of the simulated patient.
        patient_sha256: its SHA-256, hexadecimal.
        renderer: of the frames.
        made: when it was saved.
    """

    patient: str
    patient_sha256: str
    renderer: str
    made: datetime
