# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""HDF5 as robot learning has it (robomimic, i4h): one demonstration, its observations and actions."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np

from us_sim.core.files import atomic_write
from us_sim.offline.export.samples import Source


def write_hdf5(source: Source, out: Path) -> int:
    """Write `data/demo_0` with `obs/image`, `obs/labels`, `obs/pose`, `obs/wrench`, `obs/time` and `actions`.

    An action is the next pose, (7,); the last one is its own. Returns the number of frames.
    """
    out.mkdir(parents=True, exist_ok=True)
    with atomic_write(out / "data.hdf5") as partial, h5py.File(partial, "w") as file:
        demo = file.create_group("data/demo_0")
        count, made = 0, dict[str, h5py.Dataset]()
        for sample in source:
            row = {"image": sample.image, "labels": sample.labels, "pose": sample.pose, "wrench": sample.wrench,
                   "time": np.float64(sample.seconds)}  # fmt: skip
            for name, value in row.items():
                if name not in made:
                    made[name] = demo.create_dataset(
                        f"obs/{name}", (0, *value.shape), value.dtype, maxshape=(None, *value.shape),
                        chunks=(1 if value.ndim else 1024, *value.shape),
                        compression="gzip" if value.ndim == 2 else None,
                    )  # fmt: skip
                made[name].resize(count + 1, axis=0)
                made[name][count] = value
            count += 1
        poses = made["pose"][:] if count else np.zeros((0, 7), np.float32)
        demo["actions"] = np.concatenate([poses[1:], poses[-1:]])
        demo.attrs["num_samples"] = count
        file["data"].attrs["classes"] = [f"{number} {name}" for name, number in source.classes.items()]
    return count
