# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""A probe by name or from a user's own YAML file."""

from __future__ import annotations

from dataclasses import fields

from us_sim.core.errors import ProbeError
from us_sim.core.geometry.probe import ProbeGeometry, ProbeKind, preset
from us_sim.core.user_files import home, read_yaml


def load_probe(name: str) -> ProbeGeometry:
    """Return a preset by name, or the probe that a YAML file describes.

    The file's keys are the fields of `ProbeGeometry` with their units (mm, rad); `kind` is convex, linear or phased.

    Args:
        name: a preset's name, or a path that ends in .yaml or .yml.

    Raises:
        ProbeError: unknown preset; a file that is missing, no YAML, has unknown keys or values out of range.
    """
    if not name.endswith((".yaml", ".yml")):
        return preset(name)
    path = home(name)
    content = read_yaml(path, ProbeError)
    if not isinstance(content, dict):
        raise ProbeError(f"{path}: holds {type(content).__name__}; expected lines of the form `depth: 180.0`")
    try:
        return probe_of(content)
    except ProbeError as error:
        raise ProbeError(f"{path}: {error}") from error


def probe_of(content: dict[str, object]) -> ProbeGeometry:
    """Return the probe whose fields a file holds by name.

    Raises:
        ProbeError: unknown keys, a value that is missing, of the wrong type or out of range.
    """
    known = [field.name for field in fields(ProbeGeometry)]
    unknown = sorted(map(str, content.keys() - set(known)))
    if unknown:
        raise ProbeError(f"unknown keys {', '.join(unknown)}; expected some of {', '.join(known)}")
    kinds = {kind.name.lower(): kind for kind in ProbeKind}
    kind = kinds.get(str(content.get("kind")))
    if kind is None:
        raise ProbeError(f"kind is {content.get('kind')!r}; expected one of {', '.join(kinds)}")
    values = {key: tuple(value) if isinstance(value, list) else value for key, value in content.items()}
    try:
        return ProbeGeometry(**{**values, "kind": kind})  # type: ignore[arg-type]
    except ProbeError:
        raise
    except (TypeError, ValueError, OverflowError) as error:
        raise ProbeError(f"a value is missing or of the wrong type ({error})") from error
