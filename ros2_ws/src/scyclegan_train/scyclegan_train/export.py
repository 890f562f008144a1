# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""`scyclegan_train export`: a network of a checkpoint as an artifact, with a model card; or as ONNX."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from scyclegan_train.run.export import KINDS, export, source_of
from scyclegan_train.run.model_card import write_model_card
from scyclegan_train.run.onnx_file import write_onnx
from us_sim.core.command import as_command
from us_sim.core.errors import ConfigError
from us_sim.core.files import check_replaceable

NAME = "scyclegan_train export"


@as_command(NAME)
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(prog=NAME, description=__doc__)
    parser.add_argument("checkpoint", type=Path, help="folder of a checkpoint, or of a run: its latest is taken")
    parser.add_argument("target", type=Path, help="artifact to write, .safetensors")
    parser.add_argument("--data", action="append", default=[], metavar="NAME:LICENCE", help="a source trained on")
    parser.add_argument("--half", action="store_true", help="round the weights to half precision")
    parser.add_argument("--network", default="G_ct2us", choices=KINDS, help="which of the run's (%(default)s)")
    parser.add_argument("--segmenter", dest="network", action="store_const", const="S_us", help="short for S_us")
    parser.add_argument("--onnx", type=Path, metavar="FILE", help="write it as ONNX too, checked by onnxruntime")
    given = parser.parse_args(arguments)
    data = [source_of(entry) for entry in given.data]
    # Each holds what only this command writes: the card, or the model card's header.
    check_replaceable(filter(None, (given.target, given.onnx)), "git_commit", ConfigError, NAME)
    check_replaceable([given.target.with_suffix(".md")], "library_name: us_sim", ConfigError, NAME)
    card = export(given.checkpoint, given.target, data, half=given.half, network=given.network)
    write_model_card(given.target)
    if given.onnx is not None:
        off = write_onnx(given.target, given.onnx)
        print(f"{given.onnx}: differs from the network by at most {off:.1e}")
    print(f"{given.target}: {card.grid}, {card.encoding}, width {card.width:g}, {card.kind}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
