"""What rviz lets through to the eye: the camera of a layout, and the surfaces between it and a point."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]
Surface = tuple[Points, float]  # (N, 3, 3) m, and alpha: rviz draws both sides, and hides nothing behind see-through
FIELD_OF_VIEW = math.pi / 4  # of Ogre's cameras, vertical


@dataclass(frozen=True)
class Camera:
    """`rviz_default_plugins/Orbit` as orbit_view_controller.cpp places it, with `up` along z of the fixed frame."""

    place: Points
    right: Points
    up: Points
    ahead: Points
    aspect: float

    @classmethod
    def of(cls, view: dict[str, Any], aspect: float) -> Camera:
        focus = np.array([view["Focal Point"][axis] for axis in "XYZ"], dtype=float)
        yaw, pitch = view["Yaw"], view["Pitch"]
        back = np.array([math.cos(yaw) * math.cos(pitch), math.sin(yaw) * math.cos(pitch), math.sin(pitch)])
        right = np.cross([0.0, 0.0, 1.0], back)
        right /= np.linalg.norm(right)
        return cls(focus + view["Distance"] * back, right, np.cross(back, right), -back, aspect)

    def on_screen(self, points: Points) -> Points:
        """(..., 2) within -1 and 1 where a point is inside the window."""
        way = points - self.place
        depth = way @ self.ahead
        half = math.tan(0.5 * FIELD_OF_VIEW)
        return np.stack([way @ self.right / depth / half / self.aspect, way @ self.up / depth / half], axis=-1)


def light(points: Points, camera: Camera, surfaces: list[Surface]) -> Points:
    """(N,) share of each point's own light that reaches the camera (Möller and Trumbore 1997); 0 outside the window."""
    triangles = np.concatenate([triangles for triangles, _ in surfaces])
    clear = np.concatenate([np.full(len(triangles), 1.0 - alpha) for triangles, alpha in surfaces])
    corners, places = camera.on_screen(triangles), camera.on_screen(points)
    low, high = corners.min(axis=1), corners.max(axis=1)
    left = np.zeros(len(points))
    for number, (point, place) in enumerate(zip(points, places, strict=True)):
        ray = point - camera.place
        if (np.abs(place) <= 1).all() and ray @ camera.ahead > 0:
            near = ((low <= place) & (place <= high)).all(axis=1)
            left[number] = clear[near][_crossed(camera.place, ray, triangles[near])].prod()
    return left


def _crossed(start: Points, ray: Points, triangles: Points) -> NDArray[np.bool_]:
    """(N,) whether each triangle lies across the way."""
    one, two = triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0]
    normal, begin = np.cross(ray, two), start - triangles[:, 0]
    across = np.cross(begin, one)
    with np.errstate(divide="ignore", invalid="ignore"):
        scale = 1.0 / (one * normal).sum(axis=1)
        u, v = (begin * normal).sum(axis=1) * scale, across @ ray * scale
        t = (two * across).sum(axis=1) * scale
        return (u >= 0) & (v >= 0) & (u + v <= 1) & (t > 0) & (t < 1 - 1e-6)
