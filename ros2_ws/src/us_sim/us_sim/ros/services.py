"""The node's services. Slow work runs beside the executor; what it makes is put in place as a whole."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from std_msgs.msg import Header
from std_srvs.srv import SetBool
from us_sim_msgs.msg import RenderedFrame
from us_sim_msgs.srv import LoadGenerator, LoadPatient, RenderFrame

from us_sim.core import assembly
from us_sim.core.config import RENDERERS, SimConfig
from us_sim.core.errors import ConfigError, DeviceError
from us_sim.core.generator.shipped import shipped
from us_sim.core.geometry.transforms import Matrix
from us_sim.core.tissue import TissueClass
from us_sim.ros import parameters
from us_sim.ros.conversions import (
    contact_message,
    frame_info_message,
    image_message,
    nanoseconds,
    point_message,
    seconds,
)
from us_sim.ros.folders import allowed_folders, check_inside
from us_sim.ros.parameters import RosConfig
from us_sim.ros.poses import RefusedError, StampOrder, locate
from us_sim.ros.scene import Scene
from us_sim.ros.worker import in_worker

if TYPE_CHECKING:
    from us_sim.core.patient.patient import Patient
    from us_sim.core.simulator import Frame, Simulator
    from us_sim.ros.node import UsSim

MAX_POSES = 64  # in one call of ~/render: about 17 MB of answer at 256×256
CHUNK = 8  # poses rendered at once: a long batch leaves room for the live stream
OUTPUTS = {
    "image": RenderFrame.Request.IMAGE,
    "ct_slice": RenderFrame.Request.CT_SLICE,
    "labels": RenderFrame.Request.LABELS,
}
ALL_OUTPUTS = sum(OUTPUTS.values())
NOT_CONFIGURED = "the node is not configured; its log says why, or configure it"


class Services:
    """~/load_patient, ~/load_generator, ~/render and ~/freeze of one node."""

    def __init__(self, node: UsSim) -> None:
        self._node = node
        loading, rendering = MutuallyExclusiveCallbackGroup(), MutuallyExclusiveCallbackGroup()
        node.create_service(LoadPatient, "~/load_patient", self.load_patient, callback_group=loading)
        node.create_service(LoadGenerator, "~/load_generator", self.load_generator, callback_group=loading)
        node.create_service(RenderFrame, "~/render", self.render, callback_group=rendering)
        node.create_service(SetBool, "~/freeze", self.freeze)

    # -- replacing patient and generator --------------------------------------------------------------

    async def load_patient(self, request: LoadPatient.Request, response: LoadPatient.Response) -> LoadPatient.Response:
        """Replace the patient; on an error the old one stays."""
        node = self._node
        try:
            config = parameters.read(node, SimConfig)
            self._check_readable(request.ct, request.labels)
            patient = await in_worker(node.executor, self._open_patient, request, config.seed, config.detail)
            await self._replace("patient", patient)
            _describe(patient, response)
            response.success = True
        except Exception as error:
            response.message = node.failed("load_patient", error)
            if node.scene is not None:
                response.patient = node.scene.simulator.patient.name
                response.patient_sha256 = node.scene.simulator.patient.sha256
        return response

    async def load_generator(
        self, request: LoadGenerator.Request, response: LoadGenerator.Response
    ) -> LoadGenerator.Response:
        """Replace the generator; on an error the old one stays."""
        node = self._node
        try:
            device = self._device()
            if request.path not in shipped():
                self._check_readable(request.path)
            generator = await in_worker(node.executor, assembly.open_generator, request.path, device)
            await self._replace("generator", generator)
            response.success = True
        except Exception as error:
            response.message = node.failed("load_generator", error)
            generator = node.scene.simulator.generator if node.scene is not None else None
        if generator is not None:
            response.generator, response.generator_sha256 = generator.name, generator.sha256
            response.card = generator.card.to_json()
            response.device = str(generator.device)
        return response

    def _device(self) -> str:
        """What a generator is loaded for; a node that has given up its GPU stays on the CPU."""
        scene = self._node.scene
        return "cpu" if scene and scene.simulator.device == "cpu" else parameters.read(self._node, SimConfig).device

    def _check_readable(self, *paths: str) -> None:
        config, own = parameters.read(self._node, SimConfig), parameters.read(self._node, RosConfig)
        check_inside(paths, allowed_folders(own.data_folders, config))

    @staticmethod
    def _open_patient(request: LoadPatient.Request, seed: int, detail: bool) -> Patient:
        patient = assembly.open_patient(request.ct, request.labels, request.label_scheme, seed, detail)
        _ = patient.skin_mesh  # made here, beside the executor: the answer tells its bounds
        return patient

    async def _replace(self, what: str, value: Any) -> None:
        """Put a loaded patient or generator in place: at once, or at the next `configure`."""
        node = self._node
        if node.scene is None:
            node.keep(**{what: value})
            return
        replace = partial(node.scene.simulator.replace, **{what: value})
        new: Simulator = await in_worker(node.executor, replace)
        if node.scene is None:  # cleaned up meanwhile
            node.keep(**{what: value})
            return
        node.show(node.adapted(new))  # parameters may have changed meanwhile

    # -- frames on demand ----------------------------------------------------------------------------

    def freeze(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        """Hold the picture, or let it run."""
        response.success = self._node.freeze(request.data)
        response.message = "" if response.success else "the node is not active; there is no picture to freeze"
        return response

    async def render(self, request: RenderFrame.Request, response: RenderFrame.Response) -> RenderFrame.Response:
        """Render the poses of a request, apart from the streams; a bad pose spoils only its own frame."""
        node, arrival = self._node, time.monotonic()
        try:
            if node.scene is None:
                raise ConfigError(NOT_CONFIGURED)
            job = Job(node, node.scene, request)
            response.frames = await in_worker(node.executor, job.run, arrival)
            response.probe_info = node.probe_info(job.scene)
            bad = [i for i, frame in enumerate(response.frames) if not frame.valid]
            response.success = not bad
            if bad:
                response.message = f"{len(bad)} of {len(response.frames)} poses are refused, the first: {bad[0]}"
        except Exception as error:
            response.message = node.failed("render", error)
        return response


class Job:
    """One request for frames: poses judged at once, in the executor's thread; frames made later, in a worker."""

    def __init__(self, node: UsSim, scene: Scene, request: RenderFrame.Request) -> None:
        _check(request)
        self.scene, self._config, self._fall_back = scene, node.config, node.fall_back
        self._renderer = request.renderer or None
        outputs = request.outputs or ALL_OUTPUTS
        self._wanted: dict[str, Any] = {name: bool(outputs & bit) for name, bit in OUTPUTS.items()}
        self._frames: list[RenderedFrame] = []
        self._poses: list[Matrix] = []
        self._places: list[int] = []  # of the valid poses in the request
        for place, pose in enumerate(request.poses):
            stamp = pose.header.stamp if nanoseconds(pose.header.stamp) else node.get_clock().now().to_msg()
            frame = RenderedFrame()
            frame.info.header = Header(stamp=stamp, frame_id=self._config.probe_frame_id)
            try:
                StampOrder().check(stamp)
                self._poses.append(locate(pose, self._config.ct_frame_id, node.tree.ct_from_frame))
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
        wanted = {"renderer": self._renderer, "times": times, **self._wanted}
        try:
            return self.scene.simulator.render_batch(poses, **wanted)
        except DeviceError as error:
            self.scene = self._fall_back(error)
            return self.scene.simulator.render_batch(poses, **wanted)

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
        for name in self._wanted:
            pixels = getattr(frame, name)
            if pixels is not None:
                setattr(message, name, image_message(pixels, header))
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
    response.warnings = list(patient.warnings)
    low, high = patient.skin_mesh.bounds
    response.bounds_min, response.bounds_max = point_message(low), point_message(high)
