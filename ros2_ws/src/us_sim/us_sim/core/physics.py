"""Ray-cast B-mode from CT: what the second renderer does, step by step along the scan lines.

    anatomy -> attenuation and transmission -> scattered and specular echoes -> reverberation
            -> point spread -> electronic noise -> envelope, looks compounded -> TGC -> log compression

All amplitudes are relative to the echo of a flat, perfect reflector at the face. Formation runs on complex
baseband signals: speckle needs no carrier. Sources: Bürger et al. 2013 (doi 10.1109/TMI.2012.2224363) for ray-cast
attenuation and reflection, Wagner et al. 1983 for speckle statistics, Szabo 2014 ch. 6 and 8 for beam width and
scattering; constants without a source are fitted to depth-matched regions of real liver frames.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from us_sim.core.anatomy import Anatomy
from us_sim.core.config import ImageSettings
from us_sim.core.probe import ProbeGeometry
from us_sim.core.scatterers import LOOKS

NEPER = math.log(10) / 20  # dB to natural logarithm of amplitude
SPEED = 1.54  # mm/µs, assumed by the scanner
SPECKLE_LEVEL = -43.5  # dB, scattered echo of 0 dB tissue
NOISE_LEVEL = -105.0  # dB, electronic noise
TGC_LIMIT = 42.0  # dB, where the amplifier's gain ends and the picture darkens
INTERFACE = 1.2  # mm of the pulse over which an impedance gradient reflects
INCIDENCE_POWER = 6.0  # n of cosⁿ of the incidence
GEL = 8.0  # mm of coupling gel that may lie between face and skin
GHOST = -20.0  # dB lost at each further round trip between face and a near layer
GHOST_DEPTH = 12.0  # mm of layers that reverberate
FASCIA_PERIOD = 7.0  # mm between fascia layers
FASCIA_DEPTH = 28.0  # mm under the skin to which they are followed
FASCIA_LEVEL = -24.0  # dB of a fascia layer met squarely
RING_LEVEL, RING_LENGTH = -14.0, 0.9  # dB and mm: the probe's own reverberation
GREY_FLOOR = 9  # darkest grey inside the fan, as in the real frames
GREY_GAMMA = 1.5  # of the grey map; with the looks it gives the skewness of real liver regions
ZONES = 16  # depth zones of constant lateral point spread


@dataclass(frozen=True, eq=False)
class Formation:
    """Everything that does not depend on the pose, for one probe and one set of settings."""

    settings: ImageSettings
    depths: Tensor  # (S,) mm
    line_spacing: Tensor  # (S,) mm between neighbouring scan lines
    lateral_psf: Tensor  # (ZONES, L, L)
    tgc: Tensor  # (S,) dB
    ring: Tensor  # (S,) amplitude of the probe's reverberation
    noise: Tensor  # (L, S, 2 LOOKS)


def formation(probe: ProbeGeometry, settings: ImageSettings, seed: int, device: torch.device) -> Formation:
    """Prepare the pose-independent parts of image formation."""
    depths = torch.from_numpy(probe.sample_depths)
    spacing = line_spacing(probe, depths)
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(probe.scan_lines, probe.samples, 2 * LOOKS, generator=generator)
    tgc = (0.2 * settings.tgc * settings.frequency * depths).clamp(max=TGC_LIMIT)
    ring = 10 ** (RING_LEVEL / 20) * torch.exp(-depths / RING_LENGTH) * (0.6 + 0.4 * torch.cos(depths * 7.0))
    parts = (depths, spacing, lateral_psf(probe, settings, spacing), tgc, ring, noise * 10 ** (NOISE_LEVEL / 20))
    return Formation(settings, *(part.to(device) for part in parts))


def line_spacing(probe: ProbeGeometry, depths: Tensor) -> Tensor:
    """Return (S,) mm between neighbouring scan lines at each depth."""
    if math.isinf(probe.apex):
        return torch.full_like(depths, probe.aperture / probe.scan_lines)
    return (probe.apex + depths) * (probe.field_of_view / probe.scan_lines)


def beam_width(depths: Tensor, settings: ImageSettings) -> Tensor:
    """Return (S,) lateral full width at half maximum of the point spread, mm.

    Dynamic receive focusing at constant f-number gives 0.024·depth at 3.5 MHz (measured on real frames) and scales
    with the wavelength; away from the transmit focus the beam widens as a Gaussian beam of 60 mm depth of field.
    """
    diffraction = 0.024 * 3.5 / settings.frequency * depths
    return (diffraction * torch.sqrt(1 + ((depths - settings.focus) / 120) ** 2)).clamp(min=0.7)


def lateral_psf(probe: ProbeGeometry, settings: ImageSettings, spacing: Tensor) -> Tensor:
    """Return (ZONES, L, L): row l mixes the scan lines that the beam of line l covers, power kept."""
    depths = torch.from_numpy(probe.sample_depths)
    sigma = (beam_width(depths, settings) / 2.355 / spacing).reshape(ZONES, -1).mean(dim=1)
    lines = torch.arange(probe.scan_lines, dtype=torch.float32)
    offset = lines[:, None] - lines[None, :]
    psf = torch.exp(-0.5 * (offset / sigma.clamp(min=0.2)[:, None, None]) ** 2)
    return psf / psf.square().sum(dim=-1, keepdim=True).sqrt()


def b_mode(anatomy: Anatomy, coupling: Tensor, form: Formation) -> Tensor:
    """Form the image of each pose.

    Args:
        anatomy: tensors, sampled along the scan lines.
        coupling: (B, L), 0 to 1, from the contact.
        form: from `formation`.

    Returns:
        (B, L, S) float32 grey levels, 0 to 255.
    """
    impedance = with_gel(anatomy, form)
    energy = transmission(impedance, anatomy.attenuation, form) * coupling[..., None]
    specular = specular_echo(impedance, anatomy.specularity, form) + fascia(anatomy, form)
    coherent = energy * specular
    coherent = coherent + reverberation(coherent, form)
    scattered = anatomy.scatter * (energy * 10 ** (SPECKLE_LEVEL / 20))[..., None]
    looks = scattered.shape[-1] // 2
    scattered[..., :looks] += coherent[..., None]
    signal = blur_laterally(scattered, form.lateral_psf)
    envelope = compound(signal + form.noise) + form.ring
    return log_compress(envelope, form)


def uncoupled(form: Formation) -> Tensor:
    """Return (L, S) grey levels of a probe in air: its own reverberation in the first mm, then noise."""
    return log_compress(compound(form.noise) + form.ring, form)


def with_gel(anatomy: Anatomy, form: Formation) -> Tensor:
    """Replace the air between face and skin by gel that matches the skin's impedance."""
    gap = (anatomy.skin_distance > -0.5) & (form.depths < GEL)
    return torch.where(gap, torch.full_like(anatomy.impedance, 1.65), anatomy.impedance)


