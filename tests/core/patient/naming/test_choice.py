"""Which class the values of a label map get: every label set of the field, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from us_sim.core.errors import PatientError
from us_sim.core.patient.naming.choice import choose
from us_sim.core.patient.naming.own_map import read_own_map
from us_sim.core.patient.naming.said import Table, header_table, structure_in
from us_sim.core.patient.naming.schemes import SCHEMES
from us_sim.core.tissue import TissueClass as T

PLACE = Path("/nowhere/at/all")


def meant(name: str, values: Any, **more: Any) -> dict[int, T]:
    """Classes of values with 1000 voxels each, or of a mapping to voxels."""
    counts = values if isinstance(values, dict) else dict.fromkeys(values, 1000)
    arguments = {"table": None, "scheme": None, "own": None, **more}
    return dict(choose(PLACE / name, counts, **arguments).classes)


@pytest.mark.parametrize(
    ("name", "values", "expected"),
    [
        ("Case_00001.nii.gz", range(1, 5), {1: T.LIVER, 2: T.KIDNEY, 3: T.SPLEEN, 4: T.PANCREAS}),
        ("amos_0001.nii.gz", [1, 6, 8, 10], {1: T.SPLEEN, 6: T.LIVER, 8: T.VESSEL, 10: T.PANCREAS}),
        ("label0001.nii.gz", [6, 10, 11], {6: T.LIVER, 10: T.VESSEL, 11: T.PANCREAS}),
        ("FLARE22_Tr_0001.nii.gz", [1, 5, 13], {1: T.LIVER, 5: T.VESSEL, 13: T.KIDNEY}),
        ("word_0001.nii.gz", [2, 8, 15], {2: T.SPLEEN, 8: T.PANCREAS, 15: T.BONE}),
        ("liver_12.nii.gz", [1, 2], {1: T.LIVER, 2: T.LIVER}),
        ("spleen_12.nii.gz", [1], {1: T.SPLEEN}),
        ("pancreas_012.nii.gz", [1, 2], {1: T.PANCREAS, 2: T.PANCREAS}),
        ("colon_012.nii.gz", [1], {1: T.SOFT}),
        ("hepaticvessel_012.nii.gz", [1, 2], {1: T.VESSEL, 2: T.LIVER}),
        ("segmentation-12.nii", [1, 2], {1: T.LIVER, 2: T.LIVER}),
        ("case_00012/segmentation.nii.gz", [1, 2, 3], {1: T.KIDNEY, 2: T.KIDNEY, 3: T.FLUID}),
        ("case_00012.nii.gz", [1, 2], {1: T.KIDNEY, 2: T.KIDNEY}),
        ("labels-12.nii.gz", [1, 2, 3, 4, 5], {1: T.LIVER, 2: T.FLUID, 3: T.LUNG, 4: T.KIDNEY, 5: T.BONE}),
        ("BDMAP_00000012/combined_labels.nii.gz", [1, 5, 8], {1: T.VESSEL, 5: T.LIVER, 8: T.SPLEEN}),
        ("case1_vertebrae_body.nii.gz", [1, 2], {1: T.BONE, 2: T.SOFT}),
        ("spleen.nii.gz", [1], {1: T.SPLEEN}),
        ("kidney_left.nii.gz", [255], {255: T.KIDNEY}),
        ("s0012_Liver_mask.seg.nrrd", [1], {1: T.LIVER}),
        ("skin.nii.gz", [1], {1: T.SKIN}),
    ],
)
def test_the_name_of_the_file_says_it(name: str, values: Any, expected: dict[int, T]) -> None:
    assert meant(name, values) == expected


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("seg.nii.gz", [1, 2, 3, 4]),
        ("seg.nii.gz", [1]),
        ("seg.nii.gz", range(1, 14)),
        ("seg.nii.gz", range(1, 105)),  # both versions of TotalSegmentator
        ("totalseg.nii.gz", [1, 7]),  # pancreas or aorta
        ("kidneys.nii.gz", [1, 2]),  # sides, or tumour?
        ("liver_spleen.nii.gz", [1]),
        ("lung_012.nii.gz", [1]),  # a tumour in the Decathlon, the lung by its name
    ],
)
def test_several_meanings_are_refused_with_a_table(name: str, values: Any) -> None:
    with pytest.raises(
        PatientError, match=r"(?s)have several meanings .*set label_scheme to .*labels_map.*: \w+ [\d,]+"
    ):
        meant(name, values)


def test_the_table_counts_the_voxels_of_each_class() -> None:
    with pytest.raises(PatientError) as caught:
        meant("seg.nii.gz", {1: 123768, 2: 3000, 4: 7})
    assert "abdomenct1k, flare22, ours: liver 123,768, kidney 3,000, pancreas 7\n" in str(caught.value)
    assert "spleen 123,768, kidney 3,000, fluid 7" in str(caught.value)


def test_values_that_one_scheme_has_decide() -> None:
    reading = choose(PLACE / "seg.nii.gz", {5: 900, 52: 90, 116: 90}, None, None, None)
    assert reading.classes == {5: T.LIVER, 52: T.VESSEL, 116: T.BONE}
    assert not reading.certain


def test_a_stray_voxel_makes_no_other_scheme() -> None:
    """Seen: 1 voxel of 99 made AbdomenCT-1K's liver nothing and its spleen a kidney."""
    counts = {1: 123768, 2: 30000, 3: 20000, 4: 9000, 99: 1}
    with pytest.raises(PatientError, match="have several meanings"):
        meant("seg.nii.gz", counts)
    reading = choose(PLACE / "seg.nii.gz", counts, None, "abdomenct1k", None)
    assert reading.classes == {1: T.LIVER, 2: T.KIDNEY, 3: T.SPLEEN, 4: T.PANCREAS, 99: T.BACKGROUND}
    assert reading.warnings == ("seg.nii.gz: stray voxels count as unlabelled: 1 of value 99",)


