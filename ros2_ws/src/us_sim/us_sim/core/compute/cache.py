# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Compiled loops on disk, named by all that they were compiled from.

Numba's own cache looks at one source file, while loops, constants and array layouts come from several: after an update
of the others it would run the old machine code on the new arrays, beyond their ends. And it numbers its files, so that
two processes that compile at the same time may leave a loop under the signature of another.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numba.core.caching import IndexDataCacheFile

Names = dict[str, Any]


class NamedByContent(IndexDataCacheFile):
    """Files of one function, one for each signature; what is no longer asked for stays until it is deleted."""

    def save(self, key: Any, data: Any) -> None:
        self._save_data(self._name(key), data)

    def load(self, key: Any) -> Any:
        try:
            return self._load_data(self._name(key))
        except OSError:
            return None

    def _name(self, key: Any) -> str:
        content = repr((self._version, self._source_stamp, key)).encode()
        return str(self._data_name(0)).replace(".0.nbc", f".{hashlib.sha256(content).hexdigest()[:24]}.nbc")


def name_by_content(compiled: Any, function: Callable[..., Any]) -> None:
    """Make a compiled function keep its files so."""
    if not hasattr(compiled, "_cache"):
        return  # NUMBA_DISABLE_JIT
    cache, impl = compiled._cache, compiled._cache._impl
    stamp = impl.locator.get_source_stamp(), taken_in(function.__globals__)
    cache._cache_file = NamedByContent(cache._cache_path, impl.filename_base, stamp)


def taken_in(names: Names) -> str:
    """Return a digest of what a module's loops take from elsewhere: constants, and the files of imported loops."""
    constants, files = list[str](), dict[str, bytes]()
    _collect(names, constants, files)
    return hashlib.sha256(repr((sorted(constants), sorted(files.items()))).encode()).hexdigest()


def _collect(names: Names, constants: list[str], files: dict[str, bytes]) -> None:
    for name, value in list(names.items()):
        if isinstance(value, bool | int | float | np.generic | tuple) and not name.startswith("__"):
            constants.append(f"{name} {value!r}")
        module = value if isinstance(value, ModuleType) else _home(value)
        if module is None or vars(module) is names or not _ours(module) or module.__name__ in files:
            continue
        files[module.__name__] = hashlib.sha256(Path(str(module.__file__)).read_bytes()).digest()
        _collect(vars(module), constants, files)


def _home(value: Any) -> ModuleType | None:
    """Module of a compiled function, None of anything else."""
    return sys.modules.get(value.__module__) if hasattr(value, "py_func") else None


def _ours(module: ModuleType) -> bool:
    return module.__name__.startswith("us_sim.core.") and bool(getattr(module, "__file__", None))
