"""A load that never ends blocks nothing: it is told, given up at its limit or when asked, and the next one goes."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from diagnostic_msgs.msg import DiagnosticArray
from std_srvs.srv import Trigger
from us_sim_msgs.srv import LoadPatient

from us_sim.core import patient_source

if TYPE_CHECKING:
    from tests.ros.conftest import World


@pytest.fixture
def endless(world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Patients called `endless` are loaded for ever."""
    load, gate = patient_source.load_patient, threading.Event()

    def slow(ct: str, *others: Any, **named: Any) -> Any:
        if "endless" in ct:
            gate.wait()
        return load(ct, *others, **named)

    monkeypatch.setattr(patient_source, "load_patient", slow)
    yield world
    gate.set()


def path(folder: Path, name: str) -> str:
    (folder / name).write_text("")
    return str(folder / name)


def test_a_load_is_told_cancelled_and_followed_by_another(endless: World, tmp_path: Path) -> None:
    world = endless
    node = world.start()
    old = node.session.scene.simulator.patient.name
    nothing = world.call(Trigger, "us_sim/cancel_load", Trigger.Request())
    assert (nothing.success, nothing.message) == (False, "nothing is being loaded")
    told = world.listen(DiagnosticArray, "/diagnostics")
    client = world.client.create_client(LoadPatient, "us_sim/load_patient")
    world.until(client.service_is_ready)
    asked = client.call_async(LoadPatient.Request(ct=path(tmp_path, "endless.nii")))

    def progress() -> list[str]:
        return [v.value for m in told for s in m.status for v in s.values if v.key == "loading"]

    world.until(progress)
    assert progress()[0].startswith(f"patient {tmp_path}/endless.nii, ")
    assert world.call(Trigger, "us_sim/cancel_load", Trigger.Request()).success
    world.until(asked.done)
    answer = asked.result()
    assert (answer.success, answer.message) == (False, f"patient {tmp_path}/endless.nii was cancelled")
    assert answer.patient == old
    other = world.call(LoadPatient, "us_sim/load_patient", LoadPatient.Request(ct=path(tmp_path, "other.nii")))
    assert other.success, other.message
    assert node.session.scene.simulator.patient.name == "other.nii"


def test_a_load_has_a_limit(endless: World, tmp_path: Path) -> None:
    endless.start(load_timeout=1.0)
    asked = LoadPatient.Request(ct=path(tmp_path, "endless.nii"))
    answer = endless.call(LoadPatient, "us_sim/load_patient", asked)
    assert not answer.success
    assert answer.message.endswith("endless.nii takes over 1 s (load_timeout); check what it holds, or raise the limit")
