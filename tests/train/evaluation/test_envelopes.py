from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from scyclegan_train.evaluation.envelopes import envelope_of, nakagami


@pytest.mark.parametrize(("shape", "spread"), [(0.6, 2.0), (1.0, 1.0), (3.0, 0.25)])
def test_the_parameters_of_a_nakagami_distribution_are_found(shape: float, spread: float) -> None:
    drawn = stats.nakagami.rvs(shape, scale=np.sqrt(spread), size=200_000, random_state=0)
    assert nakagami(drawn) == pytest.approx((shape, spread), rel=0.03)


def test_fully_developed_speckle_has_m_of_one_and_compounding_raises_it() -> None:
    rng = np.random.default_rng(1)
    looks = np.hypot(*rng.normal(size=(2, 6, 50_000)))
    assert nakagami(looks[0])[0] == pytest.approx(1, abs=0.03)
    assert nakagami(looks.mean(axis=0))[0] > 4


def test_an_envelope_that_does_not_vary_has_no_finite_m() -> None:
    assert nakagami(np.full(200, 0.5)) == (np.inf, 0.25)


def test_log_compression_is_undone() -> None:
    envelope = np.array([1.0, 0.1, 0.01])
    grey = 255 * (1 + 20 * np.log10(envelope) / 60)
    np.testing.assert_allclose(envelope_of(grey, 60), envelope)


def test_what_is_no_envelope_is_refused() -> None:
    with pytest.raises(ValueError, match="3 samples from 0; expected 100 or more of an envelope"):
        nakagami([0.0, 1.0, np.nan, 2.0])
    with pytest.raises(ValueError, match="200 samples from -1"):
        nakagami(np.full(200, -1.0))
