"""The libraries in the benchmark do the same work as ours."""

from __future__ import annotations

import numpy as np
import pytest

from us_sim import bench
from us_sim.core.reslice import reslice


@pytest.mark.parametrize("library", ["scipy", "sitk", "vtk"])
def test_every_library_gives_the_same_slice(library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if library != "scipy":
        pytest.importorskip({"sitk": "SimpleITK", "vtk": "vtkmodules"}[library])
    monkeypatch.setattr(bench, "SHAPE", (64, 60, 50))
    volume, pose = bench.big_volume(), bench.oblique_poses(1)[0]
    pose[:3, 3] = -170, -170, -125  # the middle of the small volume
    hu, tissue = reslice(volume, bench.POINTS, pose)
    theirs = [np.asarray(array).reshape(hu.shape) for array in getattr(bench, f"{library}_slice")(volume)(pose)]
    assert (hu > -1000).sum() > 500, "the plane misses the volume"
    assert (np.abs(theirs[0] - hu) > 1).mean() < 0.002  # SimpleITK and VTK round HU, and treat the border otherwise
    assert (theirs[1] != tissue).mean() < 0.005
