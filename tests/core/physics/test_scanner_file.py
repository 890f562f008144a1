"""Scanners from YAML: what a file changes, what it may not, and that the image follows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.core.patients import box_patient, on_the_box

from us_sim.core.assembly import base_probe, started
from us_sim.core.config import ImageSettings, SimConfig
from us_sim.core.errors import ConfigError
from us_sim.core.geometry.probe import preset
from us_sim.core.physics.scanner import GENERIC
from us_sim.core.physics.scanner_file import ScannerPreset, load_scanner, save_scanner, scanners, tissues_of
from us_sim.core.simulator import Simulator
from us_sim.core.tissue import TISSUES, TissueClass

SMALL = replace(preset("c5_2"), width=48, height=48, scan_lines=48, samples=128)


def test_every_shipped_scanner_can_be_used() -> None:
    assert {"generic_abdominal", "generic_handheld"} <= scanners().keys()
    for name in scanners():
        assert load_scanner(name).source


def test_a_file_changes_what_it_names_alone(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("image: {tgc: 0.9}\nconstants: {looks: 4}\ntissues: {fat: {backscatter: 7}}")
    mine = load_scanner(str(path))
    assert (mine.name, mine.image, mine.constants) == ("mine", ImageSettings(tgc=0.9), replace(GENERIC, looks=4))
    assert mine.tissues[TissueClass.FAT] == replace(TISSUES[TissueClass.FAT], backscatter=7)
    assert mine.tissues[TissueClass.LIVER] == TISSUES[TissueClass.LIVER]


def test_what_is_saved_is_what_is_loaded(tmp_path: Path) -> None:
    probe = replace(SMALL, depth=120.0)
    made = ScannerPreset("mine", "my frames", probe, ImageSettings(tgc=1.2), replace(GENERIC, looks=2),
                         tissues_of({"muscle": {"attenuation": 1.3}}))  # fmt: skip
    save_scanner(made, tmp_path / "mine.yaml", "two\nremarks")
    assert load_scanner(str(tmp_path / "mine.yaml")) == made
    assert (tmp_path / "mine.yaml").read_text().startswith("# two\n# remarks\n")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- 1", "holds list; expected the sections name, source"),
        ("a: [", "cannot be read as YAML"),
        ("tuning: {}", "the file: unknown tuning; expected some of name, source, probe"),
        ("probe: {kind: curved}", "kind is 'curved'; expected one of convex"),
        ("probe: 5", "probe holds 5; expected lines"),
        ("image: {contrast: 3}", "image: unknown contrast; expected some of gain"),
        ("image: {tgc: 7}", "image: tgc is 7.0; expected 0 to 2"),
        ("image: {tgc: much}", "image: tgc is 'much'; expected a number"),
        ("constants: {looks: 2.5}", "constants: looks is 2.5; expected a whole number"),
        ("constants: {gamma: 9}", "constants: gamma is 9.0; expected 0.5 to 4"),
        ("tissues: {lard: {backscatter: 1}}", "tissues: unknown lard; expected some of background, liver"),
        ("tissues: {fat: {colour: 1}}", "tissues: fat: unknown colour; expected some of impedance"),
        ("tissues: {fat: {attenuation: -1}}", "tissues: fat: attenuation is -1; expected 0 to 100"),
        ("tissues: {fat: {impedance: .nan}}", "tissues: fat: impedance is nan; expected 0.0001 to 20"),
        ("tissues: {fat: bright}", "tissues: fat holds 'bright'; expected lines"),
    ],
)
def test_bad_files_are_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "scanner.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=f"scanner.yaml: {message}"):
        load_scanner(str(path))


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"unknown scanner 'best'; expected one of .*generic_abdominal"):
        load_scanner("best")


def test_constants_and_acoustic_table_form_the_image() -> None:
    patient, pose = box_patient(), on_the_box()
    plain = Simulator(patient, SMALL, device="cpu").render(pose).image
    same = Simulator(patient, SMALL, device="cpu", scanner=ScannerPreset()).render(pose).image
    silent = tissues_of({one.name.lower(): {"backscatter": -80.0} for one in TissueClass})
    dark = Simulator(patient, SMALL, device="cpu", scanner=ScannerPreset(tissues=silent)).render(pose).image
    lifted = ScannerPreset(constants=replace(GENERIC, black=30.0))
    grey = Simulator(patient, SMALL, device="cpu").replace(scanner=lifted).render(pose).image
    assert plain is not None
    assert dark is not None
    assert grey is not None
    np.testing.assert_array_equal(plain, same)
    assert dark.mean() < 0.8 * plain.mean()
    assert grey[SMALL.fan_mask].min() == 30


def test_a_generator_refuses_to_stand_for_a_scanner() -> None:
    simulator = Simulator(box_patient(), SMALL, device="cpu", scanner=ScannerPreset("mine"))
    with pytest.raises(ConfigError, match="renderer is 'generator'"):
        simulator.check_renderer("generator")


def test_a_scanner_brings_probe_and_settings() -> None:
    config = SimConfig(scanner="generic_handheld")
    assert base_probe(config).radius_of_curvature == 60.0
    assert started(config, ImageSettings(gain=3.0)) == ImageSettings(gain=3.0, dynamic_range=55.0, tgc=1.1)
    assert base_probe(SimConfig()) is preset("c5_2")
    assert started(SimConfig(), ImageSettings()) == ImageSettings()


def test_a_probe_beside_a_scanner_is_refused() -> None:
    with pytest.raises(ConfigError, match="probe is 'l12_5', but scanner 'generic_handheld' includes its own"):
        base_probe(SimConfig(scanner="generic_handheld", probe="l12_5"))
