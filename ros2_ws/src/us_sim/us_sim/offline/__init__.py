"""Rendering without ROS: replay of trajectories, contact sheets, films and datasets (`us_sim_render`)."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
