# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""~/list_patients: which scans `~/load_patient` may load."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.node import Node
from us_sim_msgs.srv import ListPatients

from us_sim.core.config import SimConfig
from us_sim.ros import parameters
from us_sim.ros.folders import listed_folders
from us_sim.ros.log import Log
from us_sim.ros.parameters import RosConfig
from us_sim.ros.worker import in_worker

if TYPE_CHECKING:
    from us_sim.core.patient.listing import Listed


class PatientList:
    """The service of one node; folders are read beside the executor."""

    def __init__(self, node: Node, log: Log) -> None:
        self._node, self._log = node, log
        group = MutuallyExclusiveCallbackGroup()
        node.create_service(ListPatients, "~/list_patients", self.answer, callback_group=group)

    async def answer(self, request: ListPatients.Request, response: ListPatients.Response) -> ListPatients.Response:
        """List the scans; the names alone are read."""
        try:
            data_folders = parameters.read(self._node, RosConfig).data_folders
            folders = listed_folders(data_folders, parameters.read(self._node, SimConfig))
            found, cut = await in_worker(self._node.executor, _scans_below, folders)
            response.cts = [str(one.ct) for one in found]
            response.labels = [str(one.labels or "") for one in found]
            response.success, response.message = True, _remark(folders, len(found), cut)
        except Exception as error:
            response.message = self._log.failed("list_patients", error)
        return response


def _scans_below(folders: list[Path]) -> tuple[list[Listed], bool]:
    from us_sim.core.patient.listing import scans_below  # with readers of all formats, half a second of a start

    return scans_below(folders)


def _remark(folders: list[Path], count: int, cut: bool) -> str:
    """Return what a reader of the list should know; often nothing."""
    listed = ", ".join(map(str, folders))
    if not folders:
        return "no folder is listed; start the simulator with data_folders:=/path/of/scans"
    if cut:
        return f"the list ends after {count} scans: {listed} hold too many files; name fewer in data_folders"
    return "" if count else f"no CT scans in {listed}; expected .nii.gz, .nrrd, .mha or folders of DICOM series"
