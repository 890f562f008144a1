"""Mend the CMake exports of the ROS wheels: they name folders of the machine that built them.

Run by the environment's own Python after the wheels are installed. Running it again changes nothing.
"""

from __future__ import annotations

import re
import sys
import sysconfig
from pathlib import Path

BUILDER = r"/opt/python/cp\d+-cp\d+t?"


def mend(text: str, include: str, site_packages: str) -> str:
    """Return a CMake file's text with the builder's folders replaced by this interpreter's."""
    text = re.sub(BUILDER + r"/include/python3\.\d+", lambda _: include, text)
    return re.sub(BUILDER + r"/lib/python3\.\d+/site-packages", lambda _: site_packages, text)


def main() -> None:
    """Mend every export of the environment that this interpreter belongs to."""
    paths = sysconfig.get_paths()
    for file in Path(sys.prefix, "share").glob("*/cmake/*.cmake"):
        text = file.read_text()
        mended = mend(text, paths["include"], paths["purelib"])
        if mended != text:
            file.write_text(mended)


if __name__ == "__main__":
    main()
