# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""`python -m scyclegan_train COMMAND`, one of COMMANDS; each says more with --help."""

from __future__ import annotations

import sys
from importlib import import_module

COMMANDS = ("prepare", "train", "evaluate", "export", "segmenter", "synthesise", "compare", "sweep")


def main() -> int:
    """Hand over to a command."""
    if len(sys.argv) < 2 or sys.argv[1] not in COMMANDS:
        given = f"no command {sys.argv[1]!r}" if len(sys.argv) > 1 else "no command"
        print(f"scyclegan_train: {given}; expected one of {', '.join(COMMANDS)}", file=sys.stderr)
        return 2
    try:
        module = import_module(f"scyclegan_train.{sys.argv[1]}")
    except ModuleNotFoundError as error:
        print(f"scyclegan_train: Python finds no module {error.name!r}; install scyclegan_train again", file=sys.stderr)
        return 2
    except KeyboardInterrupt:  # while it loads, which takes seconds
        print("scyclegan_train: interrupted", file=sys.stderr)
        return 130
    code: int = module.main(sys.argv[2:])
    return code


if __name__ == "__main__":
    raise SystemExit(main())
