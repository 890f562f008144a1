# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Image-formation constants of a scanner: fitted once, not changed while scanning."""

from __future__ import annotations

from dataclasses import dataclass

from us_sim.core.config import check_ranges, setting


@dataclass(frozen=True)
class Scanner:
    """Constants of image formation. Levels are dB to the echo of a flat, perfect reflector at the face.

    The tone (sensitivity, grey map, gain over depth, noise) is fitted by differential evolution to the grey quantiles
    by depth of `us_liver_sweep` and the mean grey by depth of other people's frames, pulse and beam to the grain of
    its liver, the rest by eye beside it; `python -m us_sim.bench.realism` prints what is left between them.

    Raises:
        ConfigError: a value outside its range, named with the range.
    """

    sensitivity: float = setting(-6.7, "gain that the settings call 0 dB, dB", -40.0, 40.0)
    gamma: float = setting(1.5, "exponent of the grey map over the logarithm", 0.5, 4.0)
    black: float = setting(7.0, "grey level of no echo at all", 0.0, 40.0)
    tgc_limit: float = setting(54.0, "gain over depth that the amplifier ends at, dB", 10.0, 200.0)
    speckle_level: float = setting(-41.0, "scattered echo of 0 dB tissue, dB", -70.0, -10.0)
    noise_level: float = setting(-99.0, "electronic noise, dB", -140.0, -40.0)
    looks: int = setting(6, "independent looks that are compounded", 1, 6)
    pulse_length: float = setting(0.55, "axial full width at half maximum of the pulse's envelope, mm", 0.0, 3.0)
    beam_ratio: float = setting(0.027, "width of the beam at the focus to its depth, at 3.5 MHz", 0.005, 0.1)
    edge_loss: float = setting(7.0, "echo lost at the outermost scan lines, dB", 0.0, 30.0)
    f_number: float = setting(2.0, "depth to width of the receiving aperture", 0.5, 8.0)
    ring_level: float = setting(-22.0, "reverberation of the probe's own face, dB", -60.0, 0.0)
    ring_length: float = setting(0.9, "depth over which that falls by a factor e, mm", 0.1, 5.0)
    specular_level: float = setting(0.0, "echo of interfaces over what their impedances give, dB", -30.0, 30.0)
    ring_down: float = setting(0.5, "length of the pulse's tail, over which it falls by a factor e, mm", 0.1, 3.0)
    side_lobe_level: float = setting(-15.0, "echo from around the beam to that from within it, dB", -60.0, 0.0)
    side_lobe_width: float = setting(7.0, "distance over which that falls by a factor e, mm", 0.5, 20.0)
    shadow_level: float = setting(-40.0, "multiple echoes behind gas, dB to the sound that meets it", -80.0, 0.0)
    shadow_length: float = setting(22.0, "depth over which those fall by a factor e, mm", 2.0, 80.0)
    mirror_level: float = setting(-5.0, "mirror image behind gas and lung, dB to what it mirrors", -60.0, 0.0)

    def __post_init__(self) -> None:
        check_ranges(self)


GENERIC = Scanner()
