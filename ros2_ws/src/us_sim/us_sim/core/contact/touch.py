# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Contact, indentation and force at a pose, computed once for all users, and for all poses of a batch at once."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

from us_sim.core.contact.contact import Contact, contacts
from us_sim.core.contact.force import Wrench, wrench
from us_sim.core.contact.indentation import Indentation, face_of, indentations
from us_sim.core.contact.mechanics import MechanicsSettings
from us_sim.core.geometry.probe import ProbeGeometry
from us_sim.core.geometry.transforms import Matrix
from us_sim.core.patient.patient import Patient


@dataclass(frozen=True, eq=False)
class Touch:
    """A probe on a patient at one pose.

    Attributes:
        patient: that is touched.
        mechanics: of the patient.
        contact: of the probe with the skin.
        indentation: of the face.
        before: the indentation a moment ago; None: the probe rests.
        seconds: how long ago.
    """

    patient: Patient
    mechanics: MechanicsSettings
    contact: Contact
    indentation: Indentation
    before: Indentation | None = None
    seconds: float = 0.0

    def after(self, earlier: Touch, seconds: float) -> Touch:
        """Return the same touch of a probe that moves: some time ago, s, it was at an earlier one.

        A touch of another patient says nothing about the speed: the probe rests.
        """
        if earlier.patient is not self.patient:
            return self.at_rest()
        return replace(self, before=earlier.indentation, seconds=seconds)

    def at_rest(self) -> Touch:
        """Return the same touch of a probe that stands still."""
        return replace(self, before=None, seconds=0.0)

    @cached_property
    def wrench(self) -> Wrench:
        """Of the patient on the probe; damping and friction by the speed."""
        return wrench(self.indentation, self.mechanics, self.before, self.seconds)


def touch_at(patient: Patient, probe: ProbeGeometry, mechanics: MechanicsSettings, ct_from_probe: Matrix) -> Touch:
    """Return how a probe that rests at a pose, (4, 4) rigid, mm, touches a patient. Every finite pose has an answer."""
    return touches_at(patient, probe, mechanics, ct_from_probe[None])[0]


def touches_at(
    patient: Patient, probe: ProbeGeometry, mechanics: MechanicsSettings, ct_from_probe: Matrix
) -> list[Touch]:
    """Return the same at each of (B, 4, 4) poses, as it is alone to the bit."""
    met = contacts(patient.skin, probe, ct_from_probe)
    states = indentations(patient, face_of(probe), ct_from_probe)
    return [Touch(patient, mechanics, one, state) for one, state in zip(met, states, strict=True)]
