# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""The patient, the probe and their contact for rviz. All in frame `ct`, so that they show without TF."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from builtin_interfaces.msg import Time
from geometry_msgs.msg import Point, Vector3
from numpy.typing import NDArray
from std_msgs.msg import Header
from visualization_msgs.msg import Marker, MarkerArray

from us_sim.core.geometry.probe import ProbeGeometry, ProbeKind
from us_sim.core.geometry.transforms import Matrix, apply
from us_sim.core.tissue import TISSUES, TissueClass
from us_sim.ros.conversions import MM_PER_M, color_message, point_messages, pose_message
from us_sim.ros.housing import housing

if TYPE_CHECKING:
    from us_sim.core.contact.contact import Contact
    from us_sim.core.frame import Frame
    from us_sim.core.patient.patient import Patient

NEWTON, LONGEST = 8.0, 160.0  # mm of arrow for a newton, and at most
# See-through, so that the frame shows through skin and organs, and the arrow of the force through the probe.
SKIN_ALPHA, ORGAN_ALPHA, PROBE_ALPHA = 0.15, 0.15, 0.4


def patient_markers(patient: Patient, ct_frame: str) -> MarkerArray:
    """Return the skin and every organ as triangles, one namespace each, after wiping what was there.

    The skin's text is the patient's SHA-256, as in ProbeInfo: the one or the other may come first.
    """
    skin = _triangles("skin", patient.skin_mesh, TissueClass.SKIN, SKIN_ALPHA)
    skin.text = patient.sha256
    organs = [_triangles(c.name.lower(), mesh, c, ORGAN_ALPHA) for c, mesh in patient.organ_meshes.items()]
    wipe = Marker(action=Marker.DELETEALL)
    for marker in (wipe, skin, *organs):
        marker.header.frame_id = ct_frame
    return MarkerArray(markers=[wipe, skin, *organs])


def live_markers(probe: ProbeGeometry, frame: Frame, ct_frame: str, stamp: Time) -> MarkerArray:
    """Return the fan's outline, the probe's body and the patient's force on it, at the pose of a frame."""
    ct_from_probe = frame.ct_from_probe
    fan = _placed("fan", Marker.LINE_STRIP, ct_from_probe, (80, 220, 120))
    fan.scale.x = 1.0 / MM_PER_M
    fan.points = _fan_points(probe)
    markers = [fan, _body(probe, ct_from_probe), _arrow(frame.contact, frame.wrench.force, ct_from_probe)]
    for marker in markers:
        marker.header = Header(stamp=stamp, frame_id=ct_frame)
    return MarkerArray(markers=markers)


def fan_outline(probe: ProbeGeometry) -> NDArray[np.float64]:
    """Return the closed border of the fan as it is shown, (2 L + 1, 3) mm in `probe`: along the face, back below."""
    face, towards = probe.line_origins[probe.drawn_lines], probe.line_directions[probe.drawn_lines]
    if probe.kind is ProbeKind.PHASED:  # the outer lines end on the arc around the apex
        length = probe.apex + probe.depth - probe.apex / towards[:, 2]
    else:
        length = np.full(len(face), probe.depth)
    below = face + towards * length[:, None]
    return np.concatenate([face, below[::-1], face[:1]])


def _body(probe: ProbeGeometry, ct_from_probe: Matrix) -> Marker:
    body = _placed("probe", Marker.TRIANGLE_LIST, ct_from_probe, (200, 200, 210), PROBE_ALPHA)
    body.scale = Vector3(x=1.0, y=1.0, z=1.0)
    body.points = _housing_points(probe)
    return body


@lru_cache(maxsize=4)
def _housing_points(probe: ProbeGeometry) -> list[Point]:
    return point_messages(housing(probe).triangles.reshape(-1, 3))


@lru_cache(maxsize=4)
def _fan_points(probe: ProbeGeometry) -> list[Point]:
    return point_messages(fan_outline(probe))


def _arrow(contact: Contact, force: NDArray[np.float64], ct_from_probe: Matrix) -> Marker:
    arrow = _placed("contact", Marker.ARROW, np.eye(4), (250, 120, 60))
    newtons = float(np.linalg.norm(force))
    if not contact.in_contact or newtons == 0:
        arrow.action = Marker.DELETE
        return arrow
    tip = contact.point + force / newtons * min(NEWTON * newtons, LONGEST)
    arrow.points = point_messages(apply(ct_from_probe, np.stack([contact.point, tip])))
    arrow.scale = Vector3(x=0.003, y=0.008, z=0.01)
    return arrow


def _placed(namespace: str, kind: int, ct_from_marker: Matrix, rgb: tuple[int, int, int], alpha: float = 1.0) -> Marker:
    return Marker(ns=namespace, type=kind, pose=pose_message(ct_from_marker), color=color_message(rgb, alpha))


def _triangles(namespace: str, mesh: Any, tissue: TissueClass, alpha: float) -> Marker:
    marker = Marker(ns=namespace, type=Marker.TRIANGLE_LIST, scale=Vector3(x=1.0, y=1.0, z=1.0))
    marker.pose.orientation.w = 1.0
    marker.color = color_message(TISSUES[tissue].color, alpha)
    marker.points = point_messages(np.asarray(mesh.triangles).reshape(-1, 3))
    return marker
