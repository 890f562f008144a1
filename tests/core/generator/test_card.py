"""A generator's card: what it derives, how it is written, what it refuses."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import pytest

from us_sim.core.errors import ArtifactError
from us_sim.core.generator.card import PAPER_CLASSES, Card
from us_sim.core.geometry.probe import ProbeGeometry, ProbeKind, preset
from us_sim.core.tissue import TissueClass

PROBE = ProbeGeometry(ProbeKind.CONVEX, 120.0, 50.0, 1.0, width=64, height=48, scan_lines=32, samples=96)
FULL = Card(
    replace(PROBE, given_spacing=(0.9, 0.8), given_first_pixel=(-20.0, -3.5)),
    encoding="rich",
    grid="polar",
    source="physics",
    windows=((-150.0, 250.0), (-1000.0, 1000.0)),
    classes=(0, 1, 2, 5, 6, 7, 8),
    width=0.25,
    norm="batch",
    training_data=({"name": "phantoms", "licence": "Apache-2.0"},),
    metrics={"KID": 0.031},
    git_commit="0123abc",
)


def test_the_papers_card_is_the_default() -> None:
    card = Card(PROBE)
    assert card.classes == PAPER_CLASSES == (0, 1, 2, 3, 4)
    assert (card.encoding, card.grid, card.source, card.width) == ("paper", "cartesian", "ct", 1.0)
    assert card.channels == 4  # the window three times, and the labels


def test_size_and_channels() -> None:
    assert Card(PROBE).size == (48, 64)  # rows, columns of the frame
    assert replace(FULL, probe=PROBE).size == (96, 32)  # rows are depth, columns scan lines
    # two windows, speckle, on scan lines the transmission, six classes beside the background
    assert FULL.channels == 2 + 1 + (FULL.grid == "polar") + 6


@pytest.mark.parametrize("card", [Card(PROBE), FULL, Card(preset("l12_5")), Card(preset("paper"))])
def test_json_and_back(card: Card) -> None:
    assert Card.from_json(card.to_json()) == card


def test_networks_beside_a_generator_read_images_alone() -> None:
    card = replace(FULL, architecture="speckle_unet", fold=2)
    beside = card.beside("segmenter", 0.5)
    assert (beside.kind, beside.width, beside.architecture, beside.fold) == ("segmenter", 0.5, "unet", 1)
    with pytest.raises(ArtifactError, match="card: fold is 2; expected 1 to 1"):
        replace(beside, fold=2)
    with pytest.raises(ArtifactError, match="card: architecture is 'speckle_unet'; expected unet, but for a generator"):
        replace(beside, architecture="speckle_unet")
    relative = replace(FULL, architecture="local_contrast_unet").beside("segmenter", 0.5)
    assert relative.architecture == "local_contrast_unet"


def test_missing_fields_take_their_defaults() -> None:
    data = json.loads(Card(PROBE).to_json())
    assert Card.from_json(json.dumps({"probe": data["probe"]})) == Card(PROBE)


# -- refusals --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "wrong", "expected"),
    [
        ("architecture", "resnet", "one of unet"),
        ("norm", "layer", "one of instance, batch"),
        ("encoding", "poor", "one of paper, rich"),
        ("grid", "spherical", "one of cartesian, polar"),
        ("source", "mri", "one of ct, physics"),
        ("format_version", 2, "expected 1"),
        *(("width", w, "0.05 to 4") for w in (0.01, 4.1, math.nan, -1.0)),
        *(("windows", w, "pairs of lower and upper HU") for w in (
            (), ((250.0, -150.0),), ((0.0, 0.0),), ((0.0,),), ((math.nan, 1.0),), ((-math.inf, math.inf),))),
        ("windows", ((-150.0, 250.0), (-1000.0, 1000.0)), "one window for encoding paper"),
        *(("classes", c, "different ids from 0 to 13, 0 first") for c in (
            (), (0,), (1, 2), (0, 14), (0, -1), (0, 1, 1), (0, "liver"))),
        ("probe", replace(PROBE, width=65), "multiples of 8"),
        *(("fold", f, "1 to 4") for f in (0, 5, 2.0, "2")),
        ("fold", 4, "multiples of 32 and 8"),
        ("architecture", "speckle_unet", "unet, but for a generator of encoding rich"),
    ],
)  # fmt: skip
def test_values_outside_their_choices(name: str, wrong: Any, expected: str) -> None:
    with pytest.raises(ArtifactError, match=f"card: .*; expected .*{expected}|card: {name} is .*{expected}"):
        replace(Card(PROBE), **{name: wrong})


def test_the_size_counts_on_the_grid_that_is_fed() -> None:
    odd_lines = replace(PROBE, scan_lines=33)
    Card(odd_lines)  # a cartesian generator does not care
    with pytest.raises(ArtifactError, match=r"grid size is \(96, 33\); expected multiples of 8"):
        Card(odd_lines, grid="polar")


def card_json(**changes: Any) -> str:
    data = json.loads(Card(PROBE).to_json())
    return json.dumps({**data, **changes})


def probe_json(**changes: Any) -> str:
    data = json.loads(Card(PROBE).to_json())
    return json.dumps({"probe": {**data["probe"], **changes}})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "card: Expecting value"),
        ("{", "card: Expecting property name"),
        ("5", "card: 'int' object"),
        ("null", "card: 'NoneType' object"),
        ('""', "card: field 'probe' is missing; export the generator again"),
        ("[]", "card: field 'probe' is missing"),
        ("{}", "card: field 'probe' is missing"),
        ('{"probe": {}}', "card: field 'kind' is missing"),
        ('{"probe": 5}', "card: 'int' object is not iterable"),
        (card_json(colour="green"), r"card: unknown fields \['colour'\]; written by a newer version\?"),
        (card_json(grid="spherical"), "^card: grid is 'spherical'; expected one of cartesian, polar"),
        (card_json(width="wide"), "card: .*not supported between"),
        (card_json(windows=5), "card: 'int' object is not iterable"),
        (card_json(windows=[["low", "high"]]), "card: .*not supported between"),
        (card_json(classes=None), "card: 'NoneType' object is not iterable"),
        (card_json(classes=[0, [1]]), r"card: classes is \(0, \(1,\)\)"),
        (probe_json(kind=7), "card: 7 is not a valid ProbeKind"),
        (probe_json(depth=-5), "card: depth is -5; expected 10 to 400 mm"),
        (probe_json(depth="deep"), "card: .*not supported between"),
        (probe_json(width=64.0), "card: width is 64.0; expected a whole number"),
        (probe_json(colour="green"), "card: .*unexpected keyword argument 'colour'"),
        (probe_json(given_spacing=[1.0, 0.0]), r"card: given_spacing is \(1.0, 0.0\)"),
    ],
)
def test_bad_json(text: str, message: str) -> None:
    with pytest.raises(ArtifactError, match=message):
        Card.from_json(text)


# -- which probes it draws for ---------------------------------------------------------------------------


def test_the_same_fan_on_another_grid_is_drawn() -> None:
    card = Card(PROBE)
    assert card.refusal(PROBE) is None
    assert card.refusal(replace(PROBE, width=256, height=200, scan_lines=128, samples=512, elevation_planes=3)) is None
    assert card.refusal(replace(PROBE, depth=120.0001)) is None
    assert card.refusal(replace(PROBE, depth=60.0)) is None  # the upper half of the picture


@pytest.mark.parametrize(
    ("probe", "reason"),
    [
        (preset("l12_5"), "trained on a convex probe, not a linear one"),
        (preset("p4_2"), "trained on a convex probe, not a phased one"),
        (replace(PROBE, depth=130.0), "trained to a depth of 120 mm, the probe shows 130"),
        (replace(PROBE, radius_of_curvature=60.0), "trained with radius_of_curvature 50, the probe has 60"),
        (replace(PROBE, field_of_view=1.1), "trained with field_of_view 1, the probe has 1.1"),
    ],
)
def test_another_fan_is_refused_with_the_reason(probe: ProbeGeometry, reason: str) -> None:
    assert reason in (Card(PROBE).refusal(probe) or "")


def test_another_aperture_is_refused() -> None:
    linear = preset("l12_5")
    assert "aperture 38, the probe has 40" in (Card(linear).refusal(replace(linear, aperture=40.0)) or "")


def test_classes_of_the_paper() -> None:
    names = [TissueClass(c).name for c in PAPER_CLASSES]
    assert names == ["BACKGROUND", "LIVER", "KIDNEY", "SPLEEN", "PANCREAS"]
