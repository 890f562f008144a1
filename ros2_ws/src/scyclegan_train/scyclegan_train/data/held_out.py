# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Samples that a run is not trained on: those of held-out patients and frames."""

from __future__ import annotations

from dataclasses import replace

from scyclegan_train.config import DataConfig, SourceConfig
from us_sim.core.errors import ConfigError

GAP = 10  # frames after those of the training that are left out: neighbours look alike
FURTHER = 8  # phantoms after those of the training


def held_out(config: DataConfig) -> DataConfig:
    """Return the sources of validation: the split `val` of `prepare`, `test` of AUS and RUS, frames and phantoms beyond
    those of the training; never augmented.

    Raises:
        ConfigError: a source of one domain or both holds nothing out.
    """
    found = {
        domain: tuple(one for source in getattr(config, domain) if (one := _beyond(source)) is not None)
        for domain in ("ct", "us")
    }
    for domain, sources in found.items():
        if not sources:
            raise ConfigError(f"data: {domain} has no source that holds samples out; set loop: validate_every: 0")
    return replace(config, ct=found["ct"], us=found["us"])


def _beyond(source: SourceConfig) -> SourceConfig | None:
    end = source.seeds[1]
    changes = {
        "prepared": {"split": "val"},
        "aus": {"split": "test"},
        "rus": {"split": "test"},
        "frames": {"frames": (source.frames[1] + GAP, SourceConfig().frames[1])},
        "phantoms": {"seeds": (end, end + FURTHER), "repeat": 1},
    }.get(source.kind)
    whole = source.kind == "frames" and source.frames[1] == SourceConfig().frames[1]
    return None if changes is None or whole else replace(source, augment=False, **changes)  # type: ignore[arg-type]
