"""The simulator: a pose in, a frame out."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypedDict

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from us_sim.core.compute.device import Device, choose_device, on_host
from us_sim.core.config import RENDERERS, SOFT_WINDOW, ImageSettings
from us_sim.core.contact.contact import Contact, contact
from us_sim.core.contact.deformation import Displacement, displacement, ready, sources
from us_sim.core.contact.force import Wrench
from us_sim.core.contact.indentation import Indentation, face_of, indentation
from us_sim.core.contact.mechanics import RIGID, MechanicsSettings
from us_sim.core.contact.touch import Touch, touch_at
from us_sim.core.errors import ConfigError, PoseError
from us_sim.core.generator.artifact import Generator
from us_sim.core.generator.backend import CPU
from us_sim.core.generator.encoding import window
from us_sim.core.generator.inference import accelerated
from us_sim.core.generator.renderer import LearnedRenderer
from us_sim.core.geometry.probe import ProbeGeometry, preset
from us_sim.core.geometry.transforms import Matrix, apply, check_pose
from us_sim.core.patient.breathing import inspired, phase_at
from us_sim.core.patient.extent import unknown_fraction
from us_sim.core.patient.patient import Patient
from us_sim.core.physics.b_mode import polar_frame
from us_sim.core.physics.imaging import formation
from us_sim.core.physics.scan_conversion import conversion_grid, scan_convert
from us_sim.core.physics.scanner_file import ScannerPreset
from us_sim.core.sampling.moved_sampler import MovedSampler, Source
from us_sim.core.sampling.reslice import elevation_beam
from us_sim.core.sampling.sampler import Sampler, Slice, sampler_on

MOST_SAMPLES = 2**20  # of scan lines or pixels in one pass
SPARSE = 8  # rows and columns of pixels to one that is asked whether the CT knows what lies there

if TYPE_CHECKING:
    from typing_extensions import Unpack


@dataclass(frozen=True, eq=False)
class Frame:
    """What one pose shows; outputs that were not asked for are None.

    Attributes:
        image: (H, W) uint8 B-mode, exactly 0 outside the fan.
        ct_slice: (H, W) int16 HU of the whole plane.
        labels: (H, W) uint8 classes of the whole plane.
        contact: of the probe with the skin.
        wrench: of the patient on the probe; of a probe that rests, unless its touch says how it moves.
        ct_from_probe: (4, 4) the pose, mm.
        renderer: what drew the image.
        deformed: the probe has pressed in what is shown.
        phase: of the breath, 0 to 1; 0 while it is held.
        unknown_fraction: share of the fan that lies beyond the CT, 0 to 1.
    """

    image: NDArray[np.uint8] | None
    ct_slice: NDArray[np.int16] | None
    labels: NDArray[np.uint8] | None
    contact: Contact
    wrench: Wrench
    ct_from_probe: Matrix
    renderer: str
    deformed: bool = False
    phase: float = 0.0
    unknown_fraction: float = 0.0


class Views(TypedDict, total=False):
    """What `Simulator.render_batch` makes, and what draws it."""

    image: bool
    ct_slice: bool
    labels: bool
    renderer: str | None


class RenderOptions(Views, total=False):
    """All keywords of `Simulator.render_batch`."""

    times: Sequence[float] | None
    coupling: NDArray[np.float32] | None
    touches: Sequence[Touch] | None


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
        mechanics: how the patient gives way; the default is rigid.
        scanner: whose constants and acoustic table form the image; None for the generic ones. Its probe and its image
            settings are not read here.

    Raises:
        ConfigError: unknown renderer, no generator for it, one that does not fit probe or device, no such device.
        DeviceError: the GPU fails or has no memory left.
    """

    _sampler: Sampler
    _learned: LearnedRenderer | None

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
        ready()
        if self.mechanics.breathing_amplitude:
            _ = self.patient.mobility
        with self.device.failures():
            self._prepare(like)

    def _prepare(self, like: Simulator | None) -> None:
        """What lies on the device."""
        device, probe, seed = self.device.torch_device, self.probe, self.seed
        scanner = self.scanner or ScannerPreset()
        if like is not None and not (like.device.same_place(self.device) and like.seed == seed):
            like = None
        if like is not None and like.patient is self.patient and like.scanner == self.scanner:
            self._sampler = like._sampler
        else:
            self._sampler = sampler_on(device, self.patient, seed, scanner.tissues)
        self._beam = elevation_beam(probe.slice_thickness, probe.elevation_planes)
        self._pixels = torch.tensor(probe.pixel_points).to(device)
        self._lines = torch.tensor(probe.polar_points).to(device)
        self._grid, self._fan = conversion_grid(probe, device)
        self._sparse = probe.pixel_points[::SPARSE, ::SPARSE][probe.fan_mask[::SPARSE, ::SPARSE]].astype(np.float64)
        self._formation = formation(probe, self.settings, seed, device, scanner.constants)
        self._learned = self._learned_renderer(like)

    def _learned_renderer(self, like: Simulator | None) -> LearnedRenderer | None:
        """What the generator draws with; None if there is none that can draw for this probe."""
        generator, probe = self.generator, self.probe
        if generator is None or generator.card.refusal(probe) is not None:
            return None
        if like is not None and like._learned is not None and like.generator is generator and like.probe == probe:
            return like._learned.with_settings(self.settings)
        return LearnedRenderer(generator, probe, self.settings, self.seed)

    def on_cpu(self, reason: str) -> Simulator:
        """Return the same simulator on the CPU, for when the GPU has failed; `reason` tells so.

        It comes within seconds: a large generator draws in int8 only if that was made before.
        """
        generator = self.generator
        if generator is not None:
            generator = accelerated(generator, CPU, calibrate=False)
        return self.replace(device=Device.cpu(reason), generator=generator)

    def check_renderer(self, renderer: str) -> None:
        """Raise ConfigError, saying why, if a renderer cannot draw here."""
        if renderer not in RENDERERS:
            raise ConfigError(f"renderer is {renderer!r}; expected one of {', '.join(RENDERERS)}")
        if renderer != "generator":
            return
        if self.generator is None:
            raise ConfigError("renderer is 'generator', but no generator is loaded; load one or use 'physics'")
        if self.scanner is not None:
            raise ConfigError(
                f"renderer is 'generator', which draws as it was trained and not as scanner {self.scanner.name!r}; use "
                "renderer 'physics', or leave scanner empty"
            )
        reason = self.generator.card.refusal(self.probe)
        if reason:
            raise ConfigError(
                f"generator {self.generator.name!r} cannot draw for this probe: {reason}; use "
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
        """Return how the face stands in the tissue at a (4, 4) pose, mm: what `force.wrench` reads.

        Raises:
            PoseError: the pose is not finite and rigid.
        """
        return indentation(self.patient, face_of(self.probe), check_pose(ct_from_probe))

    def touch(self, ct_from_probe: ArrayLike) -> Touch:
        """Return contact, indentation and force at a (4, 4) pose, mm, of a probe that rests there.

        Raises:
            PoseError: the pose is not finite and rigid.
        """
        return touch_at(self.patient, self.probe, self.mechanics, check_pose(ct_from_probe).copy())

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
        renderer: str | None = None,
        times: Sequence[float] | None = None,
        coupling: NDArray[np.float32] | None = None,
        touches: Sequence[Touch] | None = None,
    ) -> list[Frame]:
        """Return the frames of (B, 4, 4) poses, mm.

        Args:
            ct_from_probe: rigid poses.
            image, ct_slice, labels: what to make.
            renderer: draws the image; None for the simulator's own.
            times: s, when each pose is seen: the breath follows them; None: it is held.
            coupling: (L,) share that each scan line is left with of its coupling in the image, for faults; None: all.
            touches: from `touch` at each pose, where they are known already; None: of a probe that rests.

        Raises:
            PoseError: wrong shape, or a pose is not finite and rigid.
            ConfigError: the renderer cannot draw here.
            DeviceError: the GPU fails or runs out of memory; the simulator `on_cpu` goes on.
        """
        renderer = renderer or self.renderer
        self.check_renderer(renderer)
        poses = check_pose(ct_from_probe).copy()  # the frames keep them
        if poses.ndim != 3:
            raise PoseError(f"the poses have shape {poses.shape}; expected (B, 4, 4), or (4, 4) for a single frame")
        if not len(poses):
            return []
        if len(poses) > (most := self._at_once()):
            frames = list[Frame]()
            for n in range(0, len(poses), most):
                frames += self.render_batch(
                    poses[n : n + most], image=image, ct_slice=ct_slice, labels=labels, renderer=renderer,
                    times=None if times is None else times[n : n + most], coupling=coupling,
                    touches=None if touches is None else touches[n : n + most],
                )  # fmt: skip
            return frames
        if touches is None:
            touches = [touch_at(self.patient, self.probe, self.mechanics, pose) for pose in poses]
        lines = np.stack([one.contact.line_coupling for one in touches])
        if coupling is not None:
            lines *= coupling
        fields = [self._displacement(one) for one in touches]
        phases = [self._phase(seconds) for seconds in ([0.0] * len(poses) if times is None else times)]
        source = self._source(poses, fields, phases)
        sampler: Sampler = MovedSampler(self._sampler, source) if source else self._sampler
        with self.device.failures():
            made = self._make(renderer, sampler, poses, lines, image, ct_slice, labels)
        return [
            Frame(*shown, one.contact, one.wrench, pose, renderer, field is not None, phase, self._unknown(pose))
            for shown, one, pose, field, phase in zip(made, touches, poses, fields, phases, strict=True)
        ]

    def _at_once(self) -> int:
        """How many poses are rendered in one pass: what lies between CT and image takes 250 bytes a sample."""
        probe = self.probe
        return max(1, MOST_SAMPLES // max(probe.scan_lines * probe.samples, probe.width * probe.height))

    def _unknown(self, ct_from_probe: Matrix) -> float:
        """Share of the fan beyond the CT at one pose."""
        volume = self.patient.volume
        return unknown_fraction(volume.hu.shape, volume.ct_from_voxel, apply(ct_from_probe, self._sparse))

    def _displacement(self, touch: Touch) -> Displacement | None:
        """How the tissue gives way to the probe at one pose; None where it does not."""
        return displacement(touch.indentation, self.probe) if self.mechanics.deformation else None

    def _phase(self, seconds: float) -> float:
        return phase_at(seconds, self.mechanics.breathing_period) if self.mechanics.breathing_amplitude else 0.0

    def _source(
        self, poses: Matrix, fields: Sequence[Displacement | None], phases: Sequence[float]
    ) -> Source | None:  # fmt: skip
        """Where the tissue at points of `probe` lay in the CT at each pose; None if it lies there still."""
        caudal = [self.mechanics.breathing_amplitude * inspired(phase) for phase in phases]
        pressed = any(field is not None for field in fields)
        if not pressed and not any(caudal):
            return None

        def source(points: Tensor) -> Tensor:
            moved = sources(fields, points) if pressed else points.expand(len(poses), *points.shape)
            return self.patient.mobility.sources(moved, poses, caudal) if any(caudal) else moved

        return source

    def _make(
        self, renderer: str, sampler: Sampler, poses: Matrix, lines: NDArray[np.float32],
        image: bool, ct_slice: bool, labels: bool,
    ) -> list[tuple[Any, Any, Any]]:  # fmt: skip
        """Image, slice and labels of every pose; None for what is not wanted."""
        cut = classes = None
        if ct_slice or (image and self._reads_slice(renderer)):
            cut = sampler.slice(self._pixels, poses, self._beam)
        if labels:
            classes = cut[1] if cut else sampler.classes(self._pixels, poses)
        drawn = self._draw(renderer, sampler, poses, lines, cut) if image else None
        arrays = on_host(
            drawn.round().to(torch.uint8) if drawn is not None else None,
            cut[0].round().to(torch.int16) if cut and ct_slice else None,
            classes,
        )
        none = [None] * len(poses)
        return list(zip(*(none if array is None else list(array) for array in arrays), strict=True))

    def _reads_slice(self, renderer: str) -> bool:
        """Whether a renderer draws from the slice of the frame's own pixels."""
        return renderer == "ct" or (renderer == "generator" and self._learned is not None and self._learned.reads_frame)

    def _draw(
        self, renderer: str, sampler: Sampler, poses: Matrix, lines: NDArray[np.float32],
        cut: Slice | None,
    ) -> Tensor:  # fmt: skip
        """(B, H, W) grey levels, 0 to 255."""
        if renderer == "ct":
            assert cut is not None
            return (window(cut[0], *SOFT_WINDOW) + 1) * 127.5 * self._fan
        coupling = torch.from_numpy(lines).to(self.device.torch_device)
        if renderer == "physics":
            anatomy = sampler.anatomy(self._lines, poses, self._beam)
            polar = polar_frame(anatomy, coupling, self._formation)
            return scan_convert(polar, self._grid, self._fan)
        assert self._learned is not None
        return self._learned.draw(sampler, poses, coupling, self._beam, cut)
