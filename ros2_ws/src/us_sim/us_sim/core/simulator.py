# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""The simulator: a pose in, a frame out."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from typing import TYPE_CHECKING, TypedDict

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from us_sim.core.compute.device import Device, choose_device
from us_sim.core.config import RENDERERS, ImageSettings
from us_sim.core.contact.contact import Contact, contact
from us_sim.core.contact.deformation import displacements, ready, tables_of
from us_sim.core.contact.indentation import Indentation, face_of, indentation
from us_sim.core.contact.mechanics import RIGID, MechanicsSettings
from us_sim.core.contact.touch import Touch, touches_at
from us_sim.core.errors import ConfigError, PoseError, UnfitError
from us_sim.core.frame import Frame, RenderOptions
from us_sim.core.generator.artifact import Generator
from us_sim.core.generator.backend import CPU
from us_sim.core.generator.inference import accelerated
from us_sim.core.geometry.probe import ProbeGeometry, preset
from us_sim.core.geometry.transforms import Matrix, check_pose, inverse
from us_sim.core.patient.breathing import inspired, phase_at
from us_sim.core.patient.extent import unknown_fraction
from us_sim.core.patient.patient import Patient
from us_sim.core.physics.scanner_file import ScannerPreset
from us_sim.core.pipeline import Pipeline, Wanted

# In one pass. On the CPU arrays of this size come from memory that is at hand: larger ones are asked of the system each
# time, which took up to a fifth of a batch.
MOST_BYTES, MOST_ON_GPU = 2**26, 2**20  # the latter of samples or pixels
BYTES_A_SAMPLE, BYTES_A_PIXEL = 250, 32  # between CT and image, of the scan lines and of a slice
SPARSE = 8  # rows and columns of pixels to one that is asked whether the CT knows what lies there

if TYPE_CHECKING:
    from typing_extensions import Unpack


class Parts(TypedDict, total=False):
    """What a simulator is made of: the arguments of `Simulator` by name, all or some."""

    patient: Patient
    probe: ProbeGeometry
    settings: ImageSettings
    renderer: str
    generator: Generator | None
    device: str | Device
    seed: int
    mechanics: MechanicsSettings
    scanner: ScannerPreset | None


