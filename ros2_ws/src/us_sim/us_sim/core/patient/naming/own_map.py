# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""`labels_map.yaml`: the user's own mapping from label values or names to tissue classes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from us_sim.core.errors import PatientError
from us_sim.core.patient.naming.structures import class_of_name, plain
from us_sim.core.tissue import TissueClass
from us_sim.core.user_files import read_yaml

_EXAMPLE = "expected lines like '1: liver' or 'tumour: liver'"


@dataclass(frozen=True)
class OwnMap:
    """A mapping of the user's own.

    Attributes:
        values: label value -> class.
        names: plain name of a structure -> class.
        source: the file's name.
    """

    values: Mapping[int, TissueClass]
    names: Mapping[str, TissueClass]
    source: str

    def classes(self, said: Mapping[int, str]) -> dict[int, TissueClass]:
        """Return value -> class, with the names that the label file gives its values; a value counts before a name."""
        by_name = {value: self.names[plain(name)] for value, name in said.items() if plain(name) in self.names}
        return {**by_name, **self.values}


def own_map_of(label_scheme: str) -> str:
    """Return the labels_map that stands in the place of a scheme's name, as in ~/load_patient, or nothing."""
    return label_scheme if label_scheme.lower().endswith((".yaml", ".yml")) else ""


def read_own_map(path: Path) -> OwnMap:
    """Read a `labels_map.yaml`.

    Raises:
        PatientError: unreadable, not a mapping, or a class that is unknown; naming line and remedy.
    """
    if not path.is_file():
        raise PatientError(f"{path}: no such file; labels_map names a YAML file, {_EXAMPLE}")
    try:
        found = read_yaml(path, PatientError)
    except PatientError as error:
        raise PatientError(f"{error}; {_EXAMPLE}") from error
    if not isinstance(found, dict) or not found:
        raise PatientError(f"{path}: holds no mapping; {_EXAMPLE}")
    values: dict[int, TissueClass] = {}
    names: dict[str, TissueClass] = {}
    for key, meant in found.items():
        tissue = _class(path, key, meant)
        if str(key).isdigit():  # '1' in quotes too
            if int(key) == 0 and tissue != TissueClass.BACKGROUND:
                raise PatientError(
                    f"{path}: '0: {meant}', but 0 is unlabelled everywhere; give these voxels another value"
                )
            values[int(key)] = tissue
        else:
            names[plain(str(key))] = tissue
    return OwnMap(values, names, path.name)


def _class(path: Path, key: Any, meant: Any) -> TissueClass:
    if meant is None or meant == 0 or meant is False:
        return TissueClass.BACKGROUND
    tissue = class_of_name(meant) if isinstance(meant, str) else None
    if tissue is None or isinstance(key, float):
        known = ", ".join(item.name.lower() for item in TissueClass)
        raise PatientError(f"{path}: '{key}: {str(meant)[:80]}' names no class; expected one of {known}")
    return tissue
