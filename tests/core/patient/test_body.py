"""The body mask and its skin on bodies built by hand: a cylinder on a table, with lungs, gas and clothes."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from scipy import ndimage

from us_sim.core.patient.body import body_mask
from us_sim.core.patient.grid import ball, coarsen, grow, refine

RADIUS = 60.0  # mm
SPACINGS = [(1.5, 1.5, 1.5), (3.0, 3.0, 3.0), (0.9, 1.1, 4.0)]


def on_table(spacing: Any) -> tuple[Any, Any, Any]:
    """A body along z on a hollow table: HU (I, J, K), affine, true body. Its bottom touches nothing: a 4 mm gap."""
    shape = (int(160 / spacing[0]), int(160 / spacing[1]), int(60 / spacing[2]))
    ct_from_voxel = np.diag([*spacing, 1.0])
    ct_from_voxel[:3, 3] = -80, -80, 0
    x, y, _ = (np.indices(shape) * np.reshape(spacing, (3, 1, 1, 1))) + np.reshape([-80, -80, 0], (3, 1, 1, 1))
    body = x**2 + y**2 < RADIUS**2
    hu = np.full(shape, -1000)
    hu[(y < -65) & (y > -79)] = -900  # foam
    hu[((y < -64) & (y > -67)) | (y < -77)] = 150  # shell of the table
    hu[body] = -90
    hu[(x**2 + y**2 < 50**2)] = 40
    hu[((x - 25) ** 2 + y**2) < 15**2] = -800  # lung
    hu[((x + 25) ** 2 + y**2) < 10**2] = -1000  # bowel gas
    hu[(np.abs(x - 40) < 20) & (y > 66) & (y < 69)] = -300  # blanket
    noise = np.random.default_rng(0).normal(0, 15, shape)
    return (hu + noise).astype(np.int16), ct_from_voxel, body


@pytest.mark.parametrize("spacing", SPACINGS)
def test_body_without_table_and_blanket_with_its_lungs_and_gas(spacing: Any) -> None:
    hu, ct_from_voxel, body = on_table(spacing)
    found = body_mask(hu, ct_from_voxel)
    assert found.dtype == bool
    np.testing.assert_array_equal(found, body)


@pytest.mark.parametrize("spacing", SPACINGS)
def test_any_axis_order_and_direction(spacing: Any) -> None:
    """The same patient with permuted and flipped axes gives the same body."""
    hu, ct_from_voxel, body = on_table(spacing)
    permuted = np.ascontiguousarray(np.transpose(hu, (2, 0, 1))[::-1])
    order = np.zeros((4, 4))
    order[[0, 1, 2, 3], [1, 2, 0, 3]] = 1  # old voxel from new: i = j', j = k', k = last - i'
    order[2] = [-1, 0, 0, hu.shape[2] - 1]
    found = body_mask(permuted, ct_from_voxel @ order)
    np.testing.assert_array_equal(found, np.transpose(body, (2, 0, 1))[::-1])


def test_table_that_touches_the_body_stays_out() -> None:
    hu, ct_from_voxel, body = on_table((1.5, 1.5, 1.5))
    y = np.arange(hu.shape[1]) * 1.5 - 80
    hu[:, (y > -66) & (y < -58)] = np.maximum(hu[:, (y > -66) & (y < -58)], 100)  # a pad up to the back
    extra = body_mask(hu, ct_from_voxel) & ~body
    assert extra.sum() < 0.03 * body.sum()
    assert not extra[:, y < -70].any()


def test_lung_cut_by_the_first_slice_is_inside() -> None:
    hu, ct_from_voxel, body = on_table((3.0, 3.0, 3.0))
    assert body_mask(hu[:, :, :2], ct_from_voxel).sum() == body[:, :, :2].sum()


def test_air_alone_has_no_body() -> None:
    assert not body_mask(np.full((10, 10, 10), -1000, np.int16), np.diag([3.0, 3, 3, 1])).any()


def test_small_body_survives_the_opening() -> None:
    hu = np.full((20, 20, 20), -1000, np.int16)
    hu[8:11, 8:11, 8:11] = 40
    np.testing.assert_array_equal(body_mask(hu, np.diag([3.0, 3, 3, 1])), hu == 40)


def test_grow_is_a_dilation_with_a_ball() -> None:
    """Against SciPy's distance transform, sheared grid included."""
    rng = np.random.default_rng(1)
    mask = ndimage.binary_dilation(rng.random((30, 25, 20)) > 0.999, iterations=2)
    mask[0, 3, 4] = True
    np.testing.assert_array_equal(
        grow(mask, np.diag([1.0, 2.0, 1.5, 1]), 3.2),
        ndimage.distance_transform_edt(~mask, sampling=(1.0, 2.0, 1.5)) <= 3.2,
    )
    sheared = np.array([[1.0, 0, 0.5, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    lengths = np.linalg.norm(ball(sheared, 2.0) @ sheared[:3, :3].T, axis=1)
    assert lengths.max() <= 2.0
    assert [-1, 0, 2] in ball(sheared, 2.0).tolist()  # lies at (0, 0, 2)


def test_blocks_are_means_and_come_back() -> None:
    values = np.random.default_rng(2).integers(-1000, 1000, (7, 6, 5)).astype(np.int16)
    blocks = coarsen(values, (3, 2, 4))
    assert blocks.shape == (3, 3, 2)
    np.testing.assert_allclose(blocks[0, 1, 0], values[:3, 2:4, :4].mean(), rtol=1e-6)
    np.testing.assert_allclose(blocks[2, 2, 1], values[6:, 4:, 4:].mean(), rtol=1e-6)
    back = refine(blocks > 0, (3, 2, 4), values.shape)
    assert back.shape == values.shape
    assert back[6, 5, 4] == (blocks[2, 2, 1] > 0)


def test_real_patient_on_a_table(shared_data: Path) -> None:
    """The labels, made by another program, lie inside; the table below the back and the air lie outside."""
    image = nibabel.load(shared_data / "ct_abdomen" / "ct.nii.gz")
    labels = np.asarray(nibabel.load(shared_data / "ct_abdomen" / "labels.nii.gz").dataobj) > 0
    body = body_mask(np.asarray(image.dataobj).astype(np.int16), image.affine)
    assert (labels & body).sum() > 0.999 * labels.sum()
    back = np.argmax(body.any(axis=(0, 2)))  # first voxel row, from posterior, with body
    assert 3 <= back <= 10
    assert ndimage.label(body, np.ones((3, 3, 3)))[1] == 1
    litres = body.sum() * 27e-6
    assert 18 < litres < 28


def test_large_volume_within_seconds() -> None:
    """512 × 512 × 300 voxels; the target is a few seconds on 2 cores, the bound leaves room for busy machines."""
    hu, ct_from_voxel, _ = on_table((3.0, 3.0, 3.0))
    hu = np.repeat(np.repeat(hu, 10, 0)[:512], 10, 1)[:, :512]
    hu = np.ascontiguousarray(np.repeat(hu, 15, 2))
    assert hu.shape == (512, 512, 300)
    start = time.process_time()
    body_mask(hu, ct_from_voxel @ np.diag([0.25, 0.25, 0.3, 1]))
    assert time.process_time() - start < 10
