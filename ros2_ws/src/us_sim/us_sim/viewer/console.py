# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""What the user does at the console, by mouse, keyboard or touch: messages of the page become actions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from us_sim.viewer.channel import Message
from us_sim.viewer.saving import KINDS
from us_sim.viewer.screen import Screen


class Actions(Protocol):
    """What the console asks for, beside the screen."""

    def freeze(self, frozen: bool) -> None:
        """Freeze the image, or resume."""

    def nudge(self, x: float, y: float) -> None:
        """Slide the probe by mm along its own axes."""

    def turn_by(self, name: str, by: float) -> None:
        """Rotate, tilt or rock the probe by degrees, or press it in by mm."""

    def adjust(self, name: str, by: float) -> None:
        """Change a parameter by an amount."""

    def save(self, kind: str) -> None:
        """Save the clip or the image."""

    def restore(self, link: str) -> None:
        """Go to the pose and the settings of a link."""

    def light(self, on: bool) -> None:
        """Show the page in light colours, or in dark ones."""


class Console:
    """Does what the messages say. For the executor's thread; `refuse(why)` tells of messages that ask for nothing."""

    def __init__(self, screen: Screen, actions: Actions, refuse: Callable[[str], None]) -> None:
        self._screen, self._refuse = screen, refuse
        self._actions = actions
        self._acts: Mapping[str, tuple[Callable[..., None], dict[str, Callable[[Any], Any]]]] = {
            "freeze": (lambda: actions.freeze(not screen.frozen), {}),
            "scrub": (screen.scrub, {"place": int}),
            "step": (screen.step, {"by": int}),
            "play": (screen.play, {}),
            "tool": (self._choose, {"name": str}),
            "point": (screen.point, {"phase": str, "u": float, "v": float}),
            "point_strip": (screen.point_strip, {"phase": str, "u": float, "v": float}),
            "annotate": (screen.annotate, {"text": str}),
            "wipe": (screen.wipe, {}),
            "undo": (screen.undo, {}),
            "m": (screen.show_m_mode, {}),
            "restore": (actions.restore, {"link": str}),
            "light": (actions.light, {"on": bool}),
            "save": (actions.save, {"kind": _kind}),
            "nudge": (actions.nudge, {"x": _step, "y": _step}),
            "turn": (actions.turn_by, {"name": _turn, "by": _step}),
            "adjust": (actions.adjust, {"name": _adjusted, "by": _step}),
        }

    def take(self, message: Message) -> None:
        """Do what a message says."""
        act, wanted = self._acts.get(message["do"], (None, {}))
        try:
            if act is None:
                raise KeyError(message["do"])
            given = {name: kind(message[name]) for name, kind in wanted.items()}
        except (KeyError, ValueError, TypeError) as error:
            self._refuse(f"a message of the page asks for nothing that there is: {error}")
            return
        act(**given)

    def _choose(self, name: str) -> None:
        """A calliper freezes the image: what moves cannot be measured."""
        self._screen.choose(name)
        if self._screen.tool and not self._screen.frozen:
            self._actions.freeze(True)


def _one_of(*names: str) -> Callable[[Any], str]:
    def checked(value: Any) -> str:
        if value not in names:
            raise ValueError(f"{value!r}; expected one of {', '.join(names)}")
        return str(value)

    return checked


def _step(value: Any) -> float:
    if not -180.0 <= float(value) <= 180.0:
        raise ValueError(f"{value!r}; expected a step of -180 to 180")
    return float(value)


_kind = _one_of(*KINDS)
_turn = _one_of("rotate", "tilt", "rock", "press")
_adjusted = _one_of("gain", "depth")
