from __future__ import annotations

import pytest

from scyclegan_train.data.faults import DataError
from scyclegan_train.data.splits import check_apart, series_of, split_of


def test_a_patient_in_two_splits_is_refused_by_name() -> None:
    with pytest.raises(DataError, match="patient bob is in two splits, train and test"):
        check_apart({"train": ["ann", "bob"], "test": ["bob"]})


def test_patients_apart_are_accepted() -> None:
    check_apart({"train": ["ann", "ann"], "test": ["bob"]})


def test_a_patient_keeps_the_split_and_the_shares_are_met() -> None:
    names = [f"Case_{n:05d}" for n in range(4000)]
    splits = [split_of(name) for name in names]
    assert splits == [split_of(name) for name in names]
    # Four standard deviations of a binomial share of 10 % among 4,000 are 1.9 %.
    assert abs(splits.count("val") / 4000 - 0.1) < 0.019
    assert abs(splits.count("test") / 4000 - 0.1) < 0.019
    assert splits != [split_of(name, seed=1) for name in names]


@pytest.mark.parametrize(
    ("name", "series"),
    [("a12", "a"), ("12-a", "a"), ("ct3-104", "ct3"), ("liver_03", "liver"), ("left (7)", "left"), ("17", "")],
)
def test_a_frames_name_tells_its_series(name: str, series: str) -> None:
    assert series_of(name) == series
