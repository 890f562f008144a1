# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""An artifact as ONNX, for runtimes other than ours; what is written has drawn what the network draws."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch

from us_sim.core.errors import ConfigError
from us_sim.core.files import atomic_write
from us_sim.core.generator.artifact import load_network, read_card

OPSET = 18
NEAR = 2e-3  # of values from −1 to 1: a quarter of a grey level


def write_onnx(artifact: Path, target: Path) -> float:
    """Write a network as ONNX, batch size free, the card as metadata `card`; return by how much it is off at most.

    Raises:
        ConfigError: the extra `onnx` is not installed, or the runtime draws something else.
    """
    onnx, runtime = _library("onnx"), _library("onnxruntime")
    _library("onnxscript")
    network, card, _ = load_network(artifact, read_card(artifact).kind)
    example = torch.rand(2, card.channels, *card.size, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with atomic_write(target) as partial:
        torch.onnx.export(network, (example,), str(partial), input_names=["input"], output_names=["output"],
                          opset_version=OPSET, dynamic_shapes={"x": {0: torch.export.Dim("batch")}}, dynamo=True,
                          external_data=False, verbose=False)  # fmt: skip
        model: Any = onnx.load(str(partial))
        onnx.helper.set_model_props(model, {"card": json.dumps(json.loads(card.to_json()))})
        onnx.save(model, str(partial))
        session = runtime.InferenceSession(str(partial), providers=["CPUExecutionProvider"])
        with torch.no_grad():
            expected = network(example[:1]).numpy()
        [found] = session.run(None, {"input": example[:1].numpy()})
        off = float(np.abs(found - expected).max() / max(1.0, float(np.abs(expected).max())))
        if off > NEAR:
            raise ConfigError(f"{target}: onnxruntime draws something else, by {off:.1e}; use the artifact itself")
    return off


def _library(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError as error:
        raise ConfigError(f"ONNX needs {name}; install the extra: pip install 'us_sim[onnx]'") from error
