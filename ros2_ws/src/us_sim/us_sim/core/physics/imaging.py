# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""The pose-independent part of image formation: depths, beam, TGC, noise, for one probe and one set of settings."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache

import torch
from torch import Tensor

from us_sim.core.config import TGC_SLIDERS, ImageSettings
from us_sim.core.geometry.probe import ProbeGeometry
from us_sim.core.physics.scanner import GENERIC, Scanner
from us_sim.core.sampling.scatterers import LOOKS, SPACING

ZONES = 16  # depth zones of constant lateral point spread
NARROWEST = 1.3  # mm, lateral point spread near the face at 3.5 MHz
NEAR_FIELD = (4.0, 12.0)  # mm by which it is wider at the face at 3.5 MHz, and over which that falls by a factor e
EVEN = 2.5  # mm, standard deviation over which the steps of a label map are evened out
PENUMBRA = (1.0, 0.05)  # mm, and of the depth: standard deviation over which a wide aperture looks round a shadow
WIDEST = 16.0  # mm, half of the widest aperture
DEAF = 2.5  # mm from the face over which the receiver recovers from its own pulse
NEPER = math.log(10) / 20  # dB to natural logarithm of amplitude
DEPTH_OF_FIELD = 120.0  # mm from the focus at which the beam is √2 times wider


@dataclass(frozen=True, eq=False)
class Formation:
    """The pose-independent parts; L scan lines, S samples."""

    settings: ImageSettings
    scanner: Scanner
    step: float  # mm between samples
    depths: Tensor  # (S,) mm
    line_spacing: Tensor  # (S,) mm between neighbouring scan lines
    lateral_psf: Tensor  # (ZONES, L, L)
    penumbra: Tensor  # (ZONES, L, L): mean over the lines whose sound the aperture shares
    evenness: Tensor  # (ZONES, L, L): mean over EVEN mm across the lines
    side_lobes: Tensor  # (ZONES, L, L): mean over the lines that the beam's side lobes reach
    pulse: Tensor  # (taps,) envelope of the pulse in samples, of unit energy in speckle
    aperture: Tensor  # (L, S) amplitude that is heard where the aperture ends at the probe's edge, and near the face
    tgc: Tensor  # (S,) dB
    ring: Tensor  # (S,) amplitude of the probe's reverberation
    noise: Tensor  # (L, S, 2 LOOKS) electronic noise
    clutter: Tensor  # (L, S, 2 LOOKS) of unit variance: multiple echoes, which come from no place in the patient

    def __post_init__(self) -> None:
        # The compiled loops read as many channels as the scanner has looks.
        for name in ("noise", "clutter"):
            channels = getattr(self, name).shape[-1]
            assert channels == 2 * self.scanner.looks, f"{name}: {channels} channels for {self.scanner.looks} looks"

    @property
    def loss_per_sample(self) -> float:
        """Exponent by which 1 dB/(cm MHz) lowers the amplitude over a sample, there and back."""
        return 2 * NEPER * self.settings.frequency * self.step / 10


def formation(
    probe: ProbeGeometry, settings: ImageSettings, seed: int, device: torch.device, scanner: Scanner = GENERIC
) -> Formation:
    """Prepare the pose-independent parts of image formation."""
    usual = ImageSettings()  # of what comes in last, and changes no part
    tones = {name: getattr(usual, name) for name in ("gain", "dynamic_range", *TGC_SLIDERS)}
    depths = torch.tensor(probe.sample_depths)
    parts = _parts(probe, replace(settings, **tones), scanner, seed, device)
    form = Formation(settings, scanner, float(depths[1] - depths[0]), *parts)
    return replace(form, tgc=form.tgc + slider_gain(form.depths, probe.depth, settings))


@lru_cache(maxsize=4)  # those of a probe and of a generator, and the ones before a change
def _parts(
    probe: ProbeGeometry, settings: ImageSettings, scanner: Scanner, seed: int, device: torch.device
) -> tuple[Tensor, ...]:
    """The tensors of `Formation` in their order; they are shared, nobody writes to them."""
    depths = torch.tensor(probe.sample_depths)
    spacing, lines = line_spacing(probe, depths), probe.scan_lines
    generator = torch.Generator().manual_seed(seed)
    noise, clutter = torch.randn(2, lines, probe.samples, 2 * LOOKS, generator=generator)
    kept = [*range(scanner.looks), *range(LOOKS, LOOKS + scanner.looks)]
    ring = 10 ** (scanner.ring_level / 20) * torch.exp(-depths / scanner.ring_length)
    taps = pulse(scanner, probe.sample_spacing)
    parts = (
        depths,
        spacing,
        lateral_psf(probe, settings, spacing, scanner),
        _mean(mixing(PENUMBRA[0] + PENUMBRA[1] * depths, spacing, lines)),
        _mean(mixing(torch.full_like(depths, EVEN), spacing, lines)),
        _mean(tails(scanner.side_lobe_width, spacing, lines)),
        taps,
        aperture(probe, depths, scanner),
        tgc(depths, settings, scanner),
        ring * (0.6 + 0.4 * torch.cos(depths * 7.0)),
        noise[..., kept] * 10 ** (scanner.noise_level / 20),
        clutter[..., kept],
    )
    return tuple(part.contiguous().to(device) for part in parts)


