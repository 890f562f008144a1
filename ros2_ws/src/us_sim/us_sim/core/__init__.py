"""CT, probe, slice, contact and image formation in millimetres; never imports ROS."""
