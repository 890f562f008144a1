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

import torch
from torch import Tensor

from us_sim.core.physics.imaging import Formation
from us_sim.core.physics.speckle import SPECKLE, blur_laterally, compound, fascia
from us_sim.core.sampling.anatomy import Anatomy

NEPER = math.log(10) / 20  # dB to natural logarithm of amplitude
INTERFACE = 1.2  # mm of the pulse over which an impedance gradient reflects
INCIDENCE_POWER = 6.0  # n of cosⁿ of the incidence
GEL = 8.0  # mm of coupling gel that may lie between face and skin
GEL_IMPEDANCE = 1.65  # MRayl
GHOST = -20.0  # dB lost at each further round trip between face and a near layer
GHOST_DEPTH = 12.0  # mm of layers that reverberate
RING_DOWN = 0.7  # mm over which the tail of a pulse falls by a factor e
HAZE_LEVEL, HAZE_LENGTH = -40.0, 14.0  # dB to a mm of reflector, mm: dirty shadow behind gas and bone
GREY_FLOOR = 9  # darkest grey inside the fan, as in the real frames
GREY_GAMMA = 1.5  # of the grey map; with the looks it gives the skewness of real liver regions


def polar_frame(anatomy: Anatomy, coupling: Tensor, form: Formation) -> Tensor:
    """Form the image of each pose.

    Args:
        anatomy: tensors, sampled along the scan lines.
        coupling: (B, L), 0 to 1, from the contact.
        form: from `formation`.

    Returns:
        (B, L, S) float32 grey levels, 0 to 255.
    """
    impedance, attenuation = with_gel(anatomy, form)
    energy = transmission(impedance, attenuation, form) * coupling[..., None]
    specular = specular_echo(impedance, anatomy.specularity, form) + fascia(anatomy)
    coherent = energy * specular
    diffuse = energy * SPECKLE
    haze = dirty_shadow(coherent, form)
    coherent = ring_down(coherent + ghosts(coherent, form), form)
    scattered = anatomy.scatter * diffuse[..., None] + form.clutter * haze[..., None]
    looks = scattered.shape[-1] // 2
    scattered[..., :looks] += coherent[..., None]
    signal = blur_laterally(scattered, form.lateral_psf)
    envelope = compound(signal + form.noise) + form.ring
    return log_compress(envelope, form)


def uncoupled(form: Formation) -> Tensor:
    """Return (L, S) grey levels of a probe in air: its own reverberation in the first mm, then noise."""
    return log_compress(compound(form.noise) + form.ring, form)


def with_gel(anatomy: Anatomy, form: Formation) -> tuple[Tensor, Tensor]:
    """Impedance and attenuation with the air between face and skin replaced by gel, which matches the skin."""
    gap = (anatomy.skin_distance > -0.5) & (form.depths < GEL)
    return anatomy.impedance.masked_fill(gap, GEL_IMPEDANCE), anatomy.attenuation.masked_fill(gap, 0.0)


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
    kernel = torch.tensor([1.0, 2.0, 3.0, 4.0, 3.0, 2.0, 1.0], device=left.device) / 16
    padded = torch.nn.functional.pad(left[:, None], (0, 0, 3, 3), mode="replicate")
    return torch.nn.functional.conv2d(padded, kernel[None, None, :, None])[:, 0]


def specular_echo(impedance: Tensor, specularity: Tensor, form: Formation) -> Tensor:
    """Amplitude reflected by interfaces: ½|∇ ln Z| times the pulse's half length, falling as cosⁿ of incidence."""
    log_z = smooth(torch.log(impedance), form)
    along, across = torch.gradient(log_z, dim=(-1, -2))
    along = along / (form.depths[1] - form.depths[0])
    across = across / form.line_spacing
    square = along.square() + across.square() + 1e-12
    cosine_power = (along.square() / square) ** (INCIDENCE_POWER / 2)
    mirror = specularity * cosine_power + (1 - specularity) * 0.1
    return (0.5 * INTERFACE * square.sqrt()).clamp(max=1.0) * mirror


def smooth(field: Tensor, form: Formation) -> Tensor:
    """Round off the steps that voxels of the label map leave in an interface, across lines and over 5 samples."""
    along = torch.nn.functional.avg_pool1d(field, 5, stride=1, padding=2, count_include_pad=False)
    return blur_laterally(along[..., None], form.evenness)[..., 0]


def ring_down(coherent: Tensor, form: Formation) -> Tensor:
    """Lengthen echoes by the tail of the pulse: strong ones, such as the diaphragm, look thick."""
    tail = torch.exp(-(form.depths[:8] - form.depths[0]) / RING_DOWN)
    padded = torch.nn.functional.pad(coherent[:, None], (7, 0))
    return torch.nn.functional.conv2d(padded, tail.flip(0)[None, None, None, :])[:, 0]


def dirty_shadow(coherent: Tensor, form: Formation) -> Tensor:
    """Amplitude of the multiple echoes that trail behind strong reflectors: ∫ echo · exp(−distance / HAZE_LENGTH)."""
    growth = torch.exp(form.depths / HAZE_LENGTH)
    step = float(form.depths[1] - form.depths[0])
    return 10 ** (HAZE_LEVEL / 20) * torch.cumsum(coherent * growth, dim=-1) / growth * step


def ghosts(coherent: Tensor, form: Formation) -> Tensor:
    """Echoes of the near layers at twice and three times their depth."""
    samples = torch.arange(coherent.shape[-1], device=coherent.device)
    near = coherent * (form.depths < GHOST_DEPTH)
    loss = 10 ** (GHOST / 20)
    return loss * near[..., samples // 2] + loss**2 * near[..., samples // 3]


def log_compress(envelope: Tensor, form: Formation) -> Tensor:
    """Amplitude to grey: TGC and gain in dB, then the dynamic range from black (0) to white (255)."""
    settings = form.settings
    level = torch.log(envelope.clamp(min=1e-9)) / NEPER + form.tgc + settings.gain
    shown = (1 + level / settings.dynamic_range).clamp(0, 1) ** GREY_GAMMA
    return GREY_FLOOR + (255 - GREY_FLOOR) * shown
