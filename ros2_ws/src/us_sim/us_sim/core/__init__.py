"""CT, probe, slice, contact and image formation in millimetres; never imports ROS."""

import sys

import lazy_loader

# OpenVINO and NNCF tell their maker when they are imported and used; without this module both take a stub.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
