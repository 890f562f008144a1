# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Hugging Face `datasets`: Parquet with images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import datasets
from datasets.arrow_writer import ParquetWriter
from PIL import Image

from us_sim.offline.export.samples import Sample, Source

ROWS = 100  # frames to a row group
FEATURES = datasets.Features(
    number=datasets.Value("int64"),
    time=datasets.Value("float64"),
    image=datasets.Image(),
    labels=datasets.Image(),
    pose=datasets.List(datasets.Value("float32"), length=7),
    wrench=datasets.List(datasets.Value("float32"), length=6),
)


def write_parquet(source: Source, out: Path) -> int:
    """Write `train.parquet`, in groups of ROWS frames, which are all that is held; returns the number of frames."""
    out.mkdir(parents=True, exist_ok=True)
    with ParquetWriter(path=str(out / "train.parquet"), features=FEATURES, writer_batch_size=ROWS) as writer:
        for sample in source:
            writer.write(FEATURES.encode_example(_row(sample)))
        count, _ = writer.finalize()
    return int(count)


def _row(sample: Sample) -> dict[str, Any]:
    return {"number": sample.number, "time": sample.seconds, "image": Image.fromarray(sample.image),
            "labels": Image.fromarray(sample.labels), "pose": sample.pose, "wrench": sample.wrench}  # fmt: skip
