"""Work spread over processes: a worker that is killed -9 costs nothing but time."""

from __future__ import annotations

import os
import signal
from functools import partial
from pathlib import Path

import pytest

from us_sim.core.compute import cluster
from us_sim.core.errors import ConfigError

pytest.importorskip("distributed", reason="Dask is not installed: extra cluster")


def doubled(folder: Path, number: int) -> int:
    """Write a file; the first process that meets number 3 is killed before it has."""
    if number == 3:
        try:
            (folder / "killed").touch(exist_ok=False)
            os.kill(os.getpid(), signal.SIGKILL)
        except FileExistsError:
            pass
    (folder / f"{number}.txt").write_text(str(2 * number))
    return 2 * number


def refused(number: int) -> int:
    raise ConfigError(f"{number} is refused")


def test_what_a_killed_worker_held_is_done_again(tmp_path: Path) -> None:
    found = dict(cluster.spread(partial(doubled, tmp_path), range(6), workers=2))
    assert (tmp_path / "killed").exists()
    assert found == {n: 2 * n for n in range(6)}
    assert {p.name: p.read_text() for p in tmp_path.glob("*.txt")} == {f"{n}.txt": str(2 * n) for n in range(6)}


def test_an_error_of_an_item_reaches_the_caller() -> None:
    with pytest.raises(ConfigError, match="7 is refused"):
        list(cluster.spread(refused, [7], workers=1))


def test_a_scheduler_that_does_not_answer_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "PATIENCE", "100ms")
    with pytest.raises(ConfigError, match=r"scheduler tcp://127.0.0.1:9: no answer .*expected tcp://host:port"):
        list(cluster.spread(refused, [7], scheduler="tcp://127.0.0.1:9"))


def test_without_dask_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "distributed", None)
    with pytest.raises(ConfigError, match=r"several processes need Dask; install the extra: pip install 'us_sim\[clus"):
        list(cluster.spread(refused, [7]))
