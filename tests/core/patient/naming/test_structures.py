"""The class of a structure's name, in the spelling of many programs, against anatomy."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from us_sim.core.patient.naming.schemes import SCHEMES
from us_sim.core.patient.naming.structures import class_of_name, classes_of_names
from us_sim.core.tissue import TissueClass as T


def test_totalsegmentator_table_is_the_published_one(shared_data: Path) -> None:
    with (shared_data / "ct_abdomen" / "labels.csv").open() as file:
        published = {int(row["id"]): row["name"] for row in csv.DictReader(file)}
    assert SCHEMES["totalsegmentator"].names == published


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("kidney_left", T.KIDNEY),
        ("Right Kidney", T.KIDNEY),
        ("LeftKidney", T.KIDNEY),
        ("adrenal_gland_left", T.SOFT),
        ("kidney_cyst_right", T.FLUID),
        ("kidney tumour", T.KIDNEY),
        ("Liver", T.LIVER),
        ("liver_vessels", T.VESSEL),
        ("liver_tumor", T.LIVER),
        ("Hepatic Lesion", T.LIVER),
        ("splenic_artery", T.VESSEL),
        ("urinary_bladder", T.FLUID),
        ("gall bladder", T.FLUID),
        ("portal_vein_and_splenic_vein", T.VESSEL),
        ("postcava", T.VESSEL),
        ("IVC", T.VESSEL),
        ("celiac_trunk", T.VESSEL),
        ("iliac_vena_left", T.VESSEL),
        ("iliopsoas_left", T.MUSCLE),
        ("subscapularis", T.MUSCLE),
        ("heart", T.VESSEL),
        ("heart_myocardium", T.MUSCLE),
        ("hip_right", T.BONE),
        ("rib_left_12", T.BONE),
        ("vertebrae_body", T.BONE),
        ("intervertebral_discs", T.SOFT),
        ("costal_cartilages", T.BONE),
        ("head_of_femur_left", T.BONE),
        ("lung_middle_lobe_right", T.LUNG),
        ("lung_nodules", T.SOFT),
        ("pleural_effusion", T.FLUID),
        ("colon", T.SOFT),
        ("spinal_cord", T.SOFT),
        ("subcutaneous_fat", T.FAT),
        ("intermuscular_fat", T.FAT),
        ("fat", T.FAT),
        ("background", T.BACKGROUND),
        ("tumour", T.SOFT),
        ("body_trunc", None),
        ("face", None),
        ("quux", None),
        ("L1", None),
    ],
)
def test_class_of_a_structure(name: str, expected: T | None) -> None:
    assert class_of_name(name) == expected


def test_every_structure_of_totalsegmentator_has_a_class() -> None:
    scheme = SCHEMES["totalsegmentator"]
    assert len(scheme.names) == len(set(scheme.names.values())) == 117
    assert not {None, T.BACKGROUND} & set(scheme.classes.values())


def test_every_value_of_a_scheme_has_a_tissue_unless_it_is_a_region() -> None:
    lacking = {name for scheme in SCHEMES.values() for v, name in scheme.names.items() if scheme.classes[v] is None}
    regions = {"abdominal_cavity", "thoracic_cavity", "pericardium", "mediastinum", "body_trunc", "body_extremities"}
    assert lacking == {"face", *regions}


def test_a_disease_counts_as_the_only_organ_beside_it() -> None:
    assert classes_of_names({1: "kidney", 2: "tumor", 3: "cyst"}) == {1: T.KIDNEY, 2: T.KIDNEY, 3: T.FLUID}
    assert classes_of_names({1: "liver", 2: "spleen", 3: "tumor"})[3] == T.SOFT
