"""What image formation needs and no pose changes: depths, beam, TGC, noise, for one probe and one set of settings."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache

import torch
from torch import Tensor

from us_sim.core.config import ImageSettings
from us_sim.core.geometry.probe import ProbeGeometry
from us_sim.core.sampling.scatterers import LOOKS, SPACING

NOISE_LEVEL = -105.0  # dB, electronic noise
TGC_LIMIT = 42.0  # dB, where the amplifier's gain ends and the picture darkens
RING_LEVEL, RING_LENGTH = -14.0, 0.9  # dB and mm: the probe's own reverberation
ZONES = 16  # depth zones of constant lateral point spread
NARROWEST = 0.7  # mm, lateral point spread near the face
EVEN = 1.6  # mm, standard deviation over which the steps of a label map are evened out
DEPTH_OF_FIELD = 120.0  # mm from the focus at which the beam is √2 times wider


@dataclass(frozen=True, eq=False)
class Formation:
    """The pose-independent parts; L scan lines, S samples."""

    settings: ImageSettings
    depths: Tensor  # (S,) mm
    line_spacing: Tensor  # (S,) mm between neighbouring scan lines
    lateral_psf: Tensor  # (ZONES, L, L)
    evenness: Tensor  # (ZONES, L, L): mean over EVEN mm across the lines
    tgc: Tensor  # (S,) dB
    ring: Tensor  # (S,) amplitude of the probe's reverberation
    noise: Tensor  # (L, S, 2 LOOKS) electronic noise
    clutter: Tensor  # (L, S, 2 LOOKS) of unit variance: multiple echoes, which come from no place in the patient


def formation(probe: ProbeGeometry, settings: ImageSettings, seed: int, device: torch.device) -> Formation:
    """Prepare the pose-independent parts of image formation."""
    tones = ImageSettings()  # gain and dynamic range come in last: they change no part
    pulse = replace(settings, gain=tones.gain, dynamic_range=tones.dynamic_range)
    return Formation(settings, *_parts(probe, pulse, seed, device))


@lru_cache(maxsize=4)  # those of a probe and of a generator, and the ones before a change
def _parts(probe: ProbeGeometry, settings: ImageSettings, seed: int, device: torch.device) -> tuple[Tensor, ...]:
    """The tensors of `Formation` in their order; they are shared, nobody writes to them."""
    depths = torch.tensor(probe.sample_depths)
    spacing = line_spacing(probe, depths)
    generator = torch.Generator().manual_seed(seed)
    noise, clutter = torch.randn(2, probe.scan_lines, probe.samples, 2 * LOOKS, generator=generator)
    tgc = (0.2 * settings.tgc * settings.frequency * depths).clamp(max=TGC_LIMIT)
    ring = 10 ** (RING_LEVEL / 20) * torch.exp(-depths / RING_LENGTH) * (0.6 + 0.4 * torch.cos(depths * 7.0))
    noise = noise * 10 ** (NOISE_LEVEL / 20)
    even = mixing(torch.full_like(depths, EVEN), spacing, probe.scan_lines)
    even = even / even.sum(dim=-1, keepdim=True)
    parts = (depths, spacing, lateral_psf(probe, settings, spacing), even, tgc, ring, noise, clutter)
    return tuple(part.to(device) for part in parts)


def line_spacing(probe: ProbeGeometry, depths: Tensor) -> Tensor:
    """Return (S,) mm between neighbouring scan lines at each depth."""
    if math.isinf(probe.apex):
        return torch.full_like(depths, probe.aperture / probe.scan_lines)
    return (probe.apex + depths) * (probe.field_of_view / probe.scan_lines)


def beam_width(depths: Tensor, settings: ImageSettings) -> Tensor:
    """Return (S,) lateral full width at half maximum of the point spread, mm.

    Dynamic receive focusing at constant f-number gives 0.024·depth at 3.5 MHz (measured on real frames) and scales
    with the wavelength; away from the transmit focus the beam widens as a Gaussian beam does.
    """
    diffraction = 0.024 * 3.5 / settings.frequency * depths
    return (diffraction * torch.sqrt(1 + ((depths - settings.focus) / DEPTH_OF_FIELD) ** 2)).clamp(min=NARROWEST)


def lateral_psf(probe: ProbeGeometry, settings: ImageSettings, spacing: Tensor) -> Tensor:
    """Return (ZONES, L, L): row l mixes the scan lines that the beam of line l covers; speckle keeps its power."""
    width = beam_width(torch.tensor(probe.sample_depths), settings)
    psf = mixing(width / 2.355, spacing, probe.scan_lines)
    # Neighbouring lines see partly the same scatterers: their echoes add in amplitude, not only in power.
    lines = torch.arange(probe.scan_lines)
    distance = (lines[:, None] - lines).abs() * spacing.reshape(ZONES, -1).mean(dim=1)[:, None, None]
    power = torch.einsum("zli,zij,zlj->zl", psf, cubic_spline(distance / SPACING), psf)
    return psf / power.sqrt()[..., None]


def mixing(sigma: Tensor, spacing: Tensor, lines: int) -> Tensor:
    """Return (ZONES, L, L) Gaussian weights between scan lines, 1 at the line itself.

    Args:
        sigma, spacing: (S,) standard deviation and distance of neighbouring lines, mm.
        lines: L.
    """
    in_lines = (sigma / spacing).reshape(ZONES, -1).mean(dim=1).clamp(min=0.2)
    place = torch.arange(lines, dtype=torch.float32)
    return torch.exp(-0.5 * ((place[:, None] - place) / in_lines[:, None, None]) ** 2)


def cubic_spline(t: Tensor) -> Tensor:
    """Correlation of linearly interpolated white noise at a distance of t ≥ 0 voxels, 1 at t = 0."""
    near, far = 1 - 1.5 * t**2 + 0.75 * t**3, 0.25 * (2 - t).clamp(min=0) ** 3
    return torch.where(t < 1, near, far)
