# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""A simulated ultrasound probe: the pose of a probe in, the B-mode frame of a patient made from CT out.

The names here are what most programs need; each is imported when it is first used. `us_sim.core` computes and knows
no ROS, `us_sim.ros` holds the node.
"""

import lazy_loader

from us_sim.core.compute.process import settle

settle()  # before anything imports torch; see there for what it changes and how to switch it off

__version__ = "0.2.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
__all__ += ["__version__"]
