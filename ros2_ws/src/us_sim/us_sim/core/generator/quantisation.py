# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""A generator in int8: post-training quantisation on slices of the phantom, made once and kept.

Source: Jacob et al. 2018 for the arithmetic; Nagel et al. 2019 for the correction of biases. NNCF does both.
"""

from __future__ import annotations

import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
from contextlib import redirect_stdout
from itertools import islice
from pathlib import Path

import numpy as np
import openvino as ov
import torch
from numpy.typing import NDArray

from us_sim.core.files import atomic_write
from us_sim.core.generator.artifact import Generator
from us_sim.core.generator.motion_slices import motion_slices
from us_sim.core.patient.patient import builtin_patient
from us_sim.core.robot.motion import MOTIONS
from us_sim.core.user_files import cache_folder

SLICES = 64  # that the ranges of activations are taken from
RECIPE = 2  # raised whenever the model that is made changes: files of older recipes are not read
PARTS = ("model.xml", "model.bin")


def calibration_slices(generator: Generator, count: int = SLICES) -> NDArray[np.float32]:
    """Return (count, C, H, W): what the generator is fed along all motions over the built-in phantom."""
    seen = motion_slices(generator, builtin_patient(0), 0, -(-count // len(MOTIONS)))
    with torch.inference_mode():
        return np.concatenate([one.read().numpy() for one in islice(seen, count)])


def quantised(model: ov.Model, slices: NDArray[np.float32]) -> ov.Model:
    """Return the int8 model of a network, its ranges taken from (N, C, H, W) inputs.

    The first and the last convolution keep their precision: they are cheap, and see and draw grey levels directly.
    """
    import nncf  # takes seconds and is needed once for a generator

    nncf.set_log_level("ERROR")
    convolutions = [op.get_friendly_name() for op in model.get_ordered_ops() if op.get_type_name() == "Convolution"]
    with redirect_stdout(sys.stderr):  # its progress
        return nncf.quantize(
            model, nncf.Dataset([one[None] for one in slices]), subset_size=len(slices),
            preset=nncf.QuantizationPreset.MIXED, target_device=nncf.TargetDevice.CPU,
            ignored_scope=nncf.IgnoredScope(names=[convolutions[0], convolutions[-1]]),
        )  # fmt: skip


# -- kept ------------------------------------------------------------------------------------------------


def kept(generator: Generator) -> ov.Model | None:
    """Return the int8 model that was made earlier, or None; a damaged file counts as none."""
    for file in _places(generator):
        try:
            with zipfile.ZipFile(file) as archive:  # reading compares checksums
                model = ov.Core().read_model(*(archive.read(part) for part in PARTS))
            if tuple(model.input().shape) == (1, generator.card.channels, *generator.card.size):
                return model
            _say(f"{file} belongs to another network; it is rebuilt")
        except FileNotFoundError:
            pass
        except Exception as error:  # a damaged file may bring forth anything
            _say(f"{file} cannot be read ({_line(error)}); it is rebuilt")
    return None


def made(generator: Generator, model: ov.Model) -> ov.Model:
    """Quantise a generator's model and keep the result for the next start."""
    slices = calibration_slices(generator)
    run = ov.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    start = time.perf_counter()
    run([slices[:1]])
    seconds = 1.5 * len(slices) * (time.perf_counter() - start)  # measured: ranges cost more than the run itself
    _say(f"generator {generator.name}: int8 is made once, from {len(slices)} slices, in about {seconds:.0f} s")
    result = quantised(model, slices)
    _say(f"generator {generator.name}: {_keep(generator, result)}")
    return result


def _places(generator: Generator) -> Iterator[Path]:
    """Beside the artifact, then in the user's cache."""
    name = f"{generator.name}.{generator.sha256}.int8-{RECIPE}.zip"
    if generator.file is not None:
        yield generator.file.parent / name
    folder = cache_folder()
    if folder is not None:
        yield folder / name


def _keep(generator: Generator, model: ov.Model) -> str:
    """Write the model where it can be written, whole or not at all; return what became of it."""
    refusals = []
    for file in _places(generator):
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory() as folder, atomic_write(file) as partial:
                xml = Path(folder) / PARTS[0]
                ov.save_model(model, xml, compress_to_fp16=False)
                with zipfile.ZipFile(partial, "w") as archive:
                    for part in PARTS:
                        archive.write(xml.with_name(part), part)
            return f"kept in {file}"
        except OSError as error:
            refusals.append(_line(error))
    return f"not kept ({'; '.join(refusals) or 'no folder'})"


def _line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _say(text: str) -> None:
    print(f"us_sim: {text}", file=sys.stderr, flush=True)
