from __future__ import annotations

import torch

from scyclegan_train.data.samples import CtBatch, UsBatch, joined


def us_batch(count: int, grey: float = 0.0) -> UsBatch:
    image = grey + torch.arange(count).float()[:, None, None].expand(-1, 2, 3)
    ones = torch.ones(image.shape, dtype=torch.bool)
    return UsBatch(image, ones.to(torch.uint8), torch.ones(count, dtype=torch.bool), ones, torch.zeros(count).long())


def ct_batch(count: int, physics: bool) -> CtBatch:
    hu = torch.zeros(count, 2, 3)
    return CtBatch(hu, hu.to(torch.uint8), hu > -1, hu > -1, None, hu if physics else None)


def test_a_batch_is_as_long_as_its_first_field() -> None:
    assert len(us_batch(5)) == 5
    assert len(ct_batch(2, physics=False)) == 2


def test_pick_takes_rows_in_the_order_given() -> None:
    picked = us_batch(4).pick([3, 0])
    assert picked.image[:, 0, 0].tolist() == [3, 0]
    assert len(picked.source) == 2


def test_joined_stacks_batches_one_after_the_other() -> None:
    both = joined([us_batch(2), us_batch(3, grey=10)])
    assert both.image[:, 0, 0].tolist() == [0, 1, 10, 11, 12]


def test_a_field_that_one_part_lacks_is_lacking_in_all() -> None:
    both = joined([ct_batch(1, physics=True), ct_batch(1, physics=False)])
    assert both.physics is None
    assert len(both.hu) == 2


def test_to_moves_every_field_and_leaves_none_alone() -> None:
    moved = ct_batch(1, physics=False).to("meta")
    assert moved.hu.device.type == moved.valid.device.type == "meta"
    assert moved.scatter is None


def test_pinning_without_a_gpu_changes_nothing() -> None:
    batch = us_batch(1)
    assert torch.equal(batch.pin().image, batch.image)
