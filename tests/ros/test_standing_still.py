"""A probe that nobody moves: a new patient is drawn anew, late listeners see it, and there is a pose to start from."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from geometry_msgs.msg import PoseStamped
from us_sim_msgs.msg import Contact, FrameInfo
from us_sim_msgs.srv import LoadPatient

from us_sim.core import assembly
from us_sim.core.errors import ConfigError, UnfitError
from us_sim.ros import started
from us_sim.ros.conversions import pose_matrix

if TYPE_CHECKING:
    from tests.ros.conftest import World

BALL = 60.0  # mm


def test_another_patient_is_drawn_under_the_probe_that_stands_still(world: World, tmp_path: Path) -> None:
    node = world.start()
    infos = world.listen(FrameInfo, "us_sim/frame_info")
    contacts = world.listen(Contact, "us_sim/contact")
    world.listened(node.session.outputs.frame_info, node.session.outputs.contact)
    world.sender(node)
    world.until(lambda: infos and contacts)
    (tmp_path / "other.nii").write_text("")
    before, felt = infos[-1], len(contacts)
    assert world.call(LoadPatient, "us_sim/load_patient", LoadPatient.Request(ct=str(tmp_path / "other.nii"))).success
    world.until(lambda: infos[-1].config_id > before.config_id and len(contacts) > felt)
    assert infos[-1].header.stamp == before.header.stamp
    assert infos[-1].ct_from_probe == before.ct_from_probe


def test_who_comes_late_sees_where_the_probe_stands(world: World) -> None:
    node = world.start()
    world.sender(node)
    world.until(lambda: node.session.statistics.silence > 0.1)
    late = world.listen(FrameInfo, "us_sim/frame_info")
    world.until(lambda: late)
    assert pose_matrix(late[0].ct_from_probe)[2, 3] == pytest.approx(-BALL)


def test_a_pose_to_start_from_lies_on_the_skin_and_looks_in(world: World) -> None:
    world.start()
    home: list[PoseStamped] = world.listen(PoseStamped, "us_sim/home_pose", latched=True)
    world.until(lambda: home)
    assert home[0].header.frame_id == "ct"
    pose = pose_matrix(home[0].pose)
    assert np.linalg.norm(pose[:3, 3]) == pytest.approx(BALL - 8.0, abs=2.0)  # 8 mm pressed in
    assert pose[:3, 2] @ pose[:3, 3] < -0.95 * np.linalg.norm(pose[:3, 3])


def test_physics_takes_over_from_a_generator_that_does_not_fit_the_probe(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = assembly.open_simulator

    def unfit(config: Any, *others: Any, **kept: Any) -> Any:
        if config.renderer == "generator":
            raise UnfitError("generator 'abdomen' does not fit this probe")
        return opened(config, *others, **kept)

    monkeypatch.setattr(assembly, "open_simulator", unfit)
    node = world.start(renderer="generator")
    assert node.session.scene.simulator.renderer == "physics"
    assert node.get_parameter("renderer").value == "physics"


def test_made_by_make_sim_a_node_that_cannot_be_configured_ends_with_the_reason() -> None:
    failed: Any = SimpleNamespace(autostart=lambda: None, session=SimpleNamespace(failure="ct.nii: no such file"))
    with pytest.raises(ConfigError, match=r"us_sim cannot start: ct\.nii: no such file"):
        started.start(failed)
    failed.session.failure = ""
    started.start(failed)
