# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Environments in processes of their own, with observations in shared memory."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import gymnasium
from gymnasium.vector import AsyncVectorEnv

from us_sim.core.errors import ConfigError

THREADS = ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS")


def worker_envs(name: str, count: int, **options: Any) -> AsyncVectorEnv:
    """Return N environments, each in a process of one thread; observations come through shared memory.

    It pays where physics or a policy's steps keep a core busy, and there are cores. Give `patients` as folders from
    `save_patient`: the processes map them, and the patient lies in memory once.

    Raises:
        ConfigError: fewer than one environment.
    """
    if count < 1:
        raise ConfigError(f"count of environments is {count}; expected 1 or more")
    with _one_thread():
        return AsyncVectorEnv([partial(_worker, name, options) for _ in range(count)], context="spawn")


def _worker(name: str, options: dict[str, Any]) -> gymnasium.Env[Any, Any]:
    return gymnasium.make(name, **options)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Processes that start within compute with one thread each: they do not take the cores from one another."""
    before = {name: os.environ.get(name) for name in THREADS}
    os.environ.update(dict.fromkeys(THREADS, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
