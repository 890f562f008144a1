# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""The node's services. Slow work runs beside the executor; what it makes is put in place as a whole."""

from __future__ import annotations

import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from builtin_interfaces.msg import Time
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.node import Node
from std_msgs.msg import Header
from std_srvs.srv import SetBool, Trigger
from us_sim_msgs.msg import RenderedFrame
from us_sim_msgs.srv import LoadGenerator, LoadPatient, RenderFrame

from us_sim.core import assembly
from us_sim.core.compute.device import with_fall_back
from us_sim.core.config import RENDERERS, SimConfig
from us_sim.core.errors import ConfigError
from us_sim.core.frame import Views
from us_sim.core.generator.shipped import shipped
from us_sim.core.geometry.transforms import Matrix
from us_sim.core.patient.naming.own_map import own_map_of
from us_sim.core.patient_source import open_patient, phantom_seed
from us_sim.core.tissue import TissueClass
from us_sim.ros import parameters
from us_sim.ros.conversions import contact_message, frame_info_message, nanoseconds, point_message, seconds
from us_sim.ros.folders import allowed_folders, check_inside
from us_sim.ros.images import image_message
from us_sim.ros.parameters import RosConfig
from us_sim.ros.poses import RefusedError, StampOrder, locate
from us_sim.ros.scene import Scene
from us_sim.ros.session import Session
from us_sim.ros.worker import in_worker

if TYPE_CHECKING:
    from us_sim.core.frame import Frame
    from us_sim.core.patient.patient import Patient
    from us_sim.core.simulator import Simulator

MAX_POSES = 64  # in one call of ~/render: about 17 MB of answer at 256×256
CHUNK = 8  # poses rendered at once: a long batch leaves room for the live stream
ALL_OUTPUTS = RenderFrame.Request.IMAGE | RenderFrame.Request.CT_SLICE | RenderFrame.Request.LABELS
NOT_CONFIGURED = "the node is not configured; its log says why, or configure it"


