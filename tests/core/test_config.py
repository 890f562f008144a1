"""Settings: every field has a description, bounds are part of the range, and what lies outside is refused."""

from __future__ import annotations

import math
from dataclasses import fields, make_dataclass
from typing import Any

import pytest

from us_sim.core.config import DEVICES, MOTION_NAMES, RENDERERS, ImageSettings, SimConfig, again
from us_sim.core.errors import ConfigError
from us_sim.core.robot.motion import MOTIONS

RANGED = [
    (kind, item.name, item.metadata["low"], item.metadata["high"])
    for kind in (ImageSettings, SimConfig)
    for item in fields(kind)
    if item.metadata["low"] is not None
]


@pytest.mark.parametrize("kind", [ImageSettings, SimConfig])
def test_fields_are_described_and_defaults_are_allowed(kind: Any) -> None:
    kind()
    assert all(item.metadata["description"] for item in fields(kind))


@pytest.mark.parametrize(("kind", "name", "low", "high"), RANGED)
def test_range_includes_its_bounds_and_nothing_else(kind: Any, name: str, low: float, high: float) -> None:
    for value in (low, high):
        assert getattr(kind(**{name: value}), name) == value
    message = rf"{name} is .*; expected {low:.10g} to {high:.10g}".replace("+", r"\+")
    for value in (low - 1, high + 1, math.nan, math.inf, -math.inf):
        with pytest.raises(ConfigError, match=message):
            kind(**{name: value})


@pytest.mark.parametrize(("name", "choices"), [("renderer", RENDERERS), ("device", DEVICES)])
def test_choices(name: str, choices: tuple[str, ...]) -> None:
    for word in choices:
        assert getattr(SimConfig(**{name: word}), name) == word  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=f"{name} is 'tpu'; expected one of {', '.join(choices)}"):
        SimConfig(**{name: "tpu"})  # type: ignore[arg-type]


def test_a_setting_that_others_share_is_declared_once() -> None:
    gain = again(ImageSettings, "gain", "gain of the other picture, dB")
    renderer = again(SimConfig, "renderer", "what draws it", default="none", choices=(*RENDERERS, "none"))
    other: Any = make_dataclass("Other", [("gain", float, gain), ("renderer", str, renderer)])
    shared, changed = fields(other)
    assert (shared.default, shared.metadata["low"], shared.metadata["high"]) == (0.0, -40.0, 40.0)
    assert shared.metadata["description"] == "gain of the other picture, dB"
    assert (changed.default, changed.metadata["choices"]) == ("none", (*RENDERERS, "none"))
    with pytest.raises(KeyError, match="loudness"):
        again(ImageSettings, "loudness", "")


def test_the_motions_named_are_those_there_are() -> None:
    assert tuple(MOTIONS) == MOTION_NAMES
