# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Work spread over processes and machines by Dask: what a killed worker held is done again by another."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any, TypeVar

from us_sim.core.errors import ConfigError

Item = TypeVar("Item")
Made = TypeVar("Made")

RETRIES = 2  # of an item whose work raises an OSError: a shared disk that was away for a moment
PATIENCE = "20s"  # until a scheduler answers


def spread(
    work: Callable[[Item], Made], items: Iterable[Item], workers: int = 2, scheduler: str = ""
) -> Iterator[tuple[Item, Made]]:
    """Yield each item with what `work` made of it, in the order in which they are done.

    Args:
        work: a function of a module, which other processes can import; it leaves files whole or not at all, for it may
            be run twice.
        items: small, they are sent.
        workers: processes of a cluster on this machine, for which this one waits.
        scheduler: `tcp://host:port` of a Dask cluster that runs already and sees the same disk; its workers are used
            instead.

    Raises:
        ConfigError: Dask is not installed, or no scheduler answers.
        Exception: what an item's work raised.
    """
    distributed = _dask()
    with _client(distributed, work, workers, scheduler) as client:
        futures = {client.submit(_retried, work, item, pure=False): item for item in items}
        try:
            for future in distributed.as_completed(list(futures)):
                yield futures[future], future.result()
        finally:
            client.cancel(list(futures))


def _retried(work: Callable[[Item], Made], item: Item) -> Made:
    _one_thread()
    for left in reversed(range(RETRIES + 1)):
        try:
            return work(item)
        except OSError:
            if not left:
                raise
    raise AssertionError


def _one_thread() -> None:
    """As many workers as cores share them: none of them starts threads of its own."""
    import numba
    import torch

    numba.set_num_threads(1)
    torch.set_num_threads(1)


def _dask() -> Any:
    try:
        return import_module("distributed")
    except ImportError as error:
        raise ConfigError("several processes need Dask; install the extra: pip install 'us_sim[cluster]'") from error


@contextmanager
def _copies(work: Callable[..., Any]) -> Iterator[None]:
    """Make workers copies of one process that has imported what the work needs.

    They start at once, and so does the one that takes the place of a killed one.
    """
    with import_module("dask").config.set({"distributed.worker.multiprocessing-method": "forkserver"}):
        context = import_module("distributed.utils").get_mp_context()
        module: str = getattr(work, "func", work).__module__
        context.set_forkserver_preload(["distributed", "torch", "numba", module])
        yield


@contextmanager
def _client(distributed: Any, work: Callable[..., Any], workers: int, scheduler: str) -> Iterator[Any]:
    if not scheduler:
        options = {"n_workers": workers, "threads_per_worker": 1, "dashboard_address": None, "memory_limit": 0}
        with _copies(work), distributed.LocalCluster(**options) as cluster, distributed.Client(cluster) as client:
            yield client
        return
    try:
        client = distributed.Client(scheduler, timeout=PATIENCE)
    except (OSError, ValueError) as error:
        raise ConfigError(f"scheduler {scheduler}: no answer ({error}); expected tcp://host:port of dask scheduler") \
            from error  # fmt: skip
    with client:
        yield client
