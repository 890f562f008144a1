"""Learning on the simulator: Gymnasium environments whose probe moves along the skin under the controllers' law.

`import us_sim.gym` registers `UsSim/Reach-v0`, `UsSim/StandardPlane-v0` and `UsSim/Scan-v0`. Core only, no ROS.
"""

import lazy_loader

from us_sim.gym.registration import register

register()

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
