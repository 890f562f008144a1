"""Configure, activate, deactivate, clean up: what holds in each state, and how a failure is mended."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from lifecycle_msgs.msg import State, Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rclpy.parameter import Parameter
from sensor_msgs.msg import Image
from us_sim_msgs.msg import ProbeInfo
from us_sim_msgs.srv import LoadPatient

from us_sim.core import patient_source

if TYPE_CHECKING:
    from tests.ros.conftest import World


def change(world: World, transition: int) -> bool:
    request = ChangeState.Request(transition=Transition(id=transition))
    return bool(world.call(ChangeState, "us_sim/change_state", request).success)


def state(world: World) -> int:
    return int(world.call(GetState, "us_sim/get_state", GetState.Request()).current_state.id)


def render_threads() -> list[str]:
    return [t.name for t in threading.enumerate() if t.name == "render"]


def test_autostart_ends_active(world: World) -> None:
    world.start()
    assert state(world) == State.PRIMARY_STATE_ACTIVE


def test_a_scanner_brings_probe_and_settings(world: World) -> None:
    node = world.start(scanner="generic_handheld", renderer="physics", gain=3.0)
    assert node.session.scene is not None
    simulator = node.session.scene.simulator
    assert (simulator.probe.radius_of_curvature, simulator.probe.depth) == (60.0, 150.0)
    assert (simulator.settings.gain, simulator.settings.dynamic_range) == (3.0, 55.0)
    assert node.get_parameter("dynamic_range").value == 55.0
    assert node.set_parameters([Parameter("tgc", value=0.7)])[0].successful
    assert node.session.scene.simulator.settings.tgc == 0.7


def test_a_lifecycle_manager_leads_through_all_states(world: World) -> None:
    node = world.start(autostart=False)
    assert state(world) == State.PRIMARY_STATE_UNCONFIGURED
    assert node.session.scene is None
    assert change(world, Transition.TRANSITION_CONFIGURE)
    assert node.session.scene is not None
    assert not render_threads()
    assert change(world, Transition.TRANSITION_ACTIVATE)
    assert render_threads()
    assert change(world, Transition.TRANSITION_DEACTIVATE)
    assert not render_threads()
    assert change(world, Transition.TRANSITION_CLEANUP)
    assert node.session.scene is None
    assert not [topic for topic, _ in node.get_topic_names_and_types() if topic == "/us_sim/image"]
    assert change(world, Transition.TRANSITION_CONFIGURE)
    assert change(world, Transition.TRANSITION_ACTIVATE)
    assert change(world, Transition.TRANSITION_ACTIVE_SHUTDOWN)
    assert not render_threads()
    assert state(world) == State.PRIMARY_STATE_FINALIZED


def test_frames_flow_again_after_deactivation(world: World) -> None:
    node = world.start()
    images = world.listen(Image, "us_sim/image")
    for _ in range(2):
        world.listened(node.session.outputs.image)
        world.sender(node)
        world.until(lambda: images)
        assert change(world, Transition.TRANSITION_DEACTIVATE)
        images.clear()
        assert change(world, Transition.TRANSITION_ACTIVATE)


def test_probe_info_waits_for_late_readers_in_every_activation(world: World) -> None:
    world.start()
    infos = world.listen(ProbeInfo, "us_sim/probe_info", latched=True)
    world.until(lambda: infos)
    assert infos[0].patient == "phantom-0"
    change(world, Transition.TRANSITION_DEACTIVATE)
    change(world, Transition.TRANSITION_ACTIVATE)
    late = world.listen(ProbeInfo, "us_sim/probe_info", latched=True)
    world.until(lambda: late)
    assert late[-1].config_id == infos[0].config_id


@pytest.mark.parametrize(
    ("parameters", "match"),
    [
        ({"ct": "/nowhere.nii.gz"}, "/nowhere.nii.gz: no such file"),
        ({"labels": "/seg.nii.gz"}, "labels is '/seg.nii.gz', but ct is empty"),
        ({"probe": "c9"}, "unknown probe 'c9'; expected one of c5_2"),
        ({"scanner": "generic_handheld", "probe": "l12_5"}, "includes its own; leave one of them out"),
        ({"scanner": "best"}, "unknown scanner 'best'; expected one of generic_abdominal"),
        ({"renderer": "generator", "depth": 200.0}, "the generator's card allows 180"),
        ({"generator": "/no.safetensors"}, "/no.safetensors: no such file"),
        ({"pose_source": "tf"}, "pose_source is 'tf', but tf2_ros is not installed"),
        ({"pose_source": "telepathy"}, "pose_source is 'telepathy'; expected one of topic, tf"),
        ({"renderer": "oil"}, "renderer is 'oil'; expected one of generator, physics, ct"),
    ],
)
def test_bad_input_at_start_leaves_the_node_unconfigured(
    world: World, capfd: pytest.CaptureFixture[str], parameters: dict[str, Any], match: str
) -> None:
    node = world.start(**parameters)
    assert state(world) == State.PRIMARY_STATE_UNCONFIGURED
    assert node.session.scene is None
    told = [line for line in capfd.readouterr().err.splitlines() if "configure failed" in line]
    assert len(told) == 1
    assert match in told[0]


def test_an_unforeseen_error_is_told_too(
    world: World, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def explode(seed: int, detail: bool) -> None:
        raise MemoryError("no room for the phantom")

    monkeypatch.setattr(patient_source, "builtin_patient", explode)
    world.start()
    assert state(world) == State.PRIMARY_STATE_UNCONFIGURED
    assert "configure failed: MemoryError: no room for the phantom" in capfd.readouterr().err


def test_after_a_failure_a_parameter_mends_it(world: World, tmp_path: Path) -> None:
    node = world.start(ct=str(tmp_path / "ct.nii.gz"))
    assert not change(world, Transition.TRANSITION_CONFIGURE)
    (tmp_path / "other.nii.gz").touch()
    mended = Parameter("ct", value=str(tmp_path / "other.nii.gz"))
    assert node.set_parameters_atomically([mended]).successful
    assert change(world, Transition.TRANSITION_CONFIGURE)
    assert node.session.scene.simulator.patient.name == "other.nii.gz"


def test_after_a_failure_the_service_mends_it(world: World, tmp_path: Path) -> None:
    node = world.start(ct="/nowhere.nii.gz")
    (tmp_path / "mine.nii.gz").touch()
    request = LoadPatient.Request(ct=str(tmp_path / "mine.nii.gz"))
    answer = world.call(LoadPatient, "us_sim/load_patient", request)
    assert (answer.success, answer.patient) == (True, "mine.nii.gz")
    assert change(world, Transition.TRANSITION_CONFIGURE)
    assert node.session.scene.simulator.patient.name == "mine.nii.gz"


def test_a_parameter_outdoes_a_patient_kept_from_before(world: World, tmp_path: Path) -> None:
    node = world.start(autostart=False)
    (tmp_path / "mine.nii.gz").touch()
    world.call(LoadPatient, "us_sim/load_patient", LoadPatient.Request(ct=str(tmp_path / "mine.nii.gz")))
    assert node.set_parameters_atomically([Parameter("seed", value=5)]).successful
    assert change(world, Transition.TRANSITION_CONFIGURE)
    assert node.session.scene.simulator.patient.name == "phantom-5"
