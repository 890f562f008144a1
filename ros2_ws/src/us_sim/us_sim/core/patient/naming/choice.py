# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Which class each value of a label map means: what the file says decides; values alone only where one reading fits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from us_sim.core.errors import PatientError
from us_sim.core.patient.naming.own_map import OwnMap
from us_sim.core.patient.naming.said import Table, structure_in, tables_beside
from us_sim.core.patient.naming.schemes import SCHEMES, check_scheme, known_schemes
from us_sim.core.patient.naming.structures import classes_of_names
from us_sim.core.tissue import TissueClass

STRAY = 1e-3  # share of the labelled voxels that a slip of the annotator may take up
_SHOWN = 12  # rows of the table of candidates

Counts = Mapping[int, int]  # label value -> voxels, without 0
Classes = Mapping[int, TissueClass | None]


@dataclass(frozen=True)
class Reading:
    """What the values of one label map mean.

    Attributes:
        classes: value -> class, of the values that are there; BACKGROUND for those that count as unlabelled.
        names: value -> structure.
        scheme: what is in force, as the user reads it.
        certain: False where nothing but the values decided.
        warnings: what was left out.
    """

    classes: Mapping[int, TissueClass]
    names: Mapping[int, str]
    scheme: str
    certain: bool = True
    warnings: tuple[str, ...] = field(default=())


def choose(path: Path, counts: Counts, table: Table | None, scheme: str | None, own: OwnMap | None) -> Reading:
    """Return what the values of a label map mean.

    Args:
        path: of the map; its name and the tables beside it are read.
        counts: voxels of each value that is present, without 0.
        table: names that the file itself gives to its values.
        scheme: what the user says, a name in `SCHEMES`; None to find it.
        own: the user's own mapping, which counts before everything else.

    Raises:
        PatientError: unknown scheme, values outside it, or several readings: with a table of them.
    """
    if own is not None:
        return _by_own_map(path, counts, table, own)
    if scheme:
        return _by_scheme(path, counts, check_scheme(scheme), "label_scheme", own_table=table)
    if table is not None and _usable(table.names, counts):
        return _by_table(path, counts, table)
    said = _said(path, counts)
    if said:
        if len({_outcome(reading.classes) for reading in said}) > 1:
            _refuse(path, counts, said, "the file says several things at once")
        return said[0]
    return _by_values(path, counts)


# -- what is said ---------------------------------------------------------------------------------------


def _said(path: Path, counts: Counts) -> list[Reading]:
    """All readings that the tables beside the file and its name give; empty where they say nothing."""
    readings = []
    for table in tables_beside(path):
        if counts.keys() <= set(table.names) and _usable(table.names, counts):
            readings.append(_by_table(path, counts, table))
            break
    for name, scheme in SCHEMES.items():
        if scheme.is_named_in(path) and counts.keys() <= scheme.names.keys():
            readings.append(_reading(path, counts, scheme.classes, scheme.names, f"{name} (by the file's name)"))
    structure = structure_in(path)
    if structure and len(counts) == 1:
        names = dict.fromkeys(counts, structure)
        classes = classes_of_names(names)
        readings.append(_reading(path, counts, classes, names, f"mask of {structure} (by the file's name)"))
    return readings


def _usable(names: Mapping[int, str], counts: Counts) -> bool:
    """Whether a table names at least one value that is there by a structure that we know."""
    classes = classes_of_names({value: name for value, name in names.items() if value in counts})
    return any(classes.values())


def _by_table(path: Path, counts: Counts, table: Table) -> Reading:
    _check_values(path, counts, table.names.keys(), table.source)
    return _reading(path, counts, classes_of_names(table.names), table.names, table.source)


def _by_scheme(path: Path, counts: Counts, name: str, said_by: str, own_table: Table | None) -> Reading:
    scheme = SCHEMES[name]
    _check_values(path, counts, scheme.names.keys(), f"scheme {name!r}")
    reading = _reading(path, counts, scheme.classes, scheme.names, f"{name} (by {said_by})")
    if own_table is None or not _usable(own_table.names, counts):
        return reading
    other = classes_of_names(own_table.names)
    against = [value for value in counts if value in own_table.names and other[value] != reading.classes[value]]
    if not against:
        return reading
    text = ", ".join(f"{value} {own_table.names[value]}" for value in against[:5])
    warning = f"{path.name}: {own_table.source} contradicts label_scheme {name!r}: {text}"
    return Reading(reading.classes, reading.names, reading.scheme, True, (*reading.warnings, warning))


