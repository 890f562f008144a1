# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Command `us_sim_export`: a dataset or a recorded sweep into a format to train from."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from us_sim.core.command import as_command, given_path
from us_sim.core.errors import RecordingError
from us_sim.core.files import atomic_folder
from us_sim.offline.export.dataset_card import write_card
from us_sim.offline.export.samples import open_source

FORMATS = {  # module and function; a library is imported where it is needed
    "hdf5": ("hdf5_file", "write_hdf5"),
    "webdataset": ("tar_shards", "write_webdataset"),
    "parquet": ("hugging_face", "write_parquet"),
    "nnunet": ("nnunet_raw", "write_nnunet"),
    "lerobot": ("lerobot_dataset", "write_lerobot"),
}


@as_command("us_sim_export")
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status: 0, or 2 after one line that says what was wrong."""
    parser = argparse.ArgumentParser(prog="us_sim_export", description=__doc__)
    parser.add_argument("source", type=Path, help="folder of us_sim_render --batch, or of a recorded sweep")
    parser.add_argument("--to", choices=FORMATS, required=True, help="format")
    parser.add_argument("--out", type=given_path, required=True, metavar="DIR", help="folder to write to, new or empty")
    parser.add_argument("--python", default=sys.executable, help="with --to lerobot: the Python that has LeRobot")
    options = parser.parse_args(argv)
    extra = [options.python] if options.to == "lerobot" else []
    module, function = FORMATS[options.to]
    try:
        write = getattr(import_module(f"us_sim.offline.export.{module}"), function)
        source = open_source(options.source)
        _check_new(options.out)
        with atomic_folder(options.out) as partial:
            count = write(source, partial, *extra)
            write_card(source, count, partial / "README.md")
    except ModuleNotFoundError as error:
        print(f"us_sim_export: Python finds no module {error.name!r}; install us_sim[export]", file=sys.stderr)
        return 2
    print(f"{count} frames in {options.out}")
    return 0


def _check_new(folder: Path) -> None:
    """Refuse a folder that holds something: old frames would lie among the new ones."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise RecordingError(f"{folder} is there already and is no empty folder; name another, or move it away")


if __name__ == "__main__":
    sys.exit(main())
