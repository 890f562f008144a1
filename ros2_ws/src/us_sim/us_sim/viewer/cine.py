# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""The cine loop: the frames of the last seconds, to look through and play while the image is frozen."""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from typing import Any

SPAN = 10.0  # s that are kept
MOST = 600  # frames that are kept at most, should they come faster


class Cine:
    """Frames in the order of their stamps; the oldest go. For one thread."""

    def __init__(self) -> None:
        self._frames: deque[tuple[int, Any]] = deque(maxlen=MOST)

    def __len__(self) -> int:
        return len(self._frames)

    def add(self, stamp: int, frame: Any) -> None:
        """Keep a frame with its stamp, ns; one whose stamp lies before the last begins a new loop."""
        frames = self._frames
        if frames and stamp < frames[-1][0]:
            frames.clear()
        if frames and stamp == frames[-1][0]:
            frames.pop()  # the same pose, drawn again
        frames.append((stamp, frame))
        while stamp - frames[0][0] > SPAN * 1e9:
            frames.popleft()

    def clear(self) -> None:
        """Forget all frames."""
        self._frames.clear()

    def frame(self, place: int) -> Any:
        """Return the frame at a place, 0 the oldest; beyond either end, the one at that end."""
        return self._frames[min(max(place, 0), len(self._frames) - 1)][1]

    def frames(self) -> list[Any]:
        """Return all frames, the oldest first."""
        return [frame for _, frame in self._frames]

    def stamped(self) -> list[tuple[int, Any]]:
        """Return all frames with their stamps, ns, the oldest first."""
        return list(self._frames)

    def times(self) -> list[float]:
        """Return the time of each frame after the first, s."""
        return [(stamp - self._frames[0][0]) * 1e-9 for stamp, _ in self._frames]

    def place_at(self, seconds: float) -> int:
        """Return the place of the frame that is shown some seconds after the first, the loop going round."""
        times = self.times()
        length = times[-1] + (times[-1] / (len(times) - 1) if len(times) > 1 else 1.0)  # the last one is shown too
        return bisect_right(times, seconds % length) - 1 if length else 0
