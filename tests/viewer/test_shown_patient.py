# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""What the viewer knows of the patient, message by message."""

from __future__ import annotations

import numpy as np
from geometry_msgs.msg import Point
from std_msgs.msg import ColorRGBA
from us_sim_msgs.msg import FrameInfo, ProbeInfo
from visualization_msgs.msg import Marker, MarkerArray

from us_sim.viewer.shown_patient import ShownPatient


def shape(sha256: str, *names: str) -> MarkerArray:
    """A tetrahedron of each name."""
    corners = [Point(), Point(x=0.1), Point(y=0.1), Point(z=0.1)]
    faces = [corners[i] for face in ((0, 2, 1), (0, 1, 3), (0, 3, 2), (1, 2, 3)) for i in face]
    colour = ColorRGBA(r=1.0, g=0.5, b=0.0, a=1.0)
    made = [Marker(ns=name, type=Marker.TRIANGLE_LIST, points=faces, color=colour, text=sha256) for name in names]
    return MarkerArray(markers=[Marker(action=Marker.DELETEALL), *made])


def test_a_patient_comes_and_is_exchanged() -> None:
    patient = ShownPatient()
    assert patient.inform(ProbeInfo(patient_sha256="a", config_id=3))
    assert not patient.inform(ProbeInfo(patient_sha256="a", config_id=4))
    assert [patient.shows(FrameInfo(config_id=n)) for n in (2, 3, 4)] == [False, True, True]
    assert patient.take_shape(shape("a", "skin", "liver"))
    assert (set(patient.shapes), patient.meshes["liver"][1]) == ({"skin", "liver"}, (255, 128, 0))
    patient.home = np.eye(4)
    assert not patient.astray

    assert patient.inform(ProbeInfo(patient_sha256="b", config_id=9))
    assert (patient.shapes, patient.skin, patient.home, patient.astray) == ({}, None, None, True)
    assert not patient.shows(FrameInfo(config_id=8))
    patient.arrived(np.eye(4))
    assert patient.astray  # nobody has said where home is
    patient.home = np.diag([-1.0, -1, 1, 1])
    patient.arrived(np.eye(4))
    assert patient.astray
    patient.arrived(np.diag([-1.0, -1, 1, 1]))
    assert not patient.astray


def test_a_shape_that_came_first_or_that_does_not_say_whose_it_is_stays() -> None:
    for sha256 in ("b", ""):
        patient = ShownPatient()
        patient.inform(ProbeInfo(patient_sha256="a"))
        assert patient.take_shape(shape(sha256, "skin"))
        patient.inform(ProbeInfo(patient_sha256="b"))
        assert patient.skin is not None


def test_organs_without_a_skin_are_no_shape() -> None:
    patient = ShownPatient()
    assert not patient.take_shape(shape("a", "liver"))
    assert patient.shapes == {}
