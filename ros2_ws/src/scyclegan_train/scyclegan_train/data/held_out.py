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
