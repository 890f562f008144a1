# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""A window on the screen that shows pictures as they come."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

SIDE = 512  # pixels of the window


class Window:
    """Opens with its first picture."""

    def __init__(self) -> None:
        self._screen: Any = None

    def show(self, picture: NDArray[np.uint8]) -> None:
        """Show an (H, W, 3) RGB picture, enlarged."""
        import pygame  # wanted for this alone

        if self._screen is None:
            pygame.display.init()
            self._screen = pygame.display.set_mode((SIDE, SIDE))
            pygame.display.set_caption("us_sim")
        pygame.event.pump()
        surface = pygame.surfarray.make_surface(picture.swapaxes(0, 1))
        self._screen.blit(pygame.transform.scale(surface, (SIDE, SIDE)), (0, 0))
        pygame.display.flip()

    def close(self) -> None:
        """Close it."""
        if self._screen is not None:
            import pygame

            pygame.display.quit()
            self._screen = None
