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

from us_sim.core.anatomy import Anatomy
from us_sim.core.formation import Formation

NEPER = math.log(10) / 20  # dB to natural logarithm of amplitude
SPECKLE_LEVEL = -41.0  # dB, scattered echo of 0 dB tissue
INTERFACE = 1.2  # mm of the pulse over which an impedance gradient reflects
INCIDENCE_POWER = 6.0  # n of cosⁿ of the incidence
GEL = 8.0  # mm of coupling gel that may lie between face and skin
GEL_IMPEDANCE = 1.65  # MRayl
GHOST = -20.0  # dB lost at each further round trip between face and a near layer
GHOST_DEPTH = 12.0  # mm of layers that reverberate
FASCIA_PERIOD = 7.0  # mm between fascia layers
FASCIA_DEPTH = 28.0  # mm under the skin to which they are followed
FASCIA_LEVEL = -24.0  # dB of a fascia layer met squarely
RING_DOWN = 0.7  # mm over which the tail of a pulse falls by a factor e
HAZE_LEVEL, HAZE_LENGTH = -40.0, 14.0  # dB to a mm of reflector, mm: dirty shadow behind gas and bone
GREY_FLOOR = 9  # darkest grey inside the fan, as in the real frames
GREY_GAMMA = 1.5  # of the grey map; with the looks it gives the skewness of real liver regions


def b_mode(anatomy: Anatomy, coupling: Tensor, form: Formation) -> Tensor:
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
    specular = specular_echo(impedance, anatomy.specularity, form) + fascia(anatomy, form)
    coherent = energy * specular
    diffuse = energy * 10 ** (SPECKLE_LEVEL / 20)
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


def fascia(anatomy: Anatomy, form: Formation) -> Tensor:
    """Connective tissue between the layers of the body wall: wavy sheets that follow the skin."""
    phase = (-anatomy.skin_distance + 2.0 * anatomy.warp) / FASCIA_PERIOD
    sheet = torch.exp(-0.5 * ((phase - phase.round()) * FASCIA_PERIOD / 0.45) ** 2)
    strength = (0.6 + 0.4 * torch.cos(4 * anatomy.warp + 2.4 * phase.round()))
    strength = strength * (-anatomy.skin_distance < FASCIA_DEPTH)
    return 10 ** (FASCIA_LEVEL / 20) * anatomy.layering * sheet * strength


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


def blur_laterally(signal: Tensor, psf: Tensor) -> Tensor:
    """Convolve (B, L, S, C) across the scan lines with each depth zone's point spread (ZONES, L, L)."""
    batch, lines, samples, channels = signal.shape
    zoned = signal.reshape(batch, lines, len(psf), -1).transpose(1, 2)
    return torch.matmul(psf, zoned).transpose(1, 2).reshape(batch, lines, samples, channels)


def compound(signal: Tensor) -> Tensor:
    """Mean envelope of the looks: (B, L, S, 2 looks) complex parts -> (B, L, S)."""
    looks = signal.shape[-1] // 2
    return (signal[..., :looks].square() + signal[..., looks:].square()).sqrt().mean(dim=-1)


def texture(anatomy: Anatomy, form: Formation) -> Tensor:
    """What scatterers and fascia would show on their own, under the probe's point spread and without attenuation.

    Returns:
        (B, L, S) level over the mean echo of 0 dB tissue, in units of 6 dB, −4 (blood, water) at least.
    """
    echoes = anatomy.scatter.clone()
    echoes[..., : echoes.shape[-1] // 2] += fascia(anatomy, form)[..., None] / 10 ** (SPECKLE_LEVEL / 20)
    envelope = compound(blur_laterally(echoes, form.lateral_psf)) / math.sqrt(math.pi / 2)
    return torch.log2(envelope.clamp(min=1 / 16))


def log_compress(envelope: Tensor, form: Formation) -> Tensor:
    """Amplitude to grey: TGC and gain in dB, then the dynamic range from black (0) to white (255)."""
    settings = form.settings
    level = torch.log(envelope.clamp(min=1e-9)) / NEPER + form.tgc + settings.gain
    shown = (1 + level / settings.dynamic_range).clamp(0, 1) ** GREY_GAMMA
    return GREY_FLOOR + (255 - GREY_FLOOR) * shown
