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