def transmission(impedance: Tensor, attenuation: Tensor, form: Formation) -> Tensor:
    """Two-way amplitude that is left at each sample: exp(−2αf∫ds) · Π(1 − R²), averaged over the aperture."""
    step = float(form.depths[1] - form.depths[0]) / 10  # cm
    loss = 2 * NEPER * form.settings.frequency * step * attenuation
    reflection = torch.diff(impedance) / (impedance[..., 1:] + impedance[..., :-1])
    loss[..., 1:] -= torch.log1p(-reflection.square().clamp(max=0.9999))
    left = torch.exp(-torch.cumsum(loss, dim=-1))
    return aperture_average(left)


def aperture_average(left: Tensor) -> Tensor:
    """Mean over neighbouring scan lines: a wide aperture looks round the edge of a shadow."""
    kernel = torch.tensor([1.0, 2.0, 3.0, 2.0, 1.0], device=left.device) / 9
    padded = torch.nn.functional.pad(left[:, None], (0, 0, 2, 2), mode="replicate")
    return torch.nn.functional.conv2d(padded, kernel[None, None, :, None])[:, 0]


def specular_echo(impedance: Tensor, specularity: Tensor, form: Formation) -> Tensor:
    """Amplitude reflected by interfaces: ½|∇ ln Z| times the pulse's half length, falling as cosⁿ of incidence."""
    log_z = smooth(torch.log(impedance))
    along, across = torch.gradient(log_z, dim=(-1, -2))
    along = along / (form.depths[1] - form.depths[0])
    across = across / form.line_spacing
    square = along.square() + across.square() + 1e-12
    cosine_power = (along.square() / square) ** (INCIDENCE_POWER / 2)
    mirror = specularity * cosine_power + (1 - specularity) * 0.1
    return (0.5 * INTERFACE * square.sqrt()).clamp(max=1.0) * mirror


def smooth(field: Tensor) -> Tensor:
    """Round off the steps that voxels of the label map leave in an interface: a mean over 5 lines × 5 samples."""
    return torch.nn.functional.avg_pool2d(field[:, None], 5, stride=1, padding=2, count_include_pad=False)[:, 0]


def fascia(anatomy: Anatomy, form: Formation) -> Tensor:
    """Connective tissue between the layers of the body wall: wavy sheets that follow the skin."""
    phase = (-anatomy.skin_distance + 2.0 * anatomy.warp) / FASCIA_PERIOD
    sheet = torch.exp(-0.5 * ((phase - phase.round()) * FASCIA_PERIOD / 0.45) ** 2)
    strength = (0.6 + 0.4 * torch.cos(4 * anatomy.warp + 2.4 * phase.round()))
    strength = strength * (-anatomy.skin_distance < FASCIA_DEPTH)
    return 10 ** (FASCIA_LEVEL / 20) * anatomy.layering * sheet * strength


def reverberation(coherent: Tensor, form: Formation) -> Tensor:
    """Ghosts of the near layers at twice and three times their depth."""
    samples = torch.arange(coherent.shape[-1], device=coherent.device)
    near = coherent * (form.depths < GHOST_DEPTH)
    loss = 10 ** (GHOST / 20)
    return loss * near[..., samples // 2] + loss**2 * near[..., samples // 3]


def blur_laterally(signal: Tensor, psf: Tensor) -> Tensor:
    """Convolve (B, L, S, C) across the scan lines with each depth zone's point spread (ZONES, L, L)."""
    batch, lines, samples, channels = signal.shape
    zoned = signal.reshape(batch, lines, len(psf), -1).transpose(1, 2)
    return torch.matmul(psf, zoned).transpose(1, 2).reshape(batch, lines, samples, channels)


def compound(signal: Tensor) -> Tensor:
    """Mean envelope of the looks: (B, L, S, 2 looks) complex parts -> (B, L, S)."""
    looks = signal.shape[-1] // 2
    return (signal[..., :looks].square() + signal[..., looks:].square()).sqrt().mean(dim=-1)


def log_compress(envelope: Tensor, form: Formation) -> Tensor:
    """Amplitude to grey: TGC and gain in dB, then the dynamic range from black (0) to white (255)."""
    settings = form.settings
    level = torch.log(envelope.clamp(min=1e-9)) / NEPER + form.tgc + settings.gain
    shown = (1 + level / settings.dynamic_range).clamp(0, 1) ** GREY_GAMMA
    return GREY_FLOOR + (255 - GREY_FLOOR) * shown
