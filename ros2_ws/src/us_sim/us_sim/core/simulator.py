"""The simulator: a pose in, a frame out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from us_sim.core import physics
from us_sim.core.artifact import Generator
from us_sim.core.config import RENDERERS, SOFT_WINDOW, ImageSettings
from us_sim.core.contact import Contact, contact
from us_sim.core.device import choose_device
from us_sim.core.encoding import window
from us_sim.core.errors import ConfigError, PoseError
from us_sim.core.formation import formation
from us_sim.core.learned import LearnedRenderer
from us_sim.core.patient import Patient
from us_sim.core.probe import ProbeGeometry, preset
from us_sim.core.reslice import elevation_beam
from us_sim.core.sampling import Sampler, sampler_on
from us_sim.core.scan_conversion import conversion_grid, scan_convert
from us_sim.core.transforms import Matrix, check_pose


@dataclass(frozen=True, eq=False)
class Frame:
    """What one pose shows; outputs that were not asked for are None.

    Attributes:
        image: (H, W) uint8 B-mode, exactly 0 outside the fan.
        ct_slice: (H, W) int16 HU of the whole plane.
        labels: (H, W) uint8 classes of the whole plane.
        contact: of the probe with the skin.
        ct_from_probe: (4, 4) the pose, mm.
        renderer: what drew the image.
    """

    image: NDArray[np.uint8] | None
    ct_slice: NDArray[np.int16] | None
    labels: NDArray[np.uint8] | None
    contact: Contact
    ct_from_probe: Matrix
    renderer: str


class Simulator:
    """A probe on a patient. It never changes: `replace` gives a new one, so a swap is one assignment.

    Args:
        patient: CT, classes and skin.
        probe: geometry with its grids.
        settings: gain and the like.
        renderer: `generator`, `physics` or `ct`.
        generator: needed by the renderer of that name.
        device: `auto`, `cpu` or `cuda`.
        seed: of scatterers and noise.

    Raises:
        ConfigError: unknown renderer, no generator for it, one that does not fit probe or device, no such device.
    """

    def __init__(
        self,
        patient: Patient,
        probe: ProbeGeometry | None = None,
        settings: ImageSettings | None = None,
        *,
        renderer: str = "physics",
        generator: Generator | None = None,
        device: str = "auto",
        seed: int = 0,
        _sampler: Sampler | None = None,
    ) -> None:
        self.patient, self.probe = patient, probe or preset("c5_2")
        self.settings, self.renderer = settings or ImageSettings(), renderer
        self.generator, self.seed = generator, seed
        self._asked_device = device
        self._torch_device, self.device, self.device_reason = choose_device(device)
        self.check_renderer(renderer)
        self._sampler = _sampler or sampler_on(self._torch_device, patient, seed)
        self._beam = elevation_beam(self.probe.slice_thickness, self.probe.elevation_planes)
        self._pixels = torch.from_numpy(self.probe.pixel_points).to(self._torch_device)
        self._lines = torch.from_numpy(self.probe.polar_points).to(self._torch_device)
        self._grid, self._fan = conversion_grid(self.probe, self._torch_device)
        self._formation = formation(self.probe, self.settings, seed, self._torch_device)
        self._learned: LearnedRenderer | None = None
        if generator is not None and generator.card.refusal(self.probe) is None:
            self._learned = LearnedRenderer(generator, self.probe, self.settings, seed)

    def replace(self, **changes: Any) -> Simulator:
        """Return a simulator with some arguments changed; what they do not touch is shared.

        Raises:
            ConfigError: as the constructor.
        """
        arguments = {
            "patient": self.patient, "probe": self.probe, "settings": self.settings, "renderer": self.renderer,
            "generator": self.generator, "device": self._asked_device, "seed": self.seed,
        }  # fmt: skip
        same = not changes.keys() & {"patient", "device", "seed"}
        return Simulator(**{**arguments, **changes}, _sampler=self._sampler if same else None)

    def check_renderer(self, renderer: str) -> None:
        """Raise ConfigError, saying why, if a renderer cannot draw here."""
        if renderer not in RENDERERS:
            raise ConfigError(f"renderer is {renderer!r}; expected one of {', '.join(RENDERERS)}")
        if renderer != "generator":
            return
        if self.generator is None:
            raise ConfigError("renderer is 'generator', but no generator is loaded; load one or use 'physics'")
        reason = self.generator.card.refusal(self.probe)
        if reason:
            raise ConfigError(f"generator {self.generator.name!r} cannot draw for this probe: {reason}; use "
                              "renderer 'physics', or load another")
        if self.generator.device.type != self._torch_device.type:
            raise ConfigError(
                f"generator {self.generator.name!r} was loaded for {self.generator.device}, the simulator runs on "
                f"{self._torch_device}; load it for that device"
            )

    def contact(self, ct_from_probe: ArrayLike) -> Contact:
        """Return the contact at a (4, 4) pose, mm.

        Raises:
            PoseError: the pose is not finite and rigid.
        """
        return contact(self.patient.skin, self.probe, check_pose(ct_from_probe))

    def render(self, ct_from_probe: ArrayLike, **outputs: Any) -> Frame:
        """Return the frame of one (4, 4) pose; keywords as for `render_batch`."""
        return self.render_batch(np.asarray(ct_from_probe)[None], **outputs)[0]

    @torch.inference_mode()
    def render_batch(
        self,
        ct_from_probe: ArrayLike,
        *,
        image: bool = True,
        ct_slice: bool = True,
        labels: bool = True,
        renderer: str | None = None,
    ) -> list[Frame]:
        """Return the frames of (B, 4, 4) poses, mm.

        Args:
            ct_from_probe: rigid poses.
            image, ct_slice, labels: what to make.
            renderer: draws the image; None for the simulator's own.

        Raises:
            PoseError: wrong shape, or a pose is not finite and rigid.
            ConfigError: the renderer cannot draw here.
        """
        renderer = renderer or self.renderer
        self.check_renderer(renderer)
        poses = check_pose(ct_from_probe).copy()  # the frames keep them
        if poses.ndim != 3:
            raise PoseError(f"the poses have shape {poses.shape}; expected (B, 4, 4), or (4, 4) for a single frame")
        if not len(poses):
            return []
        contacts = [contact(self.patient.skin, self.probe, pose) for pose in poses]
        hu = tissue = None
        if ct_slice or labels or (image and renderer == "ct"):
            hu, tissue = self._sampler.slice(self._pixels, poses, self._beam)
        drawn = self._draw(renderer, poses, contacts, hu) if image else None
        images = _arrays(drawn.round().to(torch.uint8) if drawn is not None else None, len(poses))
        slices = _arrays(hu.round().to(torch.int16) if hu is not None and ct_slice else None, len(poses))
        classes = _arrays(tissue if labels else None, len(poses))
        return [
            Frame(*outputs, renderer)
            for outputs in zip(images, slices, classes, contacts, poses, strict=True)
        ]

    def _draw(self, renderer: str, poses: Matrix, contacts: list[Contact], hu: Tensor | None) -> Tensor:
        """(B, H, W) grey levels, 0 to 255."""
        if renderer == "ct":
            assert hu is not None
            return (window(hu, *SOFT_WINDOW) + 1) * 127.5 * self._fan
        coupling = torch.from_numpy(np.stack([c.line_coupling for c in contacts])).to(self._torch_device)
        if renderer == "physics":
            anatomy = self._sampler.anatomy(self._lines, poses, self._beam)
            polar = physics.b_mode(anatomy, coupling, self._formation)
            return scan_convert(polar, self._grid, self._fan)
        assert self._learned is not None
        return self._learned.draw(self._sampler, poses, coupling, self._beam)


def _arrays(batch: Tensor | None, count: int) -> list[Any]:
    """One array a pose, or as many None."""
    return [None] * count if batch is None else list(batch.cpu().numpy())
