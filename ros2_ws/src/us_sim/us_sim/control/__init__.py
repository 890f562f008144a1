"""Demo controllers: clients of the simulator, like a robot's controller. Starting points, not medical devices."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
