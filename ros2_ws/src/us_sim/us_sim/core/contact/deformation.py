# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Tissue deformation under probe pressure: a smooth displacement of everything that is sampled.

A point x of the deformed patient shows the tissue that lay at X = x − u(x). In the image plane the displacement is
the curl of a stream function, so that tissue keeps its volume whatever the shapes:

    ψ(x, z) = G(x) f(ζ),   u_z = ∂ψ/∂x,   u_x = −∂ψ/∂z,   G' = g,   f(ζ) = 1 − ζ³ (4 − 3ζ)

ζ runs from 0 at the deformed skin to 1 at the bone, z = top(x) + ζ h(x); f' vanishes at both, so that the skin sticks
to the face (u_z = g, u_x = 0) and bone stays (u = 0). With a flat top and constant h these are the plain
u_z = g f and u_x = −f' ∫g / h. The profile g is the penetration where the face presses, falls off beside the face over
SHOULDER, and takes the same area out again as a wide, shallow bulge: nothing moves far away.

The edges of a face do not show deep down: what is sharp in the profile fades with depth (Saint-Venant's principle). So
the field is the sum of two: one of the profile evened out over EVENED, down to the bone, and one of what is left over,
with h' in place of h, 1/h' = 1/h + 1/NEAR, and f(ζ) = (1 − ζ)³ (1 + 3ζ), whose end in the midst of tissue has no kink.
ζ of the former is 0 at the even profile, some mm beside the skin: there f' and f" are next to nothing, and it sticks.

Thin tissue over ribs cannot let much through: there |G| stays below LEAST_SHEAR h² and the rest of the tissue leaves
across the plane, which maps onto itself: with G' = g̃ ≠ g,

    u_z = g f + G f' ∂ζ/∂x,   u_x = −G f' / h,   u_y = −y (g − g̃) f' / h,   again free of divergence.

Across the plane the field holds through the width of the face; w(y) u with any w, where u_y = 0, is free of divergence
as well, so that fading beyond the face needs no more terms, and no frame shows it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numba
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from us_sim.core.compute.grids import by_axis
from us_sim.core.compute.kernels import kernel, kernel_of_poses, serial
from us_sim.core.contact import contact, force, indentation
from us_sim.core.contact.indentation import LATERAL_MARGIN, Indentation
from us_sim.core.geometry.probe import ProbeGeometry, ProbeKind

NEVER = np.float32(1e-6)  # 1/mm: where a table moves nothing, it has no depth at which that fades
BLOCK = 256  # points that one thread moves through one table before it looks for more
NODES = 257  # of the profile, about 1 mm apart
COLUMNS = 14  # of the table
SHOULDER = 25.0  # mm beside a pressed-in edge over which the skin comes up again
MOST = 0.4  # of the thickness over the bone that is pressed in; what is more shows in the force alone
AROUND_BONE = 12.0  # mm to either side of bone that stay with it
MARGIN = 2.0  # mm above bone, as it is looked for in steps
LEAST_THICKNESS = 2.0  # mm
EVENED, NEAR = 28.0, 45.0  # mm to either side that even out the profile, and of depth over which the rest fades
LEAST_SHEAR = 0.125  # of h² that may flow through: a shear of at most 0.75
NARROW = 20.0  # mm to either side in which the thinnest place decides how much flows

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Displacement:
    """The field of one indentation, as a table over x.

    Attributes:
        left, step: x of the first node and their distance, mm.
        table: (NODES, COLUMNS) float32: top, its slope, 1/h, slope of h over h, g, G and g − g̃ of the even profile,
            then of what is left over. In between it is linear.
    """

    left: float
    step: float
    table: NDArray[np.float32]

    def source(self, points: Tensor) -> Tensor:
        """Return where the tissue at (..., 3) float32 points lay before it was pressed, mm in `probe`."""
        return sources((self.left, self.step), torch.from_numpy(self.table)[None].to(points.device), points)[0]


def tables_of(fields: Sequence[Displacement | None]) -> NDArray[np.float32] | None:
    """Return the (B, NODES, COLUMNS) tables of a probe's displacements, that of None moving nothing; None if all do."""
    if all(field is None for field in fields):
        return None
    still = np.zeros((NODES, COLUMNS), np.float32)  # displaces nothing, to the last bit
    return np.stack([still if field is None else field.table for field in fields])


def nodes_of(probe: ProbeGeometry) -> tuple[float, float]:
    """Return x of the first node of a probe's displacements, and the distance of nodes, mm."""
    x = _profile(probe)[0]
    return float(x[0]), float(x[1] - x[0])


def sources(nodes: tuple[float, float], tables: Tensor, points: Tensor) -> Tensor:
    """Return where the tissue at points lay before it was pressed, (B, ..., 3) mm in `probe`.

    Args:
        nodes: from `nodes_of`.
        tables: (B, NODES, COLUMNS) from `tables_of`, on the device of the points.
        points: (..., 3) float32 mm.
    """
    if points.device.type != "cpu":
        return move(*nodes, tables, points)
    assert tables.shape[1:] == (NODES, COLUMNS), f"tables of shape {tuple(tables.shape)}"  # loops do not check
    out = torch.empty(len(tables), 3, *points.shape[:-1])
    flat, moved, table = by_axis(points.numpy())[0], out.numpy().reshape(len(tables), 3, -1), tables.numpy()
    _move_even(*nodes, table, flat, moved)
    faded = (table[..., 7] + 1 / np.maximum(table[..., 9], NEVER)).max(axis=1)  # z from which on no rest remains
    nearest = np.minimum.reduceat(flat[2], np.arange(0, flat.shape[1], BLOCK))
    _move_rest(*nodes, table, flat, nearest, faded, moved)
    return out.movedim(1, -1)


def displacement(state: Indentation, probe: ProbeGeometry) -> Displacement | None:
    """Return the field of an indentation of `face_of(probe)`; None where nothing is pressed in."""
    return displacements([state], probe)[0]


def displacements(states: Sequence[Indentation], probe: ProbeGeometry) -> list[Displacement | None]:
    """Return the field of each of some indentations of one face, the same as alone to the bit."""
    left, step = nodes_of(probe)
    plane = states[0].face.plane
    starts = states[0].face.points[plane]
    skin, bone, pressed = (
        np.stack([getattr(state, name)[plane] for state in states]) for name in ("skin", "bone", "penetration")
    )
    tables, moves = np.empty((len(states), NODES, COLUMNS), np.float32), np.empty(len(states), bool)
    columns, top = np.ascontiguousarray(starts[:, 0]), starts[:, 2]
    _tables(*_profile(probe), columns, top + skin, top + bone, pressed, tables, moves)
    return [Displacement(left, step, table) if moved else None for table, moved in zip(tables, moves, strict=True)]


@lru_cache(maxsize=8)
def _profile(probe: ProbeGeometry) -> tuple[Array, Array, Array]:
    """Nodes x, the face's z there (its edge's beside it), and how far a node lies outside the face, (NODES,) mm."""
    convex = probe.kind is ProbeKind.CONVEX
    half = probe.apex * math.sin(0.5 * probe.field_of_view) if convex else 0.5 * probe.aperture
    x = np.linspace(-half - LATERAL_MARGIN, half + LATERAL_MARGIN, NODES)
    inner = np.clip(x, -half, half)
    face = np.sqrt(probe.apex**2 - inner**2) - probe.apex if convex else np.zeros(NODES)
    return x, face, np.abs(x) - np.abs(inner)


@kernel_of_poses
def _tables(x, face, outside, columns, skin, bone, penetration, tables, moves):  # type: ignore[no-untyped-def]
    for n in numba.prange(len(moves)):
        given = columns, skin[n], bone[n], penetration[n]
        moves[n] = penetration[n].any() and _into(tables[n], x, face, outside, *given)


@numba.njit
def _into(table, x, face, outside, columns, skin_at, bone_at, penetration):  # type: ignore[no-untyped-def]
    """Write `Displacement.table` from skin, bone and penetration at columns of tissue; say whether anything moves."""
    step = x[1] - x[0]
    skin = _rising(np.interp(x, columns, skin_at), x)
    bone = _lowest(np.interp(x, columns, bone_at), AROUND_BONE, step) - MARGIN
    inward = np.interp(x, columns, (penetration > 0).astype(np.float64)) > 0
    pressed = np.where(inward & (outside == 0), np.maximum(face - skin, 0.0), 0.0)
    pressed += _shoulders(pressed, x, outside, step)
    free = np.maximum(bone - skin, 0.0)
    pressed = np.minimum(pressed, MOST * free / (1 + MOST))  # MOST of what is left over
    bulge = free * np.sin(np.pi * np.minimum(outside / LATERAL_MARGIN, 1.0)) ** 2
    passing = LEAST_SHEAR * _lowest(free, NARROW, step) ** 2
    area = _integral(pressed, step)[-1]
    if area <= 0 or not bulge.any():
        return False
    share = min(1.0, 2 * passing[pressed > 0].min() / area)  # of the tissue that stays in the plane
    bulge *= share * area / _integral(bulge, step)[-1]
    even = _evened(pressed, round(0.5 * EVENED / step))
    top = skin + even - bulge
    thickness = np.maximum(bone - top, LEAST_THICKNESS)
    _part_into(table[:, :7], top, thickness, even - bulge, share * even - bulge, passing, step)
    left_over, top = pressed - even, skin + pressed - bulge
    thickness = 1 / (1 / np.maximum(bone - top, LEAST_THICKNESS) + 1 / NEAR)
    passing = LEAST_SHEAR / (1 / np.maximum(_lowest(free, NARROW, step), LEAST_THICKNESS) + 1 / NEAR) ** 2
    _part_into(table[:, 7:], top, thickness, left_over, share * left_over, passing, step)
    return True


@numba.njit
def _part_into(table, top, thickness, g, in_plane, passing, step):  # type: ignore[no-untyped-def]
    """Write the columns of one part; `in_plane` of its profile is to stay in the plane, as far as it may pass."""
    flow = np.minimum(np.maximum(_integral(in_plane, step), -passing), passing)
    table[:, 0], table[:, 1], table[:, 2] = top, _slope(top, step), 1 / thickness
    table[:, 3] = _slope(thickness, step) / thickness
    table[:, 4], table[:, 5], table[:, 6] = g, flow, g - _slope(flow, step)


@serial
def _shoulders(pressed, x, outside, step):  # type: ignore[no-untyped-def]
    """Penetration beside the face: the skin leaves it along its slope, and comes up to 0 over at most SHOULDER.

    A cubic of the distance t from the edge, which falls all the way as long as the slope at 0 is at most 3.
    """
    on_face = np.flatnonzero(outside == 0)
    first, last = on_face[0], on_face[-1]
    edge = np.where(x < 0, pressed[first], pressed[last])
    falls = max(pressed[first + 1] - pressed[first], 0.0), max(pressed[last - 1] - pressed[last], 0.0)
    fall = np.where(x < 0, falls[0], falls[1]) / step
    width = np.minimum(SHOULDER, 3 * edge / np.maximum(fall, 1e-9))
    t = np.minimum(outside / np.maximum(width, 1e-9), 1.0)
    return (1 - t) ** 2 * (edge * (1 + 2 * t) - fall * width * t) * (outside > 0)


@serial
def _rising(skin, x):  # type: ignore[no-untyped-def]
    """The skin where it falls off by less than 45°; beside steeper flanks, a line through the air outside."""
    risen = skin.copy()
    for n in range(1, len(x)):
        risen[n] = min(risen[n], risen[n - 1] + x[n] - x[n - 1])
    for n in range(len(x) - 2, -1, -1):
        risen[n] = min(risen[n], risen[n + 1] + x[n + 1] - x[n])
    return risen


@serial
def _lowest(values, around, step):  # type: ignore[no-untyped-def]
    """A smooth line that nowhere lies above the values: the least within `around` mm, evened out."""
    nodes, size, lowest = round(0.5 * around / step), len(values), values.copy()
    for _ in range(2 * nodes):  # the least of neighbours, again and again: by vectors, as the sums below
        before = lowest.copy()
        for n in range(1, size):
            lowest[n] = min(lowest[n], before[n - 1])
        for n in range(size - 1):
            lowest[n] = min(lowest[n], before[n + 1])
    return _evened(lowest, nodes)


@serial
def _evened(values, nodes):  # type: ignore[no-untyped-def]
    """Mean of (N,) values over some nodes to either side, twice; the ends go on beyond themselves."""
    size, even = len(values), values.copy()
    longer = np.empty(size + 2 * nodes)
    for _ in range(2):
        longer[:nodes], longer[nodes : nodes + size], longer[nodes + size :] = even[0], even, even[-1]
        even = np.zeros(size)
        for first in range(2 * nodes + 1):
            even += longer[first : first + size]
        even /= 2 * nodes + 1
    return even


@serial
def _integral(values, step):  # type: ignore[no-untyped-def]
    """Running integral, (N,), from the first node, by trapezoids."""
    total = np.zeros(len(values))
    total[1:] = np.cumsum(0.5 * step * (values[1:] + values[:-1]))
    return total


@serial
def _slope(values, step):  # type: ignore[no-untyped-def]
    """Derivative, (N,), by central differences, one-sided at the ends."""
    slope = np.empty_like(values)
    slope[1:-1] = (values[2:] - values[:-2]) / (2 * step)
    slope[0], slope[-1] = (values[1] - values[0]) / step, (values[-1] - values[-2]) / step
    return slope


def ready() -> None:
    """Compile the loops that a first touch would wait for."""
    points, nodes, still = np.zeros((3, 1), np.float32), np.linspace(-200, 200, NODES), np.zeros((1, 2))
    tables = np.zeros((1, NODES, COLUMNS), np.float32)
    sources((0.0, 1.0), torch.from_numpy(tables), torch.from_numpy(points.T))
    _tables(nodes, nodes, nodes, still[0], still, still, still, tables, np.zeros(1, bool))
    for module in (contact, force, indentation):
        module.ready()


# -- applied to points: compiled on the CPU, tensors elsewhere ------------------------------------------------


@numba.njit(inline="always")
def _around(x, first, scale, last):  # type: ignore[no-untyped-def]
    """The nodes to the left and right of a place, and their shares."""
    place = (x - first) * scale
    place = min(place if place > np.float32(0) else np.float32(0), last)  # 0 for NaN, whose index would lie anywhere
    node = np.int32(place)
    w = place - np.float32(node)
    i = np.uintp(np.uint32(node))
    return i, i + np.uintp(1), np.float32(1) - w, w


@kernel
def _move_even(leftmost, step, tables, points, out):  # type: ignore[no-untyped-def]
    """Where points lay before the field of the even profile moved them."""
    last, scale = np.float32(tables.shape[1] - 1.001), np.float32(1 / step)
    first, zero, one = np.float32(leftmost), np.float32(0), np.float32(1)
    three, four, twelve = np.float32(3), np.float32(4), np.float32(12)
    size = points.shape[1]
    blocks = (size + BLOCK - 1) // BLOCK
    # What forbids vectors here and below: a view of the table, an index with a sign, a branch.
    for r in numba.prange(len(tables) * blocks):
        b, start = r // blocks, r % blocks * BLOCK
        for p in range(np.uintp(start), np.uintp(min(start + BLOCK, size))):
            x, z = points[0, p], points[2, p]
            i, j, v, w = _around(x, first, scale, last)
            below = z - (v * tables[b, i, 0] + w * tables[b, j, 0])
            lean = v * tables[b, i, 1] + w * tables[b, j, 1]
            thinness = v * tables[b, i, 2] + w * tables[b, j, 2]
            lean += below * (v * tables[b, i, 3] + w * tables[b, j, 3])
            zeta = min(max(below * thinness, zero), one)
            slope = twelve * zeta * zeta * (one - zeta) * thinness
            aside = slope * (v * tables[b, i, 5] + w * tables[b, j, 5])
            across = slope * (v * tables[b, i, 6] + w * tables[b, j, 6])
            fall = one - zeta * zeta * zeta * (four - three * zeta)
            down = fall * (v * tables[b, i, 4] + w * tables[b, j, 4]) + aside * lean
            out[b, 0, p] = x - aside
            out[b, 1, p] = points[1, p] * (one - across)
            out[b, 2, p] = z - down


@kernel
def _move_rest(leftmost, step, tables, points, nearest, faded, out):  # type: ignore[no-untyped-def]
    """Add the field of what is left over, in blocks whose nearest point lies where some of it remains."""
    last, scale = np.float32(tables.shape[1] - 1.001), np.float32(1 / step)
    first, zero, one = np.float32(leftmost), np.float32(0), np.float32(1)
    three, twelve = np.float32(3), np.float32(12)
    size = points.shape[1]
    blocks = (size + BLOCK - 1) // BLOCK
    for r in numba.prange(len(tables) * blocks):
        b, start = r // blocks, r % blocks * BLOCK
        if nearest[r % blocks] >= faded[b]:
            continue
        for p in range(np.uintp(start), np.uintp(min(start + BLOCK, size))):
            z = points[2, p]
            i, j, v, w = _around(points[0, p], first, scale, last)
            below = z - (v * tables[b, i, 7] + w * tables[b, j, 7])
            lean = v * tables[b, i, 8] + w * tables[b, j, 8]
            thinness = v * tables[b, i, 9] + w * tables[b, j, 9]
            lean += below * (v * tables[b, i, 10] + w * tables[b, j, 10])
            zeta = min(max(below * thinness, zero), one)
            left = one - zeta
            slope = twelve * zeta * left * left * thinness
            flowing = slope * (v * tables[b, i, 12] + w * tables[b, j, 12])
            across = slope * (v * tables[b, i, 13] + w * tables[b, j, 13])
            fall = left * left * left * (one + three * zeta)
            down = fall * (v * tables[b, i, 11] + w * tables[b, j, 11]) + flowing * lean
            out[b, 0, p] -= flowing
            out[b, 1, p] -= points[1, p] * across
            out[b, 2, p] -= down


def move(left: float, step: float, tables: Tensor, points: Tensor) -> Tensor:
    """The same on any torch device: (..., 3) points to where they lay before, (B, ..., 3)."""
    x, y, z = points.unbind(-1)
    place = ((x - left) / step).clamp(0, tables.shape[1] - 1.001)
    index = place.long()
    w = (place - index)[..., None]
    columns = ((1 - w) * tables[:, index] + w * tables[:, index + 1]).unflatten(-1, (2, 7))  # of both parts
    top, top_slope, thinness, widening, g, flow, leaving = columns.unbind(-1)
    below = z[..., None] - top
    zeta = (below * thinness).clamp(0, 1)
    q = torch.stack([zeta[..., 0], 1 - zeta[..., 1]], dim=-1)  # f is 1 − q³ (4 − 3q), and q³ (4 − 3q)
    slope = 12 * q * q * (1 - q) * thinness
    bent, aside = g * (q * q * q * (4 - 3 * q)), slope * flow
    down = (aside * (top_slope + below * widening)).sum(dim=-1) + g[..., 0] - bent[..., 0] + bent[..., 1]
    return torch.stack([x - aside.sum(dim=-1), y * (1 - (slope * leaving).sum(dim=-1)), z - down], dim=-1)
