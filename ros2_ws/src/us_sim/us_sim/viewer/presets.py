# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Presets of the scanner for what is examined: values of the simulator's parameters."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from us_sim.core.config import TGC_SLIDERS


@dataclass(frozen=True)
class Preset:
    """Settings that suit an examination.

    Attributes:
        depth: imaging depth, mm.
        focus: depth of the transmit focus, mm.
        frequency: transmit centre frequency, MHz.
        tgc: time gain compensation, dB/(cm MHz).
        dynamic_range: dB.
        gain: dB.
        sliders: of the TGC, from the face down, dB.
    """

    depth: float
    focus: float
    frequency: float
    tgc: float
    dynamic_range: float
    gain: float = 0.0
    sliders: tuple[float, ...] = (0.0,) * len(TGC_SLIDERS)

    @property
    def values(self) -> dict[str, float]:
        """The parameters by name."""
        values = asdict(self)
        return values | dict(zip(TGC_SLIDERS, values.pop("sliders"), strict=True))


# Depths and frequencies of the usual abdominal examination with a curved array (AIUM practice parameters for the
# abdomen and for FAST: adjust depth so that the organ fills the image, the highest frequency that still penetrates).
PRESETS = {
    "abdomen": Preset(180.0, 70.0, 3.5, 1.2, 55.0),
    "liver": Preset(160.0, 80.0, 3.5, 1.2, 60.0),
    "kidney": Preset(130.0, 70.0, 3.5, 1.2, 58.0),
    "gallbladder": Preset(110.0, 60.0, 4.5, 1.1, 52.0),
    "aorta": Preset(150.0, 90.0, 3.0, 1.1, 50.0),
    "FAST": Preset(180.0, 90.0, 3.0, 1.2, 55.0),
}
