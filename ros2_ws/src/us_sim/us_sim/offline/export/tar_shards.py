# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""WebDataset: tar files of PNGs and JSON, read in a stream."""

from __future__ import annotations

from pathlib import Path

import webdataset

from us_sim.offline.export.samples import Source

FRAMES = 1000  # to a tar file


def write_webdataset(source: Source, out: Path) -> int:
    """Write `frames-000000.tar` and so on; a frame is `image.png`, `labels.png`, `json`. Returns their number."""
    out.mkdir(parents=True, exist_ok=True)
    count = 0
    with webdataset.ShardWriter(str(out / "frames-%06d.tar"), maxcount=FRAMES, verbose=0) as sink:
        for sample in source:
            known = {"time": sample.seconds, "pose": sample.pose.tolist()}
            if sample.wrench[0] == sample.wrench[0]:  # JSON has no NaN
                known["wrench"] = sample.wrench.tolist()
            sink.write(
                {"__key__": f"{sample.number:08d}", "image.png": sample.image, "labels.png": sample.labels,
                 "json": known}
            )  # fmt: skip
            count += 1
    return count
