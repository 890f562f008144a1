"""Compare the wheels of two folders, name by name: they must hold the same files with the same bytes."""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path


def contents(folder: str) -> dict[tuple[str, str], int]:
    """Return the checksum of every file of every wheel in a folder; RECORD only lists the others."""
    return {
        (wheel.name, info.filename): info.CRC
        for wheel in Path(folder).glob("*.whl")
        for info in zipfile.ZipFile(wheel).infolist()
        if not info.filename.endswith("/RECORD")
    }


if __name__ == "__main__":
    first, second = (contents(folder) for folder in sys.argv[1:3])
    different = sorted(name for name in first.keys() | second.keys() if first.get(name) != second.get(name))
    sys.exit(f"different: {different}" if different or not first else 0)