def test_many_voxels_outside_the_given_scheme_are_refused() -> None:
    with pytest.raises(PatientError, match="values 7, 99 are not in scheme 'abdomenct1k'; set label_scheme to one of"):
        meant("seg.nii.gz", [1, 7, 99], scheme="abdomenct1k")


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_given_scheme_counts(scheme: str) -> None:
    names = SCHEMES[scheme].names
    known = {v: T.BACKGROUND if c is None else c for v, c in SCHEMES[scheme].classes.items()}
    assert meant("seg.nii.gz", list(names), scheme=scheme) == known


def test_a_given_scheme_against_the_file_is_told() -> None:
    table = Table({1: "spleen", 5: "liver"}, "the label table in the file's header")
    reading = choose(PLACE / "seg.nii", {1: 10, 2: 10}, table, "abdomenct1k", None)
    assert reading.classes == {1: T.LIVER, 2: T.KIDNEY}
    assert reading.warnings == (
        "seg.nii: the label table in the file's header contradicts label_scheme 'abdomenct1k': 1 spleen",
    )


def test_the_header_counts_before_the_name() -> None:
    table = Table({1: "aorta", 2: "vertebrae_body"}, "header")
    assert meant("Case_00001.nii.gz", [1, 2], table=table) == {1: T.VESSEL, 2: T.BONE}


def test_a_table_without_structures_says_nothing() -> None:
    with pytest.raises(PatientError, match="several meanings"):
        meant("seg.nii.gz", [1, 2], table=Table({1: "L1", 2: "L2"}, "header"))


def test_regions_are_unlabelled_and_told() -> None:
    reading = choose(PLACE / "seg.nii", {1: 10, 2: 9}, Table({1: "liver", 2: "body_trunc"}, "header"), None, None)
    assert reading.classes == {1: T.LIVER, 2: T.BACKGROUND}
    assert reading.warnings == ("seg.nii: names no tissue, counts as unlabelled: body_trunc",)


DATASETS = {
    "nnU-Net": ("dataset.json", {"labels": {"background": 0, "spleen": 1, "liver": 2}}),
    "nnU-Net 1, Decathlon": ("dataset.json", {"labels": {"0": "background", "1": "spleen", "2": "liver"}}),
    "nnU-Net regions": (
        "dataset.json",
        {"labels": {"background": 0, "spleen": [1, 2], "liver": 2}, "regions_class_order": [1, 2]},
    ),
    "MONAI bundle": (
        "metadata.json",
        {
            "network_data_format": {
                "outputs": {"pred": {"channel_def": {"0": "background", "1": "spleen", "2": "liver"}}}
            }
        },
    ),
}


@pytest.mark.parametrize("kind", DATASETS)
@pytest.mark.parametrize("above", [True, False])
def test_a_table_beside_the_file(tmp_path: Path, kind: str, above: bool) -> None:
    name, content = DATASETS[kind]
    (tmp_path / "labelsTr").mkdir()
    ((tmp_path if above else tmp_path / "labelsTr") / name).write_text(json.dumps(content))
    assert meant(str(tmp_path / "labelsTr" / "x.nii.gz"), [1, 2]) == {1: T.SPLEEN, 2: T.LIVER}


