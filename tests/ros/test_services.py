"""Frames on demand, and patient and generator swapped as a whole or not at all."""

from __future__ import annotations

import math
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from lifecycle_msgs.srv import GetState
from rclpy.parameter import Parameter
from sensor_msgs.msg import Image
from us_sim_msgs.msg import ProbeInfo
from us_sim_msgs.srv import ListPatients, LoadGenerator, LoadPatient, RenderFrame

from us_sim.core import patient_source
from us_sim.ros.services import MAX_POSES

if TYPE_CHECKING:
    from tests.ros.conftest import World

Request = RenderFrame.Request


def render(world: World, **fields: Any) -> RenderFrame.Response:
    return world.call(RenderFrame, "us_sim/render", Request(**fields))


def load_patient(world: World, path: Path) -> LoadPatient.Response:
    return world.call(LoadPatient, "us_sim/load_patient", LoadPatient.Request(ct=str(path)))


def load_generator(world: World, path: Path | str) -> LoadGenerator.Response:
    return world.call(LoadGenerator, "us_sim/load_generator", LoadGenerator.Request(path=str(path)))


def test_whole_frames_come_in_the_answer(world: World) -> None:
    node = world.start()
    poses = [world.pose(2.0 + i, x=10.0 + i, y=20.0, z=-61.0) for i in range(11)]  # more than one chunk
    answer = render(world, poses=poses)
    assert (answer.success, answer.message) == (True, "")
    assert answer.probe_info.config_id == node.session.scene.config_id
    assert answer.probe_info.patient == "phantom-0"
    for i, frame in enumerate(answer.frames):
        assert (frame.valid, frame.message) == (True, "")
        parts = (frame.info, frame.image, frame.ct_slice, frame.labels, frame.contact)
        assert {(p.header.stamp.sec, p.header.frame_id) for p in parts} == {(2 + i, "probe")}
        assert max(frame.image.data) == 10 + i
        assert max(frame.labels.data) == 20
        hu = np.frombuffer(bytes(frame.ct_slice.data), "<i2")
        assert (frame.ct_slice.encoding, hu.max()) == ("16SC1", -61)
        assert len(frame.contact.line_coupling) == 192
        np.testing.assert_allclose(frame.info.ct_from_probe.position.x, (10 + i) / 1000)
        assert (frame.info.config_id, frame.info.sequence) == (node.session.scene.config_id, i)


@pytest.mark.parametrize(
    ("outputs", "made"),
    [(0, {"image", "ct_slice", "labels"}), (Request.IMAGE, {"image"}), (Request.CT_SLICE, {"ct_slice"}),
     (Request.LABELS | Request.IMAGE, {"image", "labels"})],
)  # fmt: skip
def test_outputs_choose_what_is_made(world: World, outputs: int, made: set[str]) -> None:
    node = world.start()
    frame = render(world, poses=[world.pose(2.0)], outputs=outputs).frames[0]
    assert {name for name in ("image", "ct_slice", "labels") if len(getattr(frame, name).data)} == made
    assert {name for name, wanted in node.session.scene.simulator.log[-1].items() if wanted} == made


def test_a_bad_pose_spoils_only_its_own_frame(world: World) -> None:
    world.start()
    poses = [world.pose(stamp) for stamp in (9.0, 2.0, 3.0, 1.0, 4.0)]  # stamps need no order here
    poses[4].header.stamp.sec = -4
    poses[1].pose.position.x = math.nan
    poses[2].header.frame_id = "moon"
    answer = render(world, poses=poses)
    assert not answer.success
    assert answer.message.startswith("3 of 5 poses are refused, first poses[1]: ")
    assert answer.message.endswith(answer.frames[1].message)
    assert [frame.valid for frame in answer.frames] == [True, False, False, True, False]
    assert "NaN or Inf" in answer.frames[1].message
    assert "frame 'moon' is unknown" in answer.frames[2].message
    assert "-4 s; expected zero or later" in answer.frames[4].message
    assert not answer.frames[1].image.data


def test_a_zero_stamp_becomes_now(world: World) -> None:
    world.start()
    frame = render(world, poses=[world.pose(0.0)]).frames[0]
    assert abs(frame.info.header.stamp.sec - time.time()) < 60


def test_another_renderer_for_one_call(world: World) -> None:
    node = world.start()
    assert render(world, poses=[world.pose(2.0)], renderer="ct").frames[0].info.renderer == "ct"
    assert node.session.scene.simulator.renderer == "physics"


