# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""The fan in frames of a scanner: lives in the simulator, which fits scanners too."""

from us_sim.core.geometry.fans import LIVER_SWEEP as LIVER_SWEEP
from us_sim.core.geometry.fans import FanGeometry as FanGeometry
from us_sim.core.geometry.fans import Resampler as Resampler
from us_sim.core.geometry.fans import fan_beside as fan_beside
from us_sim.core.geometry.fans import fan_in_frame as fan_in_frame
from us_sim.core.geometry.fans import read_fan as read_fan
