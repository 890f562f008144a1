# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Files of the user, who may give anything: checked before they are opened, and read within bounds."""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from us_sim.core.errors import UsSimError, system_error

MOST_YAML, DEEPEST_YAML = 2**18, 32  # bytes and levels


def home(path: str | Path) -> Path:
    """Return a path with `~` as the home folder; that of a user who does not exist stays as it is, and is not found."""
    return Path(os.path.expanduser(path))


def cache_folder() -> Path | None:
    """Return where to keep what can be made again: US_SIM_CACHE, or `us_sim` in the user's cache; None if off."""
    chosen = os.environ.get("US_SIM_CACHE", "")
    if chosen.lower() in ("off", "0"):
        return None
    if chosen:
        return home(chosen)
    folder = home(os.environ.get("XDG_CACHE_HOME") or "~/.cache")
    return folder / "us_sim" if folder.is_absolute() else None  # no home


@contextmanager
def system_errors_as(error: type[UsSimError]) -> Iterator[None]:
    """Turn what the system says of a file (no permission, name too long, device gone) into an error of ours."""
    try:
        yield
    except OSError as problem:
        raise error(system_error(problem, "read")) from problem


def check_file(path: Path, error: type[UsSimError], most: int | None = None) -> None:
    """Refuse what is no file, such as a pipe, which would be waited for, and what has more bytes than such a file has.

    Raises:
        error: naming path and finding.
        OSError: there is nothing of this name.
    """
    try:
        found = path.stat()
    except ValueError:  # NUL
        raise error(f"{str(path)!r}: a name that no file can have") from None
    if not stat.S_ISREG(found.st_mode):
        raise error(f"{path}: a folder, a pipe or a device; expected a file")
    if most is not None and found.st_size > most:
        raise error(f"{path}: has {found.st_size} bytes; expected {most} at most, so this is another kind of file")


def read_yaml(path: Path, error: type[UsSimError]) -> Any:
    """Return what a small YAML file holds.

    Raises:
        error: no file, too large, no YAML, too deep, a key twice, or with aliases, of which a few lines can make
            gigabytes.
    """
    try:
        check_file(path, error, MOST_YAML)
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as problem:
        raise error(f"{path}: cannot be read as YAML ({' '.join(str(problem).split())})") from None
    return parse_yaml(text, str(path), error)


def parse_yaml(text: str, where: str, error: type[UsSimError]) -> Any:
    """Return what YAML holds that came otherwise than in a file.

    Args:
        text: the YAML.
        where: it comes from, for the message.
        error: to raise, as by `read_yaml`.
    """
    try:
        return yaml.load(text, Loader=_PlainLoader)
    except (ValueError, OverflowError, RecursionError, yaml.YAMLError) as problem:
        raise error(f"{where}: cannot be read as YAML ({' '.join(str(problem).split())})") from None


class _PlainLoader(yaml.SafeLoader):
    _depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("it has aliases (*name); write out what they stand for")
        if self._depth >= DEEPEST_YAML:
            raise yaml.YAMLError(f"it is nested more than {DEEPEST_YAML} deep")
        self._depth += 1
        try:
            return super().compose_node(parent, index)
        finally:
            self._depth -= 1

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        keys = Counter(key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode))
        for key, times in keys.most_common(1):
            if times > 1:
                raise yaml.YAMLError(f"it has {key!r} twice")
        return super().construct_mapping(node, deep)
