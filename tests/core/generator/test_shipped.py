# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.
"""Names of what is shipped."""

from pathlib import Path

import pytest

from us_sim.core.errors import ArtifactError
from us_sim.core.generator.shipped import artifact_of


def test_a_name_that_is_neither_shipped_nor_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    message = r"unknown generator 'abdomn'; expected one of .*abdomen, abdomen_lite.*, or the path of a .safetensors"
    with pytest.raises(ArtifactError, match=message):
        artifact_of("abdomn")
    for path in ("abdomn.safetensors", "./abdomn"):
        assert artifact_of(path) == Path(path)
    Path("abdomn").mkdir()
    assert artifact_of("abdomn") == Path("abdomn")  # the folder of a run
