# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Hugging Face `datasets`: Parquet with images."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import datasets
from PIL import Image

from us_sim.offline.export.samples import Source

FEATURES = datasets.Features(
    number=datasets.Value("int64"),
    time=datasets.Value("float64"),
    image=datasets.Image(),
    labels=datasets.Image(),
    pose=datasets.List(datasets.Value("float32"), length=7),
    wrench=datasets.List(datasets.Value("float32"), length=6),
)


def write_parquet(source: Source, out: Path) -> int:
    """Write `train.parquet`; returns the number of frames."""
    out.mkdir(parents=True, exist_ok=True)
    made = datasets.Dataset.from_list(list(_rows(source)), features=FEATURES)
    made.to_parquet(str(out / "train.parquet"))
    return len(made)


def _rows(source: Source) -> Iterator[dict[str, Any]]:
    for sample in source:
        yield {"number": sample.number, "time": sample.seconds, "image": Image.fromarray(sample.image),
               "labels": Image.fromarray(sample.labels), "pose": sample.pose, "wrench": sample.wrench}  # fmt: skip
