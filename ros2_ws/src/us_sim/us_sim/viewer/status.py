# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""What the badge says: whether the picture is live, and if not, why. A pure function."""

from __future__ import annotations

from dataclasses import dataclass

STILL = 3.0  # s without a new frame after which the image counts as still


@dataclass(frozen=True)
class Facts:
    """What is known.

    Attributes:
        known: the simulator has said what holds.
        alive: it has been heard of late.
        starting: s for which one has been there that has not said so yet; 0 for none.
        failure: why it could not be configured.
        loading: what it loads.
        frozen: it holds its image.
        cine: an older frame of the loop is shown.
        age: of the newest frame, s.
        image: there is a frame.
        busy: what the viewer is doing.
        deaf: the user moves the probe, but the simulator takes no poses.
    """

    known: bool
    alive: bool
    starting: float = 0.0
    failure: str = ""
    loading: str = ""
    frozen: bool = False
    cine: bool = False
    age: float = 0.0
    image: bool = True
    busy: str = ""
    deaf: bool = False


def status(facts: Facts) -> tuple[str, str, str]:
    """Return mode, badge and note: `live`, `LIVE` and what the user is told, empty for nothing."""
    if not facts.known:
        if facts.failure:
            return "lost", "NOT STARTED", f"The simulator could not start: {facts.failure}"
        if facts.starting:
            return "starting", "STARTING", f"The simulator is starting: patient, generator, {facts.starting:.0f} s"
        return "starting", "WAITING", "No simulator yet: start it with make sim, or on another computer"
    if not facts.alive:
        return "lost", "CONNECTION LOST", "The simulator does not answer any more"
    note = facts.busy or (f"Loading {facts.loading}" if facts.loading else "")
    if facts.deaf:
        note = "The simulator takes its poses from TF (pose_source)"
    if not facts.image:
        return "empty", "NO IMAGE", note or "Nobody moves the probe: click the skin, find an organ, or start a motion"
    if facts.frozen:
        return ("cine", "CINE", note) if facts.cine else ("frozen", "FROZEN", note)
    return ("still", "STILL", note) if facts.age > STILL else ("live", "LIVE", note)
