"""What all tests of the training share."""

from __future__ import annotations

from collections.abc import Iterator

import numba
import pytest
import torch
from tests.train.forks import Forks


@pytest.fixture(scope="session")
def forks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forks]:
    """Processes that start at once."""
    made = Forks(tmp_path_factory.mktemp("forks"))
    yield made
    made.close()


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> Iterator[None]:
    """Tiny tensors are not worth sharing between threads, least of all on a busy machine."""
    threads = torch.get_num_threads(), numba.get_num_threads()
    numba.set_num_threads(1)
    torch.set_num_threads(1)
    yield
    numba.set_num_threads(threads[1])
    torch.set_num_threads(threads[0])
