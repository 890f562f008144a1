"""A simulated ultrasound probe: the pose of a probe in, the B-mode frame of a patient made from CT out.

The names here are what most programs need; each is imported when it is first used. `us_sim.core` computes and knows
no ROS, `us_sim.ros` holds the node.
"""

import os

import lazy_loader

# Two OpenMP pools live here, torch's and numba's, and both read this once, when torch is imported. Threads that
# spin while they wait take the cores from one another and from other processes: with both of two cores busy,
# frames of 20 ms took up to 1 s spinning and stayed under 60 ms sleeping.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# OpenBLAS has threads of its own, and they always spin: the small equations of the confidence map woke them for each
# frame, and a stream of 30 frames a second fell to 3. One thread solves them in 5 ms.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

__version__ = "0.2.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
__all__ += ["__version__"]
