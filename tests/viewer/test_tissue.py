"""What is asked of the simulator about the shown frame, and what the page is shown of the answer."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from std_msgs.msg import ColorRGBA, Header
from us_sim_msgs.msg import FrameInfo

from us_sim.core.geometry.probe import ProbeGeometry, ProbeKind
from us_sim.core.tissue import TissueClass
from us_sim.ros.conversions import pose_message
from us_sim.ros.images import image_message
from us_sim.viewer import tissue as tissue_module
from us_sim.viewer import turns
from us_sim.viewer.tissue import Tissue

PROBE = ProbeGeometry(ProbeKind.LINEAR, depth=50.0, aperture=40.0, width=64, height=160, scan_lines=32, samples=64)
LIVER = int(TissueClass.LIVER)


def info(patient: str = "a", probe: ProbeGeometry = PROBE) -> Any:
    return SimpleNamespace(
        patient_sha256=patient, probe=probe, class_names=["liver"], class_ids=[LIVER], class_colors=[ColorRGBA(r=1.0)]
    )


def frame(second: int = 0) -> dict[str, Any]:
    told = FrameInfo(ct_from_probe=pose_message(np.eye(4)))
    told.header.stamp.sec = second
    return {"frame_info": told, "contact": None, "image": image_message(np.zeros((160, 64), np.uint8), Header())}


def answer(about: Any) -> Any:
    labels = np.full((160, 64), LIVER, np.uint8)  # 4 cm × 5 cm
    parts = SimpleNamespace(
        labels=image_message(labels, Header()), ct_slice=image_message(labels.astype(np.int16), Header())
    )
    return SimpleNamespace(probe_info=about, frames=[parts])


class World:
    """A simulator that answers by hand, a page that keeps what it is shown, and a clock."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked: list[Any] = []
        self.shown: list[Any] = []
        self.now = 100.0
        monkeypatch.setattr(tissue_module, "probe_geometry", lambda told: replace(told.probe))
        monkeypatch.setattr(turns.time, "monotonic", lambda: self.now)
        page: Any = SimpleNamespace(show_slices=lambda *what: self.shown.append(what))
        remote: Any = SimpleNamespace(look_into=lambda frame, then: self.asked.append(then))
        self.tissue = Tissue(page, remote)
        self.tissue.meshes = {"liver": (Any, (255, 0, 0)), "skin": (Any, (0, 0, 0))}  # type: ignore[dict-item]
        self.tissue.inform(info(), PROBE)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    """A patient with a liver."""
    return World(monkeypatch)


def test_areas_and_slice_of_a_frame_are_asked_for_once(world: World) -> None:
    first, second = frame(1), frame(2)
    world.tissue.look_into(first)
    world.tissue.look_into(second)  # the answer to the first has not come
    assert len(world.asked) == 1
    world.asked[0](answer(info()))
    assert "20.0 cm²" in world.tissue.bars
    (hu, labels, probe, colors, _sides) = world.shown[0]
    assert (hu.shape, labels.shape, tuple(colors[LIVER])) == ((160, 64), (160, 64), (255, 0, 0))
    assert probe is PROBE  # whose grids are made, not its equal that came with the answer
    world.tissue.look_into(first)  # known
    world.tissue.look_into(frame(1))  # the same pose, drawn again
    assert (world.tissue.tells_of(frame(1)), world.tissue.tells_of(second)) == (True, False)
    world.tissue.look_into(second)  # too soon
    assert len(world.asked) == 1
    world.now += 0.3
    world.tissue.look_into(second)
    assert len(world.asked) == 2
    world.tissue.redraw()
    world.tissue.look_into(first)  # drawn again, not asked for again
    assert (len(world.asked), len(world.shown)) == (2, 2)


@pytest.mark.parametrize("now", [info("b"), info(probe=ProbeGeometry(ProbeKind.LINEAR, depth=60.0, aperture=40.0))])
def test_an_answer_of_another_patient_or_probe_is_not_shown(world: World, now: Any) -> None:
    world.tissue.look_into(frame())
    world.tissue.inform(now, now.probe)
    world.asked[0](answer(info()))
    assert (world.tissue.bars, world.shown) == ("", [])


def test_where_no_answer_comes_it_is_asked_again_after_a_while(world: World) -> None:
    for seconds, count in ((0.0, 1), (9.0, 1), (2.0, 2)):
        world.now += seconds
        world.tissue.look_into(frame())
        assert len(world.asked) == count
