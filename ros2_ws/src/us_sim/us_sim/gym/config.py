# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""What an environment shows, what its actions mean, and when an episode ends."""

from __future__ import annotations

from dataclasses import dataclass, replace

from us_sim.core.config import RENDERERS, check_ranges, setting
from us_sim.core.errors import ConfigError
from us_sim.core.geometry.probe import ProbeGeometry, preset

VIEWS = ("image", "labels", "confidence", "wrench", "coupling", "pose")
AXES = ("x", "y", "tilt_x", "tilt_y", "turn")  # of the twist; along the beam the force decides
ACTIONS = ("twist", "pose")
MOST_LINES, MOST_SAMPLES = 192, 512  # of the presets: what a frame of 256 pixels is made from


@dataclass(frozen=True)
class EpisodeConfig:
    """One environment. All of it is fixed; what changes from episode to episode is in `Randomisation`.

    Raises:
        ConfigError: a value outside its range or choices.
    """

    probe: str = setting("c5_2", "probe preset")
    depth: float = setting(140.0, "imaging depth, mm", 10.0, 400.0)
    size: int = setting(64, "rows and columns of the observed image", 16, 512)
    renderer: str = setting("physics", "renderer of the image", choices=RENDERERS)
    generator: str = setting("abdomen_lite", "generator artifact of the renderer of that name")
    views: tuple[str, ...] = setting(("image", "wrench", "coupling"), "what is observed")
    flat: bool = setting(False, "the observation is the first view itself, no dictionary")
    action: str = setting("twist", "what an action is", choices=ACTIONS)
    axes: tuple[str, ...] = setting(AXES, "axes of the twist that the policy moves")
    force: float = setting(5.0, "contact force setpoint, N", 0.5, 30.0)
    force_limit: float = setting(25.0, "contact force that ends an episode, N", 1.0, 50.0)
    period: float = setting(0.1, "time from one action to the next, s", 0.02, 1.0)
    control_rate: float = setting(25.0, "rate of the law of admittance, Hz", 10.0, 200.0)

    def __post_init__(self) -> None:
        check_ranges(self)
        for name, known in (("views", VIEWS), ("axes", AXES)):
            given = getattr(self, name)
            if not given or not set(given) <= set(known) or len(set(given)) < len(given):
                raise ConfigError(f"{name} is {given!r}; expected one or more of {', '.join(known)}, each once")
        if self.force >= self.force_limit:
            raise ConfigError(f"force is {self.force:g} N; expected less than force_limit, {self.force_limit:g} N")

    @property
    def geometry(self) -> ProbeGeometry:
        """The probe, its frame and its scan lines as small as the observation: nothing is shrunk afterwards."""
        lines = min(MOST_LINES, max(16, self.size))
        samples = min(MOST_SAMPLES, max(32, 16 * (2 * self.size // 16)))
        base = preset(self.probe).with_depth(self.depth)
        return replace(base, width=self.size, height=self.size, scan_lines=lines, samples=samples)

    @property
    def wants_image(self) -> bool:
        """Whether anything observed needs the B-mode image."""
        return bool({"image", "confidence"} & set(self.views))