class Services:
    """~/load_patient, ~/load_generator, ~/render, ~/freeze and ~/wrench_zero of one node."""

    def __init__(self, node: Node, session: Session) -> None:
        self._node, self._session = node, session
        loading, rendering = MutuallyExclusiveCallbackGroup(), MutuallyExclusiveCallbackGroup()
        node.create_service(LoadPatient, "~/load_patient", self.load_patient, callback_group=loading)
        node.create_service(LoadGenerator, "~/load_generator", self.load_generator, callback_group=loading)
        node.create_service(RenderFrame, "~/render", self.render, callback_group=rendering)
        node.create_service(SetBool, "~/freeze", self.freeze)
        node.create_service(Trigger, "~/wrench_zero", self.wrench_zero)

    # -- replacing patient and generator --------------------------------------------------------------

    async def load_patient(self, request: LoadPatient.Request, response: LoadPatient.Response) -> LoadPatient.Response:
        """Replace the patient; on an error the old one stays."""
        node = self._node
        try:
            config = replace(
                parameters.read(node, SimConfig),
                ct=request.ct,
                labels=request.labels,
                label_scheme=request.label_scheme,
                labels_map="",
            )
            ct = request.ct if phantom_seed(request.ct) is None else ""  # no file
            self._check_readable(ct, request.labels, own_map_of(request.label_scheme))
            folders = allowed_folders(parameters.read(node, RosConfig).data_folders, parameters.read(node, SimConfig))
            patient = await self._session.loads.run(f"patient {request.ct}", self._open_patient, config, folders)
            if patient.origin:
                node.get_logger().info(f"{patient.name}: {patient.origin}")
            await self._replace("patient", patient)
            _describe(patient, response)
            response.success = True
        except Exception as error:
            response.message = self._session.log.failed("load_patient", error)
            if (scene := self._session.scene) is not None:
                response.patient = scene.simulator.patient.name
                response.patient_sha256 = scene.simulator.patient.sha256
        return response

    async def load_generator(
        self, request: LoadGenerator.Request, response: LoadGenerator.Response
    ) -> LoadGenerator.Response:
        """Replace the generator; on an error the old one stays."""
        try:
            device = self._device()
            if request.path not in shipped():
                self._check_readable(request.path)
            generator = await self._session.loads.run(
                f"generator {request.path}", assembly.open_generator, request.path, device
            )
            await self._replace("generator", generator)
            response.success = True
        except Exception as error:
            response.message = self._session.log.failed("load_generator", error)
            scene = self._session.scene
            generator = scene.simulator.generator if scene is not None else None
        if generator is not None:
            response.generator, response.generator_sha256 = generator.name, generator.sha256
            response.card = generator.card.to_json()
            response.device = str(generator.device)
        return response

    def _device(self) -> str:
        """What a generator is loaded for; a node that has given up its GPU stays on the CPU."""
        scene = self._session.scene
        return "cpu" if scene and scene.simulator.device.is_cpu else parameters.read(self._node, SimConfig).device

    def _check_readable(self, *paths: str) -> None:
        config, own = parameters.read(self._node, SimConfig), parameters.read(self._node, RosConfig)
        check_inside(paths, allowed_folders(own.data_folders, config))

    @staticmethod
    def _open_patient(config: SimConfig, folders: list[Path]) -> Patient:
        from us_sim.core.patient.reading import links_below  # with readers of all formats, half a second of a start

        check_inside([*links_below(config.ct), *links_below(config.labels)], folders)
        patient = open_patient(config)
        _ = patient.skin_mesh  # made here, beside the executor: the answer tells its bounds
        return patient

    async def _replace(self, what: str, value: Any) -> None:
        """Put a loaded patient or generator in place: at once, or at the next `configure`."""
        session = self._session
        if session.scene is None:
            session.keep(**{what: value})
            return
        replace = partial(session.scene.simulator.replace, **{what: value})
        new: Simulator = await in_worker(self._node.executor, replace)
        if session.scene is None:  # cleaned up meanwhile
            session.keep(**{what: value})
            return
        session.show(session.adapted(new))  # parameters may have changed meanwhile
        if what == "patient" and session.stream is not None:
            session.stream.repeat()  # nobody may be moving the probe

    # -- frames on demand ----------------------------------------------------------------------------

    def freeze(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        """Freeze the image, or resume."""
        stream = self._session.stream
        if stream is not None:
            stream.freeze(request.data)
        response.success = stream is not None
        response.message = "" if response.success else "the node is not active; there is no image to freeze"
        return response

    def wrench_zero(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        """Take the present wrench as zero, as a force sensor does, until the node is activated anew."""
        stream = self._session.stream
        response.success = stream is not None and stream.zero_wrench()
        if not response.success:
            response.message = "there is no wrench yet; activate the node and send it a pose"
        return response

    async def render(self, request: RenderFrame.Request, response: RenderFrame.Response) -> RenderFrame.Response:
        """Render the poses of a request, apart from the streams; a bad pose spoils only its own frame."""
        arrival, now = time.monotonic(), self._node.get_clock().now().to_msg()
        try:
            job = Job(self._session, request, now)
            response.frames = await in_worker(self._node.executor, job.run, arrival)
            response.probe_info = self._session.probe_info(job.scene)
            bad = [i for i, frame in enumerate(response.frames) if not frame.valid]
            response.success = not bad
            if bad:
                why = response.frames[bad[0]].message
                response.message = (
                    f"{len(bad)} of {len(response.frames)} poses are refused, first poses[{bad[0]}]: {why}"
                )
        except Exception as error:
            response.message = self._session.log.failed("render", error)
        return response


class Job:
    """One request for frames: poses validated at once, in the executor's thread; frames made later, in a worker."""

    def __init__(self, session: Session, request: RenderFrame.Request, now: Time) -> None:
        if session.scene is None:
            raise ConfigError(NOT_CONFIGURED)
        _check(request)
        self.scene, self._config, self._fall_back = session.scene, session.config, session.fall_back
        outputs = request.outputs or ALL_OUTPUTS
        self._views = Views(
            image=bool(outputs & RenderFrame.Request.IMAGE),
            ct_slice=bool(outputs & RenderFrame.Request.CT_SLICE),
            labels=bool(outputs & RenderFrame.Request.LABELS),
            renderer=request.renderer or None,
        )
        self._frames: list[RenderedFrame] = []
        self._poses: list[Matrix] = []
        self._places: list[int] = []  # of the valid poses in the request
        for place, pose in enumerate(request.poses):
            stamp = pose.header.stamp if nanoseconds(pose.header.stamp) else now
            frame = RenderedFrame()
            frame.info.header = Header(stamp=stamp, frame_id=self._config.probe_frame_id)
            try:
                StampOrder().check(stamp)
                self._poses.append(locate(pose, self._config.ct_frame_id, session.tree.ct_from_frame))
                self._places.append(place)
            except RefusedError as error:
                frame.message = str(error)
            self._frames.append(frame)

    def run(self, arrival: float) -> list[RenderedFrame]:
        """Return one frame for each pose, in their order."""
        for start in range(0, len(self._poses), CHUNK):
            places = self._places[start : start + CHUNK]
            times = [seconds(self._frames[place].info.header.stamp) for place in places]
            rendered = self._rendered(np.stack(self._poses[start : start + CHUNK]), times)
            for place, frame in zip(places, rendered, strict=True):
                self._fill(self._frames[place], place, frame, arrival)
        return self._frames

    def _rendered(self, poses: Matrix, times: list[float]) -> list[Frame]:
        def render(scene: Scene) -> list[Frame]:
            return scene.simulator.render_batch(poses, times=times, **self._views)

        frames, self.scene = with_fall_back(render, self.scene, self._fall_back)
        return frames

    def _fill(self, message: RenderedFrame, place: int, frame: Frame, arrival: float) -> None:
        header = message.info.header
        message.info = frame_info_message(
            frame,
            header,
            sequence=place,
            ct_frame=self._config.ct_frame_id,
            config_id=self.scene.config_id,
            arrival=arrival,
        )
        message.contact = contact_message(frame.contact, header)
        if frame.image is not None:
            message.image = image_message(frame.image, header)
        if frame.ct_slice is not None:
            message.ct_slice = image_message(frame.ct_slice, header)
        if frame.labels is not None:
            message.labels = image_message(frame.labels, header)
        message.valid = True


def _check(request: RenderFrame.Request) -> None:
    if len(request.poses) > MAX_POSES:
        raise ConfigError(f"{len(request.poses)} poses in one call; expected at most {MAX_POSES}: split them")
    if request.renderer and request.renderer not in RENDERERS:
        raise ConfigError(f"renderer is {request.renderer!r}; expected one of {', '.join(RENDERERS)}")
    if request.outputs > ALL_OUTPUTS:
        raise ConfigError(f"outputs is {request.outputs}; expected a sum of 1, 2, 4, or 0 for all")


def _describe(patient: Patient, response: LoadPatient.Response) -> None:
    present = np.unique(patient.volume.tissue).tolist()
    response.patient, response.patient_sha256 = patient.name, patient.sha256
    response.class_names = [TissueClass(value).name.lower() for value in present]
    response.warnings, response.labelling = list(patient.warnings), list(patient.labelling)
    low, high = patient.skin_mesh.bounds
    response.bounds_min, response.bounds_max = point_message(low), point_message(high)
