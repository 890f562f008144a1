# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Training, validation and test splits by patient."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping

from scyclegan_train.data.faults import DataError

SPLITS = ("train", "val", "test")


def split_of(patient: str, shares: tuple[float, float] = (0.1, 0.1), seed: int = 0) -> str:
    """Return the split of a patient by name alone: shards and later runs agree without talking to each other.

    Args:
        patient: name of the patient, the same for all of their scans.
        shares: of patients in `val` and `test`.
        seed: another one gives another split.
    """
    digest = hashlib.sha256(f"{seed}:{patient}".encode()).digest()
    place = int.from_bytes(digest[:8], "big") / 2**64
    return "val" if place < shares[0] else "test" if place < sum(shares) else "train"


def series_of(name: str) -> str:
    """Return whom or which series a frame is of: its name without its last number, a for a12 or 12-a, ct3 for ct3-104.

    Frames that are only numbered are all of one series, without a name.
    """
    return re.sub(r"\d+(?=\D*$)", "", name).strip("-_. ()")


def refolded(split: str, patient: str, fold: tuple[int, int]) -> str:
    """Return the split of a patient in fold i of k, counted from 1; (0, 0) for no folds. Who is `test` stays so.

    Each of the others is `val` in one of the k folds, by name alone, and `train` in all others.
    """
    number, count = fold
    if not count or split == "test":
        return split
    digest = hashlib.sha256(f"fold:{patient}".encode()).digest()
    return "val" if int.from_bytes(digest[:8], "big") % count == number - 1 else "train"


def check_apart(splits: Mapping[str, Iterable[str]]) -> None:
    """Refuse a patient who is in two splits.

    Raises:
        DataError: naming patient and splits.
    """
    seen: dict[str, str] = {}
    for split, patients in splits.items():
        for patient in patients:
            if seen.setdefault(patient, split) != split:
                raise DataError(f"patient {patient} is in two splits, {seen[patient]} and {split}")
