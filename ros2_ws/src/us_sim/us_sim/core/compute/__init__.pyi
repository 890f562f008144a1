from .device import choose_device as choose_device
from .device import failures_of as failures_of
from .device import on_host as on_host
from .kernels import kernel as kernel
from .lattice import Lattice as Lattice
from .lattice import blended as blended