def _by_own_map(path: Path, counts: Counts, table: Table | None, own: OwnMap) -> Reading:
    said = dict(table.names) if table is not None else {}
    if not said and own.names:
        said = dict(next((other.names for other in tables_beside(path) if counts.keys() <= set(other.names)), {}))
    if not said and len(counts) == 1 and own.names:
        said = dict.fromkeys(counts, structure_in(path) or path.name.split(".")[0])
    classes = own.classes(said)
    lacking = counts.keys() - classes.keys()
    if lacking:
        raise PatientError(
            f"{path}: label values {listed(lacking)} are not in {own.source}; add them, with 'background' for none"
        )
    return _reading(path, counts, classes, said, own.source)


# -- values alone ---------------------------------------------------------------------------------------


def _by_values(path: Path, counts: Counts) -> Reading:
    labelled = sum(counts.values())
    fitting = []
    for name, scheme in SCHEMES.items():
        strange = counts.keys() - scheme.names.keys()
        if sum(counts[value] for value in strange) <= STRAY * labelled and strange != counts.keys():
            fitting.append(_reading(path, counts, scheme.classes, scheme.names, name, certain=False))
    if not fitting:
        raise PatientError(
            f"{path}: label values {listed(counts.keys())} are in no scheme ({known_schemes()}); "
            "say what they mean by labels_map"
        )
    if len({_outcome(reading.classes) for reading in fitting}) > 1:
        _refuse(path, counts, fitting, "the file does not say which")
    return fitting[0]


def _refuse(path: Path, counts: Counts, readings: list[Reading], why: str) -> None:
    rows: dict[str, list[str]] = {}
    for reading in readings:
        rows.setdefault(voxels_by_class(reading.classes, counts), []).append(reading.scheme)
    lines = [f"  {', '.join(names[:4])}{', …' if len(names) > 4 else ''}: {row}" for row, names in rows.items()]
    if len(lines) > _SHOWN:
        lines = [*lines[:_SHOWN], f"  and {len(lines) - _SHOWN} more"]
    head = (
        f"{path}: label values {listed(counts.keys())} have several meanings and {why}; "
        "set label_scheme to one of these, or labels_map to a file of your own; voxels that each would give:"
    )
    raise PatientError("\n".join([head, *lines]))


# -- shared ---------------------------------------------------------------------------------------------


def _reading(
    path: Path, counts: Counts, classes: Classes, names: Mapping[int, str], scheme: str, certain: bool = True
) -> Reading:
    """Restrict a scheme to the values that are there; what it does not know or has no tissue for is unlabelled."""
    found = {value: classes.get(value) for value in counts}
    warnings = []
    strays = {value: counts[value] for value in counts if value not in classes}
    if strays:
        text = ", ".join(f"{number} of value {value}" for value, number in list(strays.items())[:5])
        warnings.append(f"{path.name}: stray voxels count as unlabelled: {text}")
    unknown = [str(names[value]) for value in counts if value in classes and classes[value] is None]
    if unknown:
        warnings.append(f"{path.name}: names no tissue, counts as unlabelled: {', '.join(unknown[:10])}")
    known = {value: TissueClass.BACKGROUND if tissue is None else tissue for value, tissue in found.items()}
    return Reading(known, {v: str(n) for v, n in names.items() if v in counts}, scheme, certain, tuple(warnings))


def _check_values(path: Path, counts: Counts, known: object, source: str) -> None:
    strange = {value: number for value, number in counts.items() if value not in known}  # type: ignore[operator]
    if sum(strange.values()) > STRAY * sum(counts.values()):
        raise PatientError(
            f"{path}: label values {listed(strange.keys())} are not in {source}; "
            f"set label_scheme to one of {known_schemes()}, or say what they mean by labels_map"
        )


def _outcome(classes: Mapping[int, TissueClass]) -> tuple[tuple[int, int], ...]:
    return tuple(sorted((value, int(tissue)) for value, tissue in classes.items()))


def voxels_by_class(classes: Mapping[int, TissueClass], counts: Counts) -> str:
    """Return the voxels that each class gets, the largest first: `liver 1,234, unlabelled 5`."""
    voxels: dict[TissueClass, int] = {}
    for value, number in counts.items():
        voxels[classes[value]] = voxels.get(classes[value], 0) + number
    ordered = sorted(voxels.items(), key=lambda item: -item[1])
    return ", ".join(f"{tissue.name.lower() if tissue else 'unlabelled'} {number:,}" for tissue, number in ordered)


def listed(values: object) -> str:
    """Return values in order, the first ten."""
    shown = sorted(values)  # type: ignore[call-overload]
    return ", ".join(map(str, shown[:10])) + (f" and {len(shown) - 10} more" if len(shown) > 10 else "")
