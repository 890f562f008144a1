"""Sampling of a deformed or breathing patient: points are mapped to the undeformed CT before they are sampled."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from us_sim.core.geometry.transforms import Matrix
from us_sim.core.sampling.anatomy import Anatomy, joined
from us_sim.core.sampling.reslice import Beam
from us_sim.core.sampling.sampler import Sampler, Slice

Source = Callable[[Tensor], Tensor]  # (..., 3) mm in `probe` to where the tissue there lay in the CT


class MovedSampler:
    """Samples through a displacement for each pose of a batch; None stands for a patient at rest.

    HU, classes, acoustic properties, scatterers and the skin's distance all go through the same displacement.
    """

    def __init__(self, sampler: Sampler, sources: Sequence[Source | None]) -> None:
        self._sampler, self._sources = sampler, sources
        self.device = sampler.device

    def slice(self, points: Tensor, ct_from_probe: Matrix, beam: Beam) -> Slice:
        """Return HU and classes, (B, ...), as `Sampler.slice`."""
        parts = [self._sampler.slice(moved, pose, beam) for moved, pose in self._each(points, ct_from_probe)]
        hu, tissue = map(_joined, zip(*parts, strict=True))
        return hu, tissue

    def classes(self, points: Tensor, ct_from_probe: Matrix) -> Tensor:
        """Return classes, (B, ...), as `Sampler.classes`."""
        return _joined([self._sampler.classes(moved, pose) for moved, pose in self._each(points, ct_from_probe)])

    def anatomy(self, points: Tensor, ct_from_probe: Matrix, beam: Beam) -> Anatomy:
        """Return what lies along scan lines, (B, L, S), as `Sampler.anatomy`."""
        return joined([self._sampler.anatomy(moved, pose, beam) for moved, pose in self._each(points, ct_from_probe)])

    def _each(self, points: Tensor, ct_from_probe: Matrix) -> Iterator[tuple[Tensor, Matrix]]:
        """Yield where the tissue at the points lay, and the pose, (1, 4, 4), of each frame."""
        for source, pose in zip(self._sources, ct_from_probe, strict=True):
            yield points if source is None else source(points), pose[None]


def _joined(parts: Sequence[Tensor]) -> Tensor:
    """Concatenate; a single frame is not copied."""
    return parts[0] if len(parts) == 1 else torch.cat(tuple(parts))