def test_no_pose_gives_the_geometry_alone(world: World) -> None:
    world.start()
    answer = render(world)
    assert answer.success
    assert (answer.frames, answer.probe_info.width) == ([], 256)


@pytest.mark.parametrize(
    ("fields", "match"),
    [
        ({"renderer": "oil"}, "renderer is 'oil'; expected one of generator, physics, ct"),
        ({"renderer": "generator"}, "depth is 200.0; the generator's card allows 180.0"),
        ({"outputs": 8}, "outputs is 8; expected a sum of 1, 2, 4, or 0 for all"),
        ({"poses": MAX_POSES + 1}, f"{MAX_POSES + 1} poses in one call; expected at most {MAX_POSES}"),
    ],
)
def test_a_bad_request_is_refused(world: World, fields: dict[str, Any], match: str) -> None:
    world.start(depth=200.0)
    poses = [world.pose(1.0)] * fields.pop("poses", 1)
    answer = render(world, poses=poses, **fields)
    assert not answer.success
    assert match in answer.message
    assert answer.frames == []


def test_an_unconfigured_node_renders_nothing(world: World) -> None:
    world.start(autostart=False)
    answer = render(world, poses=[world.pose(1.0)])
    assert not answer.success
    assert "not configured" in answer.message


def test_the_node_answers_while_it_renders_and_loads(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    node = world.start()
    gate = threading.Event()
    monkeypatch.setattr(patient_source, "builtin_patient", lambda seed, detail=True: gate.wait(20))
    client = world.client.create_client(LoadPatient, "us_sim/load_patient")
    world.until(client.service_is_ready)
    loading = client.call_async(LoadPatient.Request())
    node.session.scene.simulator.gate.clear()
    frames = world.client.create_client(RenderFrame, "us_sim/render")
    world.until(frames.service_is_ready)
    rendering = frames.call_async(Request(poses=[world.pose(1.0)]))
    world.until(lambda: node.session.scene.simulator.log)
    world.call(GetState, "us_sim/get_state", GetState.Request())
    assert not loading.done()
    assert not rendering.done()
    node.session.scene.simulator.gate.set()
    world.until(rendering.done)
    gate.set()
    world.until(loading.done)
    assert rendering.result().success


def test_a_new_patient_is_swapped_in_whole(world: World, tmp_path: Path) -> None:
    node = world.start(gain=5.0)
    infos = world.listen(ProbeInfo, "us_sim/probe_info", latched=True)
    world.until(lambda: infos)
    (tmp_path / "new.nii.gz").touch()
    answer = load_patient(world, tmp_path / "new.nii.gz")
    assert (answer.success, answer.message) == (True, "")
    assert (answer.patient, answer.patient_sha256) == ("new.nii.gz", "sha of new.nii.gz")
    assert answer.class_names == ["background", "liver"]
    assert answer.warnings == ["new.nii.gz is a ball"]
    np.testing.assert_allclose([answer.bounds_min.x, answer.bounds_max.z], [-0.06, 0.06], atol=0.004)
    world.until(lambda: infos[-1].patient == "new.nii.gz")
    assert infos[-1].config_id == infos[0].config_id + 1
    assert node.session.scene.simulator.settings.gain == 5.0


def test_a_patient_that_does_not_load_leaves_the_old_one(world: World) -> None:
    node = world.start()
    images = world.listen(Image, "us_sim/image")
    world.listened(node.session.outputs.image)
    before = node.session.scene
    answer = load_patient(world, Path("/nowhere.nii.gz"))
    assert not answer.success
    assert "/nowhere.nii.gz: no such file; expected a NIfTI file or a DICOM folder" in answer.message
    answer = load_patient(world, Path("a" * 5000))
    assert answer.message == "a" * 200 + ": File name too long; expected a file or folder that can be used"
    assert answer.patient == "phantom-0"
    assert node.session.scene is before
    world.sender(node)
    world.until(lambda: images)


def test_files_outside_the_folders_are_not_read(world: World, tmp_path: Path) -> None:
    node = world.start(data_folders=str(tmp_path / "patients"))
    before = node.session.scene
    (tmp_path / "secret.nii.gz").touch()
    for answer in (load_patient(world, tmp_path / "secret.nii.gz"), load_generator(world, tmp_path / "g.safetensors")):
        assert not answer.success
        assert "lies outside the folders that services may read" in answer.message
        assert f"{tmp_path}/patients" in answer.message
    assert node.session.scene is before


def test_the_scans_of_the_folders_are_listed_with_their_labels(world: World, tmp_path: Path) -> None:
    world.start(data_folders=str(tmp_path))
    answer = world.call(ListPatients, "us_sim/list_patients", ListPatients.Request())
    assert (answer.success, list(answer.cts)) == (True, [])
    assert answer.message.startswith(f"no CT scans in {tmp_path}; expected .nii.gz")
    for name in ("a/ct.nii.gz", "a/labels.nii.gz", "b.nrrd"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    answer = world.call(ListPatients, "us_sim/list_patients", ListPatients.Request())
    assert (answer.success, answer.message) == (True, "")
    assert list(answer.cts) == [f"{tmp_path}/b.nrrd", f"{tmp_path}/a/ct.nii.gz"]
    assert list(answer.labels) == ["", f"{tmp_path}/a/labels.nii.gz"]


def test_no_path_is_the_phantom(world: World) -> None:
    world.start(seed=3)
    answer = world.call(LoadPatient, "us_sim/load_patient", LoadPatient.Request())
    assert (answer.success, answer.patient) == (True, "phantom-3")


def test_a_phantom_is_named_by_its_seed_and_takes_no_labels(world: World, tmp_path: Path) -> None:
    world.start(data_folders=str(tmp_path))
    answer = world.call(LoadPatient, "us_sim/load_patient", LoadPatient.Request(ct="phantom:5"))
    assert (answer.success, answer.patient) == (True, "phantom-5")
    wrong = LoadPatient.Request(ct="phantom:5", labels=str(tmp_path / "seg.nii.gz"))
    answer = world.call(LoadPatient, "us_sim/load_patient", wrong)
    assert "seg.nii.gz', but ct is phantom:5; name the CT that the labels belong to" in answer.message


def test_a_parameter_set_while_a_patient_loads_holds(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    node = world.start()
    gate, started, old = threading.Event(), threading.Event(), patient_source.builtin_patient

    def slow(seed: int, detail: bool = True) -> Any:
        started.set()
        gate.wait(20)
        return old(seed, detail)

    monkeypatch.setattr(patient_source, "builtin_patient", slow)
    client = world.client.create_client(LoadPatient, "us_sim/load_patient")
    world.until(client.service_is_ready)
    loading = client.call_async(LoadPatient.Request())
    world.until(started.is_set)
    assert node.set_parameters_atomically([Parameter("gain", value=7.0)]).successful
    gate.set()
    world.until(loading.done)
    assert node.session.scene.simulator.settings.gain == 7.0


def test_a_generator_is_swapped_in_whole(world: World, tmp_path: Path) -> None:
    node = world.start()
    (tmp_path / "g.safetensors").touch()
    answer = load_generator(world, tmp_path / "g.safetensors")
    assert (answer.success, answer.message) == (True, "")
    assert (answer.generator, answer.generator_sha256, answer.card) == ("g", "sha of g", '{"depth": 180}')
    assert answer.device == "cpu"
    assert node.session.scene.simulator.generator.name == "g"


@pytest.mark.parametrize("name", ["", "abdomen"])
def test_a_shipped_generator_is_loaded_by_name(world: World, tmp_path: Path, name: str) -> None:
    (tmp_path / "old.safetensors").touch()
    node = world.start(generator=str(tmp_path / "old.safetensors"), data_folders=str(tmp_path))
    assert load_generator(world, name).generator == "abdomen"
    assert node.session.scene.simulator.generator.name == "abdomen"


def test_a_generator_that_does_not_load_leaves_the_old_one(world: World, tmp_path: Path) -> None:
    (tmp_path / "old.safetensors").touch()
    node = world.start(generator=str(tmp_path / "old.safetensors"), renderer="generator")
    before = node.session.scene
    answer = load_generator(world, "/nowhere.safetensors")
    assert not answer.success
    assert "no such file" in answer.message
    assert answer.generator == "old"
    assert node.session.scene is before


def test_a_generator_loaded_before_configuration_is_used(world: World, tmp_path: Path) -> None:
    node = world.start(renderer="generator", generator=str(tmp_path / "g.safetensors"))  # not there yet
    (tmp_path / "g.safetensors").touch()
    assert load_generator(world, tmp_path / "g.safetensors").success
    node.autostart()
    assert node.session.scene.simulator.generator.name == "g"
