"""`labels_map.yaml`: the user's own mapping from label values or names to tissue classes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from us_sim.core.errors import PatientError
from us_sim.core.patient.naming.structures import class_of_name, plain
from us_sim.core.tissue import TissueClass

_MOST = 2**20  # bytes
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
    try:
        if not path.is_file():
            raise PatientError(f"{path}: no such file; labels_map names a YAML file, {_EXAMPLE}")
        if path.stat().st_size > _MOST:
            raise PatientError(f"{path}: {path.stat().st_size} bytes are no labels_map; {_EXAMPLE}")
        text = path.read_text(encoding="utf-8-sig")
        if any(isinstance(token, yaml.AliasToken) for token in yaml.scan(text)):
            raise PatientError(f"{path}: aliases (*name) have no use in a labels_map; {_EXAMPLE}")
        found = yaml.safe_load(text)
    except (yaml.YAMLError, OSError, ValueError, RecursionError) as error:
        if isinstance(error, PatientError):
            raise
        raise PatientError(f"{path}: is no YAML ({' '.join(str(error).split())[:200]}); {_EXAMPLE}") from error
    if not isinstance(found, dict) or not found:
        raise PatientError(f"{path}: holds no mapping; {_EXAMPLE}")
    values: dict[int, TissueClass] = {}
    names: dict[str, TissueClass] = {}
    for key, meant in found.items():
        tissue = _class(path, key, meant)
        if isinstance(key, int) and not isinstance(key, bool):
            values[key] = tissue
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