class Simulator:
    """A probe on a patient. It never changes: `replace` gives a new one, so a swap is one assignment.

    Args:
        patient: CT, classes and skin.
        probe: geometry with its grids.
        settings: gain and the like.
        renderer: `generator`, `physics` or `ct`.
        generator: needed by the renderer of that name.
        device: `auto`, `cpu` or `cuda`, or one that was chosen before.
        seed: of scatterers and noise.
        mechanics: of the tissue; by default the patient is rigid.
        scanner: whose constants and acoustic table form the image; None for the generic ones. Its probe and its image
            settings are not read here.

    Raises:
        ConfigError: unknown renderer, no generator for it, one that does not fit probe or device, no such device.
        DeviceError: the GPU fails or has no memory left.
    """

    _pipeline: Pipeline

    def __init__(
        self,
        patient: Patient,
        probe: ProbeGeometry | None = None,
        settings: ImageSettings | None = None,
        *,
        renderer: str = "physics",
        generator: Generator | None = None,
        device: str | Device = "auto",
        seed: int = 0,
        mechanics: MechanicsSettings = RIGID,
        scanner: ScannerPreset | None = None,
    ) -> None:
        parts = Parts(
            patient=patient, probe=probe or preset("c5_2"), settings=settings or ImageSettings(), renderer=renderer,
            generator=generator, device=device, seed=seed, mechanics=mechanics, scanner=scanner,
        )  # fmt: skip
        self._set_up(parts, None)

    def replace(self, **changes: Unpack[Parts]) -> Simulator:
        """Return a simulator with some arguments changed; what they do not touch is shared.

        Raises:
            ConfigError: as the constructor.
        """
        other = copy(self)
        other._set_up({**self._parts, **changes}, self)
        return other

    def _set_up(self, parts: Parts, like: Simulator | None) -> None:
        """Make once what does not depend on the pose; what a simulator like this one has made holds here too."""
        self._parts = parts
        self.patient, self.probe, self.settings = parts["patient"], parts["probe"], parts["settings"]
        self.renderer, self.generator = parts["renderer"], parts["generator"]
        self.device = choose_device(parts["device"])
        self.seed, self.mechanics, self.scanner = parts["seed"], parts["mechanics"], parts["scanner"]
        self.check_renderer(self.renderer)
        pixels = self.probe.pixel_points[::SPARSE, ::SPARSE][self.probe.fan_mask[::SPARSE, ::SPARSE]]
        self._sparse = pixels.astype(np.float64)
        ready()
        if self.mechanics.breathing_amplitude:
            _ = self.patient.mobility
        with self.device.failures():
            self._pipeline = Pipeline(
                self.patient, self.probe, self.settings, self.generator, self.device, self.seed, self.scanner,
                like=like._pipeline if like else None,
            )  # fmt: skip

    def on_cpu(self, reason: str) -> Simulator:
        """Return the same simulator on the CPU, for when the GPU has failed; `reason` says why.

        It takes seconds: a large generator runs in int8 only if that was prepared before.
        """
        generator = self.generator
        if generator is not None:
            generator = accelerated(generator, CPU, calibrate=False)
        return self.replace(device=Device.cpu(reason), generator=generator)

    def check_renderer(self, renderer: str) -> None:
        """Raise ConfigError with the reason if a renderer cannot be used here."""
        if renderer not in RENDERERS:
            raise ConfigError(f"renderer is {renderer!r}; expected one of {', '.join(RENDERERS)}")
        if renderer != "generator":
            return
        if self.generator is None:
            raise ConfigError("renderer is 'generator', but no generator is loaded; load one or use 'physics'")
        if self.scanner is not None:
            raise ConfigError(
                f"renderer is 'generator', which renders as it was trained, not as scanner {self.scanner.name!r}; use "
                "renderer 'physics', or leave scanner empty"
            )
        reason = self.generator.card.refusal(self.probe)
        if reason:
            raise UnfitError(
                f"generator {self.generator.name!r} does not fit this probe: {reason}; use "
                "renderer 'physics', or load another"
            )
        device = self.device.torch_device
        if self.generator.device.type != device.type:
            raise ConfigError(
                f"generator {self.generator.name!r} was loaded for {self.generator.device}, the simulator runs on "
                f"{device}; load it for that device"
            )

    def contact(self, ct_from_probe: ArrayLike) -> Contact:
        """Return the contact at a (4, 4) pose, mm.

        Raises:
            PoseError: the pose is not finite and rigid.
        """
        return contact(self.patient.skin, self.probe, check_pose(ct_from_probe))

    def indentation(self, ct_from_probe: ArrayLike) -> Indentation:
        """Return the indentation at a (4, 4) pose, mm, the input of `force.wrench`.

        Raises:
            PoseError: the pose is not finite and rigid.
        """
        return indentation(self.patient, face_of(self.probe), check_pose(ct_from_probe))

    def touch(self, ct_from_probe: ArrayLike) -> Touch:
        """Return contact, indentation and force at a (4, 4) pose, mm, of a probe that rests there.

        Raises:
            PoseError: the pose is not finite and rigid.
        """
        return self.touches(np.asarray(ct_from_probe)[None])[0]

    def touches(self, ct_from_probe: ArrayLike) -> list[Touch]:
        """Return the same at each of (B, 4, 4) poses, in one pass.

        Raises:
            PoseError: a pose is not finite and rigid.
        """
        return touches_at(self.patient, self.probe, self.mechanics, check_pose(ct_from_probe).copy())

    def render(self, ct_from_probe: ArrayLike, **options: Unpack[RenderOptions]) -> Frame:
        """Return the frame of one (4, 4) pose; keywords as for `render_batch`."""
        return self.render_batch(np.asarray(ct_from_probe)[None], **options)[0]

    @torch.inference_mode()
    def render_batch(
        self,
        ct_from_probe: ArrayLike,
        *,
        image: bool = True,
        ct_slice: bool = True,
        labels: bool = True,
        uncertainty: bool = False,
        renderer: str | None = None,
        times: Sequence[float] | None = None,
        coupling: NDArray[np.float32] | None = None,
        touches: Sequence[Touch] | None = None,
    ) -> list[Frame]:
        """Return the frames of (B, 4, 4) poses, mm.

        Args:
            ct_from_probe: rigid poses.
            image, ct_slice, labels: outputs to make.
            uncertainty: of the image as well, where a generator that knows it draws that.
            renderer: of the image; None for the simulator's own.
            times: s, of each pose, for respiration; None: breath-hold.
            coupling: (L,) factor on the coupling of each scan line in the image, for faults; None: 1.
            touches: from `touch` at each pose, if already computed; None: of a probe at rest.

        Raises:
            PoseError: wrong shape, or a pose is not finite and rigid.
            ConfigError: the renderer cannot be used here.
            DeviceError: the GPU fails or runs out of memory; use the simulator `on_cpu` instead.
        """
        renderer = renderer or self.renderer
        self.check_renderer(renderer)
        poses = check_pose(ct_from_probe).copy()  # the frames keep them
        if poses.ndim != 3:
            raise PoseError(f"the poses have shape {poses.shape}; expected (B, 4, 4), or (4, 4) for a single frame")
        if not len(poses):
            return []
        if len(poses) > (most := self._at_once(renderer, image)):
            frames = list[Frame]()
            for n in range(0, len(poses), most):
                frames += self.render_batch(
                    poses[n : n + most], image=image, ct_slice=ct_slice, labels=labels, uncertainty=uncertainty,
                    renderer=renderer, times=None if times is None else times[n : n + most], coupling=coupling,
                    touches=None if touches is None else touches[n : n + most],
                )  # fmt: skip
            return frames
        if touches is None:
            touches = touches_at(self.patient, self.probe, self.mechanics, poses)
        lines = np.stack([one.contact.line_coupling for one in touches])
        if coupling is not None:
            lines *= coupling
        states = [one.indentation for one in touches]
        fields = displacements(states, self.probe) if self.mechanics.deformation else [None] * len(poses)
        phases = [self._phase(seconds) for seconds in ([0.0] * len(poses) if times is None else times)]
        wanted = Wanted(renderer, image, ct_slice, labels, uncertainty)
        with self.device.failures():
            made = self._pipeline.render(wanted, poses, lines, tables_of(fields), self._caudal(phases))
        return [
            Frame(
                *shown[:3], one.contact, one.wrench, pose, renderer, field is not None, phase, float(unknown),
                ood_score=None if shown[4] is None else float(shown[4]), uncertainty=shown[3],
            )
            for shown, one, pose, field, (phase, unknown) in zip(
                made, touches, poses, fields, zip(phases, self._unknown(poses), strict=True), strict=True
            )
        ]  # fmt: skip

    def _at_once(self, renderer: str, image: bool) -> int:
        """How many poses are rendered in one pass."""
        probe = self.generator.card.probe if renderer == "generator" and self.generator else self.probe
        samples = probe.scan_lines * probe.samples * (image and renderer != "ct")
        pixels = self.probe.width * self.probe.height
        if not self.device.is_cpu:
            return max(1, MOST_ON_GPU // max(samples, pixels))
        return max(1, MOST_BYTES // max(BYTES_A_SAMPLE * samples, BYTES_A_PIXEL * pixels))

    def _unknown(self, ct_from_probe: Matrix) -> NDArray[np.float64]:
        """(B,) share of the fan beyond the CT at each of (B, 4, 4) poses."""
        volume = self.patient.volume
        return unknown_fraction(volume.hu.shape, inverse(volume.ct_from_voxel) @ ct_from_probe, self._sparse)

    def _phase(self, seconds: float) -> float:
        return phase_at(seconds, self.mechanics.breathing_period) if self.mechanics.breathing_amplitude else 0.0

    def _caudal(self, phases: Sequence[float]) -> NDArray[np.float64] | None:
        """Respiratory motion at each pose, mm; None without any."""
        caudal = np.array([self.mechanics.breathing_amplitude * inspired(phase) for phase in phases])
        return caudal if caudal.any() else None
