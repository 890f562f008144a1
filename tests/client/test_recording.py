"""Frames put together from topics, and sweeps on disk."""

from __future__ import annotations

import csv
import json
import stat
from array import array
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builtin_interfaces.msg import Time
from geometry_msgs.msg import Point, Pose, Quaternion
from PIL import Image as Picture
from sensor_msgs.msg import Image
from std_msgs.msg import Header
from us_sim_msgs.msg import FrameInfo, ProbeInfo

from us_sim.client.frames import Collector
from us_sim.client.recording import COLUMNS, Recorder


def header(number: int) -> Header:
    return Header(stamp=Time(sec=number, nanosec=5), frame_id="probe")


def frame(number: int) -> dict[str, Any]:
    pixels = np.full((2, 3), number, np.uint8)
    image = Image(header=header(number), height=2, width=3, step=3, encoding="mono8", data=array("B", pixels.tobytes()))
    pose = Pose(position=Point(x=0.1 * number, y=0.2, z=-1 / 3), orientation=Quaternion(w=1.0))
    info = FrameInfo(header=header(number), renderer="physics", config_id=7, ct_from_probe=pose)
    return {"image": image, "labels": image, "frame_info": info}


def test_parts_of_one_stamp_make_a_frame_in_any_order() -> None:
    whole: list[dict[str, Any]] = []
    collector = Collector(("image", "labels", "frame_info"), whole.append)
    first, second = frame(1), frame(2)
    collector.add("frame_info", second["frame_info"])
    collector.add("image", first["image"])
    collector.add("image", second["image"])
    collector.add("labels", first["labels"])
    assert whole == []
    collector.add("labels", second["labels"])
    assert [part["frame_info"].header.stamp.sec for part in whole] == [2]
    collector.add("frame_info", first["frame_info"])
    assert [part["image"].header.stamp.sec for part in whole] == [2, 1]


def test_frames_that_stay_incomplete_are_forgotten() -> None:
    whole: list[dict[str, Any]] = []
    collector = Collector(("image", "frame_info"), whole.append)
    for number in range(20):
        collector.add("image", frame(number)["image"])
    collector.add("frame_info", frame(0)["frame_info"])
    assert whole == []
    collector.add("frame_info", frame(19)["frame_info"])
    assert len(whole) == 1


def test_a_sweep_is_frames_labels_poses_and_what_made_them(tmp_path: Path) -> None:
    refused: list[str] = []
    recorder = Recorder(str(tmp_path / "new" / "folder"), refused.append)
    recorder.add(frame(9))  # not running: nothing happens
    recorder.start(ProbeInfo(patient="phantom-0", depth=0.18, class_ids=[1], class_names=["liver"]))
    for number in (1, 2):
        recorder.add(frame(number))
    recorder.stop()
    (folder,) = (tmp_path / "new" / "folder").iterdir()
    with (folder / "poses.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == COLUMNS
    assert [row["stamp"] for row in rows] == ["1.000000005", "2.000000005"]
    assert float(rows[1]["z"]) == -1 / 3  # to the last bit
    assert np.asarray(Picture.open(folder / rows[1]["image"])).tolist() == [[2, 2, 2], [2, 2, 2]]
    about = json.loads((folder / "sweep.json").read_text())
    assert (about["patient"], about["depth"], about["classes"]) == ("phantom-0", 0.18, {"liver": 1})
    assert (refused, recorder.running) == ([], False)
    assert recorder.words == f"**2** frames in `{folder}`"


def test_a_folder_at_home_is_shown_as_one_writes_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert Recorder("", print).words == "Frames, labels and poses go to `~/us_sim_recordings`."
    recorder = Recorder("~/mine", print)
    recorder.start(ProbeInfo())
    recorder.stop()
    assert recorder.words.startswith("**0** frames in `~/mine/sweep_")
    assert len(list((tmp_path / "mine").iterdir())) == 1


def test_two_sweeps_within_a_second_do_not_mix(tmp_path: Path) -> None:
    recorder = Recorder(str(tmp_path), print)
    for _ in range(3):
        recorder.start(ProbeInfo())
        recorder.stop()
    assert len(list(tmp_path.iterdir())) == 3


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    refused: list[str] = []
    recorder = Recorder(str(tmp_path / "file"), refused.append)
    recorder.start(ProbeInfo())
    assert not recorder.running
    assert refused == [f"cannot record to {tmp_path / 'file'}: Not a directory; start with another recordings:="]


def test_a_folder_that_goes_away_ends_the_sweep_and_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refused: list[str] = []
    recorder = Recorder(str(tmp_path), refused.append)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Picture.Image, "save", full)
    recorder.start(ProbeInfo())
    sweep = recorder._sweep
    assert sweep is not None
    recorder.add(frame(1))
    sweep._thread.join(20)
    assert refused == ["stopped after 1 frames: No space left on device"]
    assert not recorder.running
    recorder.stop()
    assert stat.S_ISDIR(sweep.folder.stat().st_mode)