@pytest.mark.parametrize(
    "text", ["id,name\n1,spleen\n2,liver\n", "index\tname\tabbreviation\n1\tspleen\ts\n2\tliver\tl\n"]
)
def test_a_text_table_beside_the_file(tmp_path: Path, text: str) -> None:
    (tmp_path / "sub-01_dseg.tsv").write_text(text)
    assert meant(str(tmp_path / "sub-01_dseg.nii.gz"), [1, 2]) == {1: T.SPLEEN, 2: T.LIVER}


@pytest.mark.parametrize(
    "text",
    [
        '{"labels": {"liver": 1, "spleen": 1, "kidney": 2}}',
        "{",
        "[1, 2]",
        '{"labels": 3}',
        "[" * 200_000,
        '{"labels": {"a": "b"}}',
        "",
    ],
)
def test_a_broken_table_beside_the_file_says_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / "dataset.json").write_text(text)
    with pytest.raises(PatientError, match="several meanings"):
        meant(str(tmp_path / "x.nii.gz"), [1, 2])


def test_a_table_against_the_name_is_refused(tmp_path: Path) -> None:
    (tmp_path / "dataset.json").write_text(json.dumps({"labels": {"background": 0, "spleen": 1}}))
    with pytest.raises(PatientError, match=r"(?s)the file says several things at once.*spleen 1,000.*liver 1,000"):
        meant(str(tmp_path / "liver.nii.gz"), [1])


def test_own_map(tmp_path: Path) -> None:
    path = tmp_path / "labels_map.yaml"
    path.write_text("'1': liver\n2: aorta\n7: background\n8:\ntumour: liver\n")
    own = read_own_map(path)
    assert meant("seg.nii", [1, 2, 7, 8], own=own) == {1: T.LIVER, 2: T.VESSEL, 7: T.BACKGROUND, 8: T.BACKGROUND}
    table = Table({1: "Leber", 3: "Tumour"}, "header")
    assert meant("seg.nii", [1, 3], own=own, table=table) == {1: T.LIVER, 3: T.LIVER}
    with pytest.raises(PatientError, match=r"label values 4 are not in labels_map.yaml; add them"):
        meant("seg.nii", [1, 4], own=own)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1: leber", "'1: leber' names no class; expected one of background, liver"),
        ("1: liver\n2: kidney\n1: spleen", "it has '1' twice"),
        ("0: liver", "'0: liver', but 0 is unlabelled everywhere; give these voxels another value"),
        ("1.5: liver", "'1.5: liver' names no class"),
        ("- liver", "holds no mapping; expected lines like '1: liver'"),
        ("", "holds no mapping"),
        ("1: [", "cannot be read as YAML"),
        ("[" * 20_000, "cannot be read as YAML"),
        ("a: &x liver\nb: *x", "it has aliases"),
        ("1: {a: b}", "names no class"),
        ("\x00", "cannot be read as YAML"),
    ],
)
def test_own_map_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "labels_map.yaml"
    path.write_text(text)
    with pytest.raises(PatientError, match=f"labels_map.yaml: .*{message}"):
        read_own_map(path)


def test_missing_own_map(tmp_path: Path) -> None:
    with pytest.raises(PatientError, match=r"mine.yaml: no such file; labels_map names a YAML file"):
        read_own_map(tmp_path / "mine.yaml")


def test_a_header_that_gives_a_value_two_names_says_nothing() -> None:
    assert header_table('<Label Key="5">liver</Label><Label Key="5">spleen</Label>') == {}


def test_header_table_of_totalsegmentator() -> None:
    text = '<LabelTable><Label Key="5" Red="0.1" Alpha="1"><![CDATA[liver]]></Label>\n<Label Key="52">aorta</Label>'
    assert header_table(text) == {5: "liver", 52: "aorta"}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("liver.nii.gz", "liver"),
        ("Case_00001.nii.gz", ""),
        ("ct_seg_kidney-left.mha", "kidney left"),
        ("labels.nii", ""),
    ],
)
def test_structure_in_a_file_name(name: str, expected: str) -> None:
    assert structure_in(Path(name)) == expected


@given(st.dictionaries(st.integers(1, 300), st.integers(1, 10**6), min_size=1, max_size=30))
def test_any_map_is_read_right_or_refused(counts: dict[int, int]) -> None:
    """Without a word from the file, whatever is read must be what every scheme that has all values says."""
    try:
        found = meant("x.nii.gz", counts)
    except PatientError:
        return
    for scheme in SCHEMES.values():
        if counts.keys() <= scheme.names.keys():
            assert found == {value: scheme.classes[value] or T.BACKGROUND for value in counts}
