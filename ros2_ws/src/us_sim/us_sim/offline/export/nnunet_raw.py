# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""nnU-Net's raw format: `imagesTr`, `labelsTr` and `dataset.json`, for its own planning and training."""

from __future__ import annotations

import json
from pathlib import Path

from PIL import Image

from us_sim.core.files import atomic_write
from us_sim.offline.export.samples import Source


def write_nnunet(source: Source, out: Path) -> int:
    """Write `Dataset001_<name>`, its images as PNG of one channel; returns the number of frames."""
    folder = out / f"Dataset001_{source.plain_name}"
    for name in ("imagesTr", "labelsTr"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    count = 0
    for sample in source:
        case = f"frame_{sample.number:06d}"
        Image.fromarray(sample.image).save(folder / "imagesTr" / f"{case}_0000.png")
        Image.fromarray(sample.labels).save(folder / "labelsTr" / f"{case}.png")
        count += 1
    about = {
        "channel_names": {"0": "ultrasound"},
        "labels": {"background": 0, **{name: number for name, number in source.classes.items() if number}},
        "numTraining": count,
        "file_ending": ".png",
        "overwrite_image_reader_writer": "NaturalImage2DIO",
    }
    with atomic_write(folder / "dataset.json") as partial:
        partial.write_text(json.dumps(about, indent=1) + "\n")
    return count
