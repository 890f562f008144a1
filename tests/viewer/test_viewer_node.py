"""The viewer as a client: what it asks of the simulator, and how it outlives it. The page has no browser here."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from std_srvs.srv import SetBool
from us_sim_msgs.srv import LoadPatient

from us_sim.core.patient.listing import Listed
from us_sim.ros import patient_list
from us_sim.ros.conversions import pose_matrix
from us_sim.viewer import search
from us_sim.viewer.channel import B_MODE, OTHER, STRIP, Channel
from us_sim.viewer.node import Viewer
from us_sim.viewer.page import Page
from us_sim.viewer.panel import CHOOSE, WAITING
from us_sim.viewer.placement import Placement
from us_sim.viewer.share import Seen, written

if TYPE_CHECKING:
    from tests.ros.conftest import World

Start = Callable[..., Viewer]
TOP = np.array([0.0, 60.0, 0.0])  # of the ball that is the patient, mm


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody looks at every page, and has drawn the last picture; no folders are searched for scans."""
    monkeypatch.setattr(Page, "watched", True)
    monkeypatch.setattr(Channel, "asked", True)
    monkeypatch.setattr(patient_list, "_scans_below", lambda folders: ([], False))


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The notices that pages show."""
    notices: list[str] = []
    monkeypatch.setattr(Page, "tell", lambda page, title, text: notices.append(f"{title}: {text}"))
    return notices


def ready(world: World, viewer: Viewer) -> None:
    """Wait until the viewer knows the patient."""
    world.until(lambda: viewer.steering.ready and viewer.patient.info is not None)


def said(page: Viewer, what: str) -> str:
    """Return what the console says: badge, note, patient, mover, contact."""
    return str(page.page.channel.state.get(what, ""))


def by_user(control: Any, value: Any) -> None:
    """Change a control of the page as a user does."""
    control._impl.value = value
    for callback in control._impl.update_cb:
        callback(SimpleNamespace(client=object(), client_id=0, target=control))


def place_of(node: Any) -> Callable[[], Any]:
    """Return what tells the place of the newest pose that a simulator shows, mm."""

    def place() -> Any:
        stream = node.session.stream
        return None if stream is None or stream._shown is None else stream._shown.ct_from_probe[:3, 3]

    return place


def test_while_nobody_looks_nothing_is_asked_of_the_simulator(world: World, viewer: Start) -> None:
    node, page = world.start(), viewer()
    ready(world, page)
    page.steering.take()
    looks = page.get_clock().now().nanoseconds + int(0.5e9)
    world.until(lambda: page.get_clock().now().nanoseconds > looks)
    assert not node.session.outputs.wanted().anything
    assert node.session.statistics.counts["received"] == 0


@pytest.mark.usefixtures("watched")
def test_the_hand_moves_the_probe_and_the_page_shows_its_frames(world: World, viewer: Start) -> None:
    node, page = world.start(), viewer()
    ready(world, page)
    page.steering.slide((0.0, 200.0, 0.0))
    page.page.controls.moved()
    world.until(lambda: place_of(node)() is not None and np.allclose(place_of(node)(), TOP - [0.0, 8.0, 0.0], atol=2.0))
    world.until(lambda: said(page, "mover") == "moved by you")
    by_user(page.page.panel.turns["press"], 12.0)
    world.until(lambda: place_of(node)()[1] < 50.0)
    by_user(page.page.panel.turns["tilt"], 30.0)
    world.until(lambda: abs(node.session.stream._shown.ct_from_probe[1, 2] + math.cos(math.radians(30))) < 0.02)
    held = page.steering.placement()
    assert held is not None
    assert held.tilt == pytest.approx(math.radians(30))


@pytest.mark.usefixtures("watched")
def test_image_controls_are_parameters_and_follow_them(world: World, viewer: Start, told: list[str]) -> None:
    node, page = world.start(), viewer()
    ready(world, page)
    settings = page.page.panel.settings
    by_user(settings["gain"], 12.0)
    world.until(lambda: node.session.scene.simulator.settings.gain == 12.0)
    by_user(page.page.panel.renderer, "ct")
    world.until(lambda: node.session.scene.simulator.renderer == "ct")

    by_user(page.page.panel.renderer, "generator")
    world.until(lambda: node.session.scene.simulator.renderer == "generator")
    world.until(lambda: settings["frequency"].disabled and settings["focus"].disabled)
    assert "frequency and focus have no effect" in page.page.panel.ignored.content
    assert not any(settings[name].disabled for name in ("gain", "tgc", "tgc_1"))
    by_user(settings["depth"], 250.0)  # the fake's card ends at 180
    world.until(lambda: told)
    assert told == ["Not possible: depth is 250.0; the generator's card allows 180.0"]
    world.until(lambda: settings["depth"].value == 180.0)
    assert (page.page.panel.renderer.value, settings["gain"].value) == ("generator", 12.0)
    by_user(page.page.panel.rows, "384")
    world.until(lambda: node.session.scene.simulator.probe.height == 384)


@pytest.mark.usefixtures("watched")
def test_a_link_sets_pose_and_settings_and_a_wrong_one_is_told(world: World, viewer: Start, told: list[str]) -> None:
    node, page = world.start(), viewer()
    ready(world, page)
    pose = node_pose(page)
    page.restore(written(Seen(pose, {"tgc_2": 5.0, "rows": 384.0})))
    world.until(lambda: node.session.scene.simulator.settings.tgc_2 == 5.0)
    world.until(lambda: node.session.scene.simulator.probe.height == 384)
    moved = page.steering.pose()
    assert moved is not None
    np.testing.assert_allclose(moved, pose, atol=1.0)  # mm, by way of the place on a coarse skin
    page.restore("seed=3")
    assert "the link names 'seed'" in told[-1]


def node_pose(page: Viewer) -> Any:
    """Return a pose on the skin, mm."""
    skin = page.steering._skin
    assert skin is not None
    return Placement(skin.nearest((20.0, 100.0, 10.0)), rotate=0.4, press=5.0).pose(skin)


@pytest.mark.usefixtures("watched")
def test_m_mode_and_another_renderer_are_shown_beside_the_frame(world: World, viewer: Start) -> None:
    world.start(renderer="physics")
    page = viewer()
    ready(world, page)
    shown: dict[int, bytes] = {}
    page.page.channel.show = lambda picture, kind=0: shown.update({kind: picture})  # type: ignore[method-assign]
    page.steering.slide((200.0, 200.0, 0.0))  # the fake's frame is as bright as x says: black has no tint
    world.until(lambda: page.screen.frame is not None)
    shown.clear()
    page.hear({"do": "m"})
    by_user(page.page.panel.compare, "ct")
    world.until(lambda: {STRIP, OTHER} <= set(shown))
    before = shown.pop(B_MODE, b"")
    by_user(page.page.panel.tint, "sepia")
    world.until(lambda: shown.get(B_MODE, before) != before)


@pytest.mark.usefixtures("watched")
def test_values_that_no_slider_can_have_reach_nobody(world: World, viewer: Start) -> None:
    node, page = world.start(), viewer()
    ready(world, page)
    page.steering.slide((0.0, 200.0, 0.0))
    press, gain = page.page.panel.turns["press"], page.page.panel.settings["gain"]
    for bad in (math.inf, -math.inf, math.nan):
        by_user(press, bad)
        by_user(gain, bad)
        assert (press.value, gain.value) == (0.0, 0.0)
    by_user(press, 1e300)
    placement = page.steering.placement()
    assert placement is not None
    assert placement.press == press.max
    world.until(lambda: place_of(node)() is not None)
    assert node.session.scene.simulator.settings.gain == 0.0
    assert not node.session.statistics.refused


@pytest.mark.usefixtures("watched")
def test_the_demo_yields_to_the_hand_and_to_another_patient(world: World, viewer: Start) -> None:
    runs: list[bool] = []

    def run(request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        runs.append(request.data)
        response.success = True
        return response

    world.client.create_service(SetBool, "probe_motion/run", run)
    node = world.start()
    page = viewer()
    ready(world, page)
    world.until(lambda: page._remote.demo_there)
    by_user(page.page.panel.mouse_control, True)
    world.until(lambda: runs == [False])
    page.steering.slide((0.0, 200.0, 0.0))
    world.until(lambda: place_of(node)() is not None and place_of(node)()[1] > 50.0)  # the home pose lies lower
    by_user(page.page.panel.mouse_control, False)
    world.until(lambda: runs[-1:] == [True])
    assert not page.steering.in_control
    page.load_patient("phantom:3", "")  # the demo was made for the one before
    world.until(lambda: said(page, "patient") == "phantom-3, physics" and runs[-1:] == [False])
    world.until(lambda: place_of(node)() is not None and place_of(node)()[1] < 50.0)


@pytest.mark.usefixtures("watched")
def test_it_outlives_the_simulator(world: World, viewer: Start, told: list[str]) -> None:
    page = viewer()
    world.until(lambda: "No simulator yet" in said(page, "note"))
    page.find("liver")
    page.freeze(True)
    assert told == ["Not possible: the simulator does not answer; is it running?"]
    first = world.start()
    ready(world, page)
    page.steering.slide((0.0, 200.0, 0.0))
    world.until(lambda: said(page, "badge") == "LIVE")
    world.stop(first)
    world.until(lambda: (said(page, "badge"), said(page, "mover")) == ("CONNECTION LOST", ""))
    second = world.start(seed=3)
    world.until(lambda: said(page, "patient") == "phantom-3, physics")
    world.until(lambda: place_of(second)() is not None)  # the placement still holds the probe


@pytest.mark.usefixtures("watched")
def test_another_patient_is_shown_and_the_probe_put_on_its_skin(world: World, viewer: Start, tmp_path: Path) -> None:
    node, page = world.start(), viewer()
    ready(world, page)
    page.steering.slide((0.0, 200.0, 0.0))
    old = page.steering._skin
    (tmp_path / "other.nii").write_text("")
    answer = world.call(LoadPatient, "us_sim/load_patient", LoadPatient.Request(ct=str(tmp_path / "other.nii")))
    assert answer.success, answer.message
    world.until(lambda: page.steering._skin is not old)
    world.until(lambda: "other.nii" in said(page, "patient"))
    world.until(lambda: place_of(node)() is not None)


@pytest.mark.usefixtures("watched")
def test_no_view_is_sought_in_the_shape_of_the_patient_before(world: World, viewer: Start, told: list[str]) -> None:
    world.start()
    page = viewer()
    ready(world, page)
    panel = page.page.panel
    world.until(lambda: panel.absent.content != WAITING)
    assert page.patient.info is not None
    assert page.patient._shape_of == page.patient.info.patient_sha256
    other = deepcopy(page.patient.info)
    other.patient_sha256, other.config_id = "0" * 64, other.config_id + 1
    page._inform(other)  # its skin and organs come later
    assert (page.patient.meshes, panel.organ.options, panel.absent.content) == ({}, (CHOOSE,), WAITING)
    assert not any(group.visible for group in panel.views.values())
    left = {name for name in page.page.server.scene._handle_from_node_name if name.startswith("/patient")}
    assert left <= {"/patient", "/patient/sides"}  # frames of viser's, with nothing in them
    page.view("Liver", "long")
    page.scan(5.0, 60.0, 10.0)
    assert told[-2:] == [
        "Find: Liver, long: the patient's skin and organs have not come yet; try again in a moment",
        "Scan: the patient's skin has not come yet, on which to scan; try again in a moment",
    ]


@pytest.mark.usefixtures("watched")
def test_a_scan_of_the_data_folders_is_offered_and_loaded(
    world: World, viewer: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = [Listed(tmp_path / "a" / "ct.nii", tmp_path / "a" / "labels.nii"), Listed(tmp_path / "b.nii", None)]
    monkeypatch.setattr(patient_list, "_scans_below", lambda folders: (found, False))
    (tmp_path / "a").mkdir()
    found[0].ct.touch()
    world.start()
    page = viewer()
    panel = page.page.panel
    world.until(lambda: len(panel.scan_list.options) == 3)
    assert panel.scan_list.options[1:] == ("a/ct.nii, with labels.nii", "b.nii, no labels")
    by_user(panel.scan_list, "a/ct.nii, with labels.nii")
    assert (panel.ct.value, panel.labels.value) == tuple(map(str, found[0]))
    world.until(lambda: "ct.nii, physics" in said(page, "patient") and "**ct.nii**" in panel.report.content)
    by_user(panel.scan_list, "b.nii, no labels")
    world.until(lambda: "Not loaded: " in panel.report.content)  # gone since it was listed


@pytest.mark.usefixtures("watched")
def test_the_force_grows_with_the_pressure_and_ends_with_the_contact(world: World, viewer: Start) -> None:
    world.start()
    page = viewer()
    ready(world, page)
    page.steering.slide((0.0, 200.0, 0.0))

    def force() -> float:
        found = re.search(r"force (\S+) N", said(page, "contact"))
        return float(found[1]) if found else math.nan

    world.until(lambda: force() > 0.2)
    before = force()
    by_user(page.page.panel.turns["press"], 15.0)
    world.until(lambda: force() > 2 * before)
    by_user(page.page.panel.turns["press"], -8.0)
    world.until(lambda: force() == 0.0)


@pytest.mark.usefixtures("watched")
def test_frozen_plane_contact_and_cine_loop_stay_while_the_probe_moves_on(world: World, viewer: Start) -> None:
    world.start()
    page = viewer()
    ready(world, page)
    page.steering.slide((0.0, 200.0, 0.0))
    world.until(lambda: said(page, "badge") == "LIVE" and len(page.screen.cine) >= 3 and said(page, "rate"))
    page.hear({"do": "freeze"})
    world.until(lambda: said(page, "badge") == "FROZEN" and not said(page, "rate"))
    still = page.screen.frame
    assert still is not None
    frozen = pose_matrix(still["frame_info"].ct_from_probe)[:3, 3]
    world.until(lambda: np.allclose(page.page.scene._plane.position, frozen))  # the 3-D view follows a moment later
    plane, contact = tuple(page.page.scene._plane.position), said(page, "contact")
    by_user(page.page.panel.turns["press"], 20.0)
    world.until(lambda: page.page.scene.probe.position[1] < plane[1] - 10.0)
    shown = page.screen.frame
    world.until(lambda: page.screen.frame is not shown)  # the simulator repeats it
    assert tuple(page.page.scene._plane.position) == plane
    assert said(page, "contact").split("force")[0] == contact.split("force")[0]
    page.hear({"do": "scrub", "place": 0})
    world.until(lambda: said(page, "badge") == "CINE")
    page.hear({"do": "freeze"})

    def indentation() -> float:
        found = re.search(r"indentation (\S+) mm", said(page, "contact"))
        return float(found[1]) if found else 0.0

    world.until(lambda: said(page, "badge") == "LIVE" and indentation() > 15.0)


@pytest.mark.usefixtures("watched")
def test_where_nobody_moves_the_probe_it_begins_on_the_skin(world: World, viewer: Start) -> None:
    node, page = world.start(), viewer()
    world.until(lambda: said(page, "badge") in ("LIVE", "STILL"))
    assert not page.steering.in_control
    assert said(page, "mover") in ("moved by nobody", "")
    world.until(lambda: "liver" in said(page, "organs"))  # also where the frame came before the organs
    assert np.linalg.norm(place_of(node)()) == pytest.approx(52.0, abs=2.0)  # 8 mm below the skin of the ball


@pytest.mark.usefixtures("watched")
def test_a_sweep_is_recorded_by_the_button(world: World, viewer: Start, tmp_path: Path) -> None:
    node = world.start()
    page = viewer()
    ready(world, page)
    page.steering.slide((0.0, 200.0, 0.0))
    world.until(lambda: page.screen.frame is not None)
    wanted = node.session.outputs.wanted
    assert (wanted().image, wanted().labels, wanted().ct_slice) == (True, False, False)  # for the page alone
    page.record()
    world.until(lambda: page._recorder._sweep is not None and page._recorder._sweep.count >= 3)
    page.record()
    world.until(lambda: not wanted().labels)
    (folder,) = (tmp_path / "recordings").iterdir()
    assert len((folder / "poses.csv").read_text().splitlines()) == 1 + len(list(folder.glob("image_*.png")))
    assert len(list(folder.glob("labels_*.png"))) >= 3


@pytest.mark.usefixtures("watched")
def test_find_puts_the_probe_where_most_is_seen(
    world: World, viewer: Start, told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    node, page = world.start(), viewer()
    ready(world, page)
    # The fake's labels say how far anterior the probe stands.
    monkeypatch.setattr(search, "share_seen", lambda labels, *_: float(np.int8(labels.max())))
    page.find("liver")
    world.until(lambda: place_of(node)() is not None and place_of(node)()[1] > 50.0)  # the home pose lies lower
    x, y, z = place_of(node)()
    assert not told
    monkeypatch.setattr(search, "share_seen", lambda labels, *_: 0.0)
    page.find("liver")
    world.until(lambda: told)
    assert told == ["Find: liver is hidden behind bone or gas at all positions tried"]
    np.testing.assert_allclose(place_of(node)(), (x, y, z), atol=1e-6)
    page.find("no such organ")  # of a page that is older than the patient


def test_a_taken_port_is_passed_over(world: World, viewer: Start) -> None:
    first = viewer("left")
    second = viewer("right", viewer_port=first.page.server.get_port())
    assert first.page.server.get_port() != second.page.server.get_port()
    assert first.page.url == f"http://127.0.0.1:{first.page.server.get_port()}"
