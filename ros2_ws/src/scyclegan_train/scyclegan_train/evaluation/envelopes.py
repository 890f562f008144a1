# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Nakagami's m and Ω of speckle: how many scatterers of which strength a cell holds.

Source: Shankar 2000, doi 10.1109/58.842065. They belong to the envelope of single-look data before log compression: on
compounded or scan-converted frames they mean something else. A fully developed speckle has m = 1.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

LEAST = 100  # samples: of fewer, m scatters by more than a tenth


def nakagami(envelope: ArrayLike) -> tuple[float, float]:
    """Return m and Ω by moments: Ω = E[R²], m = Ω² / Var[R²], which is inf where nothing varies.

    Args:
        envelope: samples of one tissue at about one depth, of any shape, 0 or more; those that are not finite are left
            out.

    Raises:
        ValueError: fewer than LEAST samples, or negative ones: grey levels in dB are no envelope.
    """
    samples = np.asarray(envelope, dtype=np.float64).ravel()
    samples = samples[np.isfinite(samples)]
    if len(samples) < LEAST or samples.min() < 0:
        raise ValueError(f"{len(samples)} samples from {samples.min(initial=np.inf):g}; expected {LEAST} or more of an "
                         "envelope, 0 or more")  # fmt: skip
    power = samples**2
    omega = float(power.mean())
    spread = float(power.var())
    return omega**2 / spread if spread else np.inf, omega


def envelope_of(grey: ArrayLike, dynamic_range: float) -> np.ndarray:
    """Undo the log compression of 8-bit grey levels, 255 being an envelope of 1.

    Args:
        grey: 0 to 255.
        dynamic_range: dB from black to white.
    """
    return np.asarray(10 ** (dynamic_range * (np.asarray(grey, dtype=np.float64) / 255 - 1) / 20))