def tgc(depths: Tensor, settings: ImageSettings, scanner: Scanner = GENERIC) -> Tensor:
    """Return the gain in dB at depths in mm: what the attenuation asks for, less and less as the amplifier ends."""
    asked = 0.2 * settings.tgc * settings.frequency * depths
    return scanner.tgc_limit * -torch.expm1(-asked / scanner.tgc_limit)


def slider_gain(depths: Tensor, deepest: float, settings: ImageSettings) -> Tensor | float:
    """Return the gain of the eight TGC sliders in dB at depths in mm, of any shape, in a fan that is `deepest` mm deep.

    Each slider stands in the middle of its eighth; between them the gain runs straight, beyond the outer two it stays.
    """
    first, *others = settings.tgc_sliders
    gain: Tensor | float = first
    for number, (above, below) in enumerate(zip((first, *others[:-1]), others, strict=True)):
        if below != above:
            gain = gain + (below - above) * (depths * (8 / deepest) - 0.5 - number).clamp(0, 1)
    return gain


def pulse(scanner: Scanner, step: float) -> Tensor:
    """Return the weights (taps,) of samples that a pulse covers; speckle keeps its power."""
    sigma = scanner.pulse_length / 2.355 / step
    reach = max(1, math.ceil(2.5 * sigma))
    place = torch.arange(-reach, reach + 1, dtype=torch.float32)
    taps = torch.exp(-0.5 * (place / max(sigma, 1e-3)) ** 2)
    correlation = cubic_spline((place[:, None] - place).abs() * step / SPACING)
    return taps / torch.sqrt(taps @ correlation @ taps)


def pulsed(signal: Tensor, pulse: Tensor) -> Tensor:
    """Convolve (B, L, S, C) along the scan lines with the pulse, (taps,), an odd number of them."""
    reach, samples = len(pulse) // 2, signal.shape[-2]
    padded = torch.nn.functional.pad(signal, (0, 0, reach, reach))
    total = pulse[0] * padded[..., :samples, :]
    for tap in range(1, len(pulse)):
        total = total + pulse[tap] * padded[..., tap : tap + samples, :]
    return total


def aperture(probe: ProbeGeometry, depths: Tensor, scanner: Scanner) -> Tensor:
    """Return (L, S) amplitude over that of a whole aperture: half is missing at the edges, near the face it is deaf."""
    half = (depths / (2 * scanner.f_number)).clamp(2.0, WIDEST)
    length = probe.apex * probe.field_of_view if math.isfinite(probe.apex) else probe.aperture
    place = ((torch.arange(probe.scan_lines) + 0.5) / probe.scan_lines * length)[:, None]
    missing = (half - place).clamp(min=0) + (half - (length - place)).clamp(min=0)
    return 10 ** (-scanner.edge_loss / 20 * (missing / half).clamp(max=1)) * -torch.expm1(-((depths / DEAF) ** 2))


def _mean(weights: Tensor) -> Tensor:
    return weights / weights.sum(dim=-1, keepdim=True)


def line_spacing(probe: ProbeGeometry, depths: Tensor) -> Tensor:
    """Return (S,) mm between neighbouring scan lines at each depth."""
    if math.isinf(probe.apex):
        return torch.full_like(depths, probe.aperture / probe.scan_lines)
    return (probe.apex + depths) * (probe.field_of_view / probe.scan_lines)


def beam_width(depths: Tensor, settings: ImageSettings, scanner: Scanner = GENERIC) -> Tensor:
    """Return (S,) lateral full width at half maximum of the point spread, mm.

    Dynamic receive focusing at constant f-number gives `beam_ratio`·depth at 3.5 MHz and scales
    with the wavelength; away from the transmit focus the beam widens as a Gaussian beam does, and at the face, before
    it has formed, it is as wide as the elements that sent it.
    """
    diffraction = scanner.beam_ratio * 3.5 / settings.frequency * depths
    away = torch.sqrt(1 + ((depths - settings.focus) / DEPTH_OF_FIELD) ** 2)
    wavelengths = 3.5 / settings.frequency
    formed = (diffraction * away).clamp(min=NARROWEST * wavelengths)
    return torch.hypot(formed, NEAR_FIELD[0] * wavelengths * torch.exp(-depths / NEAR_FIELD[1]))


def lateral_psf(probe: ProbeGeometry, settings: ImageSettings, spacing: Tensor, scanner: Scanner) -> Tensor:
    """Return (ZONES, L, L): row l mixes the scan lines that the beam of line l covers; speckle keeps its power."""
    width = beam_width(torch.tensor(probe.sample_depths), settings, scanner)
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


def tails(length: float, spacing: Tensor, lines: int) -> Tensor:
    """Return (ZONES, L, L) weights between scan lines that fall by a factor e over a length in mm."""
    in_lines = length / spacing.reshape(ZONES, -1).mean(dim=1)
    place = torch.arange(lines, dtype=torch.float32)
    return torch.exp(-(place[:, None] - place).abs() / in_lines[:, None, None])


def cubic_spline(t: Tensor) -> Tensor:
    """Correlation of linearly interpolated white noise at a distance of t ≥ 0 voxels, 1 at t = 0."""
    near, far = 1 - 1.5 * t**2 + 0.75 * t**3, 0.25 * (2 - t).clamp(min=0) ** 3
    return torch.where(t < 1, near, far)
