"""CT, probe, slice, contact and image formation in millimetres; never imports ROS."""

import os

# Two OpenMP pools live here, torch's and numba's. Waiting threads that spin take the cores from one another and
# from other processes: with both cores busy a frame took 385 ms spinning and 62 ms sleeping.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
