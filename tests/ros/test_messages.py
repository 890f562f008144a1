"""The interface package: the fields, constants and units that clients rely on."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "ros2_ws" / "src" / "us_sim_msgs"
FILES = sorted(path for kind in ("msg", "srv", "action") for path in (FOLDER / kind).iterdir())

FIELDS = {
    "msg/FrameInfo": "header sequence ct_frame renderer ct_from_probe config_id deformed frozen latency "
    "unknown_fraction out_of_distribution",
    "msg/Contact": "header in_contact coupling line_coupling penetration line_distance point normal",
    "msg/ProbeInfo": "header config_id kind radius_of_curvature field_of_view sector aperture depth slice_thickness "
    "width height scan_lines samples sample_spacing apex "
    "pixel_spacing_x pixel_spacing_z first_pixel frequency gain dynamic_range "
    "ct_frame patient patient_sha256 renderer generator generator_sha256 class_ids class_names class_colors "
    "detail scanner",
    "msg/OrganView": "class_id name visible area distance centroid_probe centroid_ct shadow_fraction",
    "msg/Analysis": "header source organs coupled_fraction confidence depth_edges mean_brightness",
    "msg/RenderedFrame": "valid message info image ct_slice labels contact",
    "srv/RenderFrame": "poses outputs renderer | success message probe_info frames",
    "srv/LoadPatient": "ct labels label_scheme "
    "| success message patient patient_sha256 class_names warnings labelling bounds_min bounds_max",
    "srv/ListPatients": " | success message cts labels",
    "srv/LoadGenerator": "path | success message generator generator_sha256 device card",
    "action/Scan": "pattern waypoints line_spacing speed force force_tolerance timeout recording "
    "| success message recording frames coverage force_mean force_max "
    "| progress remaining pose wrench frames",
}


def sections(kind: str, interface: Any) -> list[Any]:
    """Return the message classes that the file's sections became."""
    names = {"msg": (), "srv": ("Request", "Response"), "action": ("Goal", "Result", "Feedback")}[kind]
    return [getattr(interface, name) for name in names] or [interface]


@pytest.mark.parametrize("path", FIELDS)
def test_fields_are_the_contract(path: str) -> None:
    kind, name = path.split("/")
    interface = getattr(pytest.importorskip(f"us_sim_msgs.{kind}"), name)
    for fields, message in zip(FIELDS[path].split(" | "), sections(kind, interface), strict=True):
        assert list(message.get_fields_and_field_types()) == fields.split()


def test_constants() -> None:
    msg, srv, action = (pytest.importorskip(f"us_sim_msgs.{kind}") for kind in ("msg", "srv", "action"))
    assert (msg.ProbeInfo.CONVEX, msg.ProbeInfo.LINEAR, msg.ProbeInfo.PHASED) == (0, 1, 2)
    assert (msg.Analysis.LABELS, msg.Analysis.SEGMENTER) == (0, 1)
    request = srv.RenderFrame.Request
    assert (request.IMAGE, request.CT_SLICE, request.LABELS) == (1, 2, 4)
    assert (action.Scan.Goal.RASTER, action.Scan.Goal.PATH) == (0, 1)


def test_a_filled_message_survives_the_wire() -> None:
    msg = pytest.importorskip("us_sim_msgs.msg")
    from rclpy.serialization import deserialize_message, serialize_message

    contact = msg.Contact(
        in_contact=True, coupling=0.5, line_coupling=[0.0, 1.0], penetration=2e-3, line_distance=[4e-3, -2e-3]
    )
    contact.header.frame_id = "probe"
    contact.header.stamp.sec, contact.normal.z = 12, -1.0
    assert deserialize_message(serialize_message(contact), msg.Contact) == contact


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_field_says_what_it_is(path: Path) -> None:
    for line in path.read_text().splitlines():
        if line and line != "---" and not line.startswith("#"):
            assert re.fullmatch(r"\S+ +\S+ +# \S.*", line), f"{path.name}: no comment on '{line}'"


def test_every_file_is_built() -> None:
    listed = re.findall(r'"(\w+/\w+)\.\w+"', (FOLDER / "CMakeLists.txt").read_text())
    assert sorted(listed) == sorted(FIELDS) == sorted(f"{path.parent.name}/{path.stem}" for path in FILES)
