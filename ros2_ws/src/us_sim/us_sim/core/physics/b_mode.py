# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Ray-cast B-mode from CT, step by step along the scan lines.

    anatomy -> attenuation and transmission -> scattered echoes, interfaces as mirrors and rough -> mirror images,
            reverberation, haze behind gas -> point spread, side lobes -> electronic noise
            -> envelope, looks compounded -> TGC -> log compression

All amplitudes are relative to the echo of a flat, perfect reflector at the face. Formation runs on complex
baseband signals: speckle needs no carrier. Sources: Bürger et al. 2013 (doi 10.1109/TMI.2012.2224363) for ray-cast
attenuation and reflection, Wagner et al. 1983 for speckle statistics, Szabo 2014 ch. 6 and 8 for beam width and
scattering; constants without a source are fitted to depth-matched regions of real liver frames.
"""

from __future__ import annotations

import torch
from torch import Tensor

from us_sim.core.physics.gel import with_gel
from us_sim.core.physics.imaging import NEPER, Formation, pulsed
from us_sim.core.physics.interfaces import FAINT, interface_echo
from us_sim.core.physics.loops import received_by_loops
from us_sim.core.physics.pleura import A_LINES, TURNED, even_pleura, repeat
from us_sim.core.physics.reverberation import FILLED, Wall, first_solid, ghosts, repeated, ring_down, wall
from us_sim.core.physics.speckle import blur_laterally, compound, fascia
from us_sim.core.sampling.anatomy import Anatomy


def polar_frame(anatomy: Anatomy, coupling: Tensor, form: Formation) -> Tensor:
    """Form the image of each pose: compiled loops on the CPU, tensors elsewhere.

    Args:
        anatomy: tensors, sampled along the scan lines.
        coupling: (B, L), 0 to 1, from the contact.
        form: from `formation`.

    Returns:
        (B, L, S) float32 grey levels, 0 to 255.
    """
    envelope = received_by_loops if anatomy.scatter.device.type == "cpu" else received
    return log_compress(envelope(anatomy, coupling, form), form)


def received(anatomy: Anatomy, coupling: Tensor, form: Formation) -> Tensor:
    """Envelope of what comes back, (B, L, S) amplitude, noise included; arguments as for `polar_frame`."""
    scatter, looks = chosen(anatomy.scatter, form.scanner.looks), form.scanner.looks
    impedance, attenuation = with_gel(anatomy, form)
    energy = transmission(impedance, attenuation, form)
    mirror, rough = interface_echo(anatomy, impedance, form)
    behind = wall(impedance, energy * anatomy.known, anatomy.strand, form)  # one beyond the CT returns nothing
    coherent = mirror + fascia(anatomy)
    lines = of_pleura(energy * coherent, behind, form)
    coherent = coherent.masked_fill(behind.pleura, 0.0)
    coherent = energy * coherent + behind.mirror * coherent.gather(-1, behind.source)
    coherent = repeated(coherent, behind, form) + lines
    coherent = ring_down(coherent + ghosts(coherent, form), form)
    grain = 10 ** (form.scanner.speckle_level / 20) + rough / power(scatter).clamp(min=FAINT**2).sqrt()
    echoes = scatter * grain[..., None]
    image = echoes.gather(-2, behind.source[..., None].expand_as(echoes))
    echoes = echoes * energy[..., None] + image * behind.mirror[..., None]
    echoes[..., :looks] += coherent[..., None]
    echoes = beside(echoes, form) + form.clutter * behind.haze[..., None]
    signal = blur_laterally(pulsed(echoes, form.pulse), form.lateral_psf)
    return compound(signal * (form.aperture * coupling[..., None])[..., None] + form.noise) + form.ring


def of_pleura(echo: Tensor, behind: Wall, form: Formation) -> Tensor:
    """Pleura and A-lines, (B, L, S), from the echo of all that meets the sound squarely."""
    lung = behind.pleura.any(dim=-1, keepdim=True)
    shift, profile = even_pleura(echo, behind.first, lung, form)
    out = torch.zeros_like(echo)
    for number in range(A_LINES + 1):
        out = out + (TURNED * behind.met) ** number * repeat(number, behind.first, shift, profile, echo.shape[-1])
    return out * lung


def chosen(scatter: Tensor, looks: int) -> Tensor:
    """The first looks of (B, L, S, 2 LOOKS) real and imaginary parts."""
    every = scatter.shape[-1] // 2
    if looks == every:
        return scatter
    return torch.cat([scatter[..., :looks], scatter[..., every : every + looks]], dim=-1)


def power(signal: Tensor) -> Tensor:
    """Mean power of a real or imaginary part over the looks, (B, L, S)."""
    return signal.square().mean(dim=-1)


def beside(echoes: Tensor, form: Formation) -> Tensor:
    """Add the power that side lobes and the thickness of the slice bring from around, as speckle of the place."""
    own = power(echoes).clamp(min=1e-24).sqrt()  # a root has no slope at 0
    around = blur_laterally(smeared(own, form)[..., None], form.side_lobes)[..., 0]
    around = around * 10 ** (form.scanner.side_lobe_level / 20)
    return echoes * torch.sqrt(1 + (around / own).square())[..., None]


def smeared(level: Tensor, form: Formation) -> Tensor:
    """Mean of a (B, L, S) level along the scan lines, over the reach of the side lobes."""
    reach = max(1, round(form.scanner.side_lobe_width / form.step))
    return torch.nn.functional.avg_pool1d(level, 2 * reach + 1, stride=1, padding=reach, count_include_pad=False)


def uncoupled(form: Formation) -> Tensor:
    """Return (L, S) grey levels of a probe in air: its own reverberation in the first mm, then noise."""
    return log_compress(compound(form.noise) + form.ring, form)


def transmission(impedance: Tensor, attenuation: Tensor, form: Formation) -> Tensor:
    """Two-way amplitude that is left at each sample: exp(−2αf∫ds) · Π(1 − R²), averaged over the aperture."""
    loss = form.loss_per_sample * attenuation
    reflection = torch.diff(impedance) / (impedance[..., 1:] + impedance[..., :-1])
    loss[..., 1:] -= torch.log1p(-reflection.square().clamp(max=0.9999))
    left = torch.exp(-torch.cumsum(loss, dim=-1))
    around = blur_laterally(left[..., None], form.penumbra)[..., 0]
    return left + looked_round(impedance, form) * (around - left)


def looked_round(impedance: Tensor, form: Formation) -> Tensor:
    """Share of the aperture that looks round the gas or bone of each line, (B, L, S): 1 before it, then 0, growing."""
    first, solid = first_solid(impedance)
    beyond = (form.depths - form.depths[first]).clamp(min=0)
    return torch.where(solid & (beyond > 0), beyond / FILLED, 1.0).clamp(max=1)


def log_compress(
    envelope: Tensor, form: Formation, gain: Tensor | float | None = None, dynamic_range: Tensor | float | None = None
) -> Tensor:
    """Amplitude to grey: TGC and gain in dB, then the dynamic range from black (0) to white (255).

    `gain` and `dynamic_range` stand in for those of the settings.
    """
    settings, scanner = form.settings, form.scanner
    gain = settings.gain if gain is None else gain
    level = torch.log(envelope.clamp(min=1e-9)) / NEPER + form.tgc + gain + scanner.sensitivity
    shown = (1 + level / (settings.dynamic_range if dynamic_range is None else dynamic_range)).clamp(
        0, 1
    ) ** scanner.gamma
    return scanner.black + (255 - scanner.black) * shown
