"""CT, probe, slice, contact and image formation in millimetres; never imports ROS."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
