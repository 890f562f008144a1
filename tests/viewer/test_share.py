"""Links to a pose and settings."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("rclpy")

from us_sim.core.errors import PoseError
from us_sim.core.geometry.transforms import rigid, rotation_from_vector
from us_sim.viewer.share import Seen, understood, written


def test_what_is_written_is_understood() -> None:
    pose = rigid(rotation_from_vector((0.3, -0.2, 1.0)), (12.0, -34.5, 150.25))
    seen = understood(written(Seen(pose, {"gain": -6.5, "tgc_3": 4.0, "renderer": "physics", "rows": 512})))
    assert seen.values == {"gain": -6.5, "tgc_3": 4.0, "renderer": "physics", "rows": 512.0}
    assert seen.ct_from_probe is not None
    np.testing.assert_allclose(seen.ct_from_probe, pose, atol=0.02)
    assert understood("depth=120") == Seen(None, {"depth": 120.0})


@pytest.mark.parametrize(
    ("link", "reason"),
    [
        ("pose=1,2,3", "3 numbers; expected x,y,z,qx,qy,qz,qw"),
        ("pose=0,0,0,0,0,0,0", "has length 0; expected 1"),
        ("pose=nan,0,0,0,0,0,1", "NaN or Inf"),
        ("gain=loud", "could not convert string to float: 'loud'"),
        ("gain=inf", "gain is inf; expected a number"),
        ("seed=3", "names 'seed'; expected some of pose, renderer, depth"),
        ("nothing", "bad query field"),
    ],
)
def test_other_links_are_refused(link: str, reason: str) -> None:
    with pytest.raises((PoseError, ValueError), match=reason):
        understood(link)
