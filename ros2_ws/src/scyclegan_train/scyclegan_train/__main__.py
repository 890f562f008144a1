"""`python -m scyclegan_train COMMAND`, one of COMMANDS; each says more with --help."""

from __future__ import annotations

import sys
from importlib import import_module

COMMANDS = ("prepare", "train", "evaluate", "export", "segmenter", "synthesise", "compare", "sweep")


def main() -> int:
    """Hand over to a command."""
    if len(sys.argv) < 2 or sys.argv[1] not in COMMANDS:
        print(f"usage: scyclegan_train {{{','.join(COMMANDS)}}} ...", file=sys.stderr)
        return 2
    try:
        module = import_module(f"scyclegan_train.{sys.argv[1]}")
    except ModuleNotFoundError as error:
        print(f"scyclegan_train: Python finds no module {error.name!r}; install scyclegan_train again", file=sys.stderr)
        return 2
    code: int = module.main(sys.argv[2:])
    return code


if __name__ == "__main__":
    raise SystemExit(main())
