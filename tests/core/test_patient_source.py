# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.
"""What the settings call a patient."""

from typing import Any

import pytest

from us_sim.core.config import SimConfig
from us_sim.core.errors import PatientError
from us_sim.core.patient_source import open_patient, phantom_seed


def test_a_phantom_by_its_seed() -> None:
    assert phantom_seed("phantom:7") == 7
    assert phantom_seed("phantom:2147483647") == 2**31 - 1
    assert phantom_seed("") is phantom_seed("ct.nii.gz") is phantom_seed("./phantom:7") is None


@pytest.mark.parametrize("ct", ["phantom:", "phantom:x", "phantom:-1", "phantom:2147483648", "phantom:²"])
def test_a_seed_that_is_none_is_no_file(ct: str) -> None:
    with pytest.raises(PatientError, match=f"ct is '{ct}'; expected phantom: and a seed from 0 to 2147483647, as in"):
        open_patient(SimConfig(ct=ct))


@pytest.mark.parametrize("name", ["label_scheme", "labels_map"])
@pytest.mark.parametrize("ct", ["", "phantom:3", "ct.nii.gz"])
def test_the_meaning_of_labels_without_labels(ct: str, name: str) -> None:
    settings: Any = {"ct": ct, name: "amos"}
    with pytest.raises(PatientError, match=f"{name} is 'amos', but labels is empty; name the labels that it is about"):
        open_patient(SimConfig(**settings))
