"""Presets are settings that every parameter allows."""

from __future__ import annotations

from dataclasses import fields

import pytest

from us_sim.core.config import ImageSettings
from us_sim.core.geometry.probe import preset
from us_sim.viewer.presets import PRESETS


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_is_in_range_and_focuses_in_the_image(name: str) -> None:
    values = PRESETS[name].values
    depth = values.pop("depth")
    assert set(values) == {item.name for item in fields(ImageSettings)}
    ImageSettings(**values)
    assert values["focus"] < depth <= preset("c5_2").depth
