# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Image formation on the CPU: what `b_mode.received` does by tensors, as a few compiled loops over the scan lines.

A loop ends where the next step needs its neighbours' results.
"""

from __future__ import annotations

import numba
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from us_sim.core.compute.kernels import kernel
from us_sim.core.physics import gel, reverberation
from us_sim.core.physics import interfaces as i
from us_sim.core.physics.body_wall import fascia
from us_sim.core.physics.imaging import NEPER, Formation
from us_sim.core.physics.lung import comet_of, decays
from us_sim.core.physics.pleura import A_LINES, TURNED, add_repeat, even_out, keep_echo
from us_sim.core.physics.reverberation import EDGE, first_wall, is_gas
from us_sim.core.physics.sheen import INTERFACE, ROUGH, shine_of, step_of
from us_sim.core.physics.speckle import add, add_shifted, mix
from us_sim.core.sampling.anatomy import Anatomy

ZERO, HALF, ONE = np.float32(0), np.float32(0.5), np.float32(1)
FAINT = np.float32(i.FAINT)


def received_by_loops(anatomy: Anatomy, coupling: Tensor, form: Formation) -> Tensor:
    """`b_mode.received` on the CPU."""
    _check(anatomy, coupling, form)
    shape, scanner, looks = anatomy.impedance.shape, form.scanner, form.scanner.looks
    made = torch.empty(7, *shape).numpy()  # each step writes what the next one reads
    impedance, left, step, along, energy, even, level = made
    given = anatomy.impedance, anatomy.attenuation, anatomy.skin_distance, anatomy.layering
    more = anatomy.scatter, anatomy.specularity, fascia(anatomy), anatomy.strand, anatomy.warp, anatomy.known
    depths, spacing = form.depths.numpy(), form.line_spacing.numpy()
    maps = [part.contiguous().numpy() for part in given]
    scatter, specularity, sheets, strand, warp, known = (part.contiguous().numpy() for part in more)
    _down(*[*maps, anatomy.tissue.numpy(), depths, np.float32(form.loss_per_sample), impedance, left])
    _steps(impedance, maps[3], step, along)
    _across(left, along, impedance, depths, form.penumbra.numpy(), form.evenness.numpy(), energy, even)
    echoes = torch.empty(*shape, 2 * looks).numpy()
    haze, coherent = left, along  # their places are free by then
    tail = torch.exp(-(form.depths[: reverberation.TAIL] - form.depths[0]) / scanner.ring_down).numpy()
    levels = _levels(form)
    lung, windows = np.zeros(shape[:2], np.int64), np.zeros((*shape[:2], 2 * EDGE + 1), np.float32)
    _echo(
        scatter, specularity, sheets, strand, warp, known, maps[3], impedance, energy, step, even, spacing, depths,
        levels, looks, coherent, level, lung, windows,
    )  # fmt: skip
    pleura = np.zeros(shape[:2], np.float32), np.zeros_like(windows)
    even_out(lung, windows, spacing, np.float32(form.step), *pleura)
    fading = decays(form).numpy()
    _returned(
        scatter, strand, known, impedance, energy, coherent, depths, fading, tail, levels, looks, *pleura,
        echoes, haze, level,
    )  # fmt: skip
    reach = max(1, round(scanner.side_lobe_width / form.step))
    _smear(level, reach, along)
    side = np.float32(10 ** (scanner.side_lobe_level / 20))
    signal = torch.empty(*shape, 2 * looks).numpy()
    _pulse(echoes, along, level, haze, form.clutter.numpy(), form.side_lobes.numpy(), side, form.pulse.numpy(), signal)
    envelope = torch.empty(shape)
    weak = coupling.contiguous().numpy(), form.aperture.numpy(), form.noise.numpy(), form.ring.numpy()
    _compound(signal, form.lateral_psf.numpy(), *weak, envelope.numpy())
    return envelope


def _check(anatomy: Anatomy, coupling: Tensor, form: Formation) -> None:
    """The loops look at the shape of one array and read all others there."""
    _, lines, samples = shape = anatomy.impedance.shape
    channels = anatomy.scatter.shape[-1]
    assert all(part.shape[:3] == shape for part in vars(anatomy).values()), f"anatomy of other shapes than {shape}"
    assert channels >= 2 * form.scanner.looks, f"scatterers of {channels} channels for {form.scanner.looks} looks"
    assert coupling.shape == shape[:2], f"coupling of shape {tuple(coupling.shape)} for anatomy of {tuple(shape)}"
    here = form.noise.shape[:2]
    assert here == (lines, samples), f"formation of {tuple(here)} lines and samples for {lines, samples}"


def _levels(form: Formation) -> NDArray[np.float32]:
    """(6,) float32: amplitudes of speckle, interfaces, mirrors, haze, ghosts of one and two round trips."""
    scanner, ghost = form.scanner, reverberation.GHOST
    db = [scanner.speckle_level, scanner.specular_level, scanner.mirror_level, scanner.shadow_level, ghost, 2 * ghost]
    return (10 ** (np.array(db) / 20)).astype(np.float32)


@kernel
def _down(impedance, attenuation, distance, layering, tissue, depths, per_sample, out, left):  # type: ignore[no-untyped-def]
    """Impedance and two-way amplitude down each line."""
    lines = impedance.shape[1]
    for r in numba.prange(impedance.shape[0] * lines):
        b, line = r // lines, r % lines
        lost, before = ZERO, ZERO
        for s in range(impedance.shape[2]):
            z, loss, skin = impedance[b, line, s], attenuation[b, line, s], distance[b, line, s]
            steps = tissue[b, line, s] == gel.AIR and skin > -gel.STEPS and skin <= 0
            if steps or (skin > np.float32(-0.5) and depths[s] < gel.DEPTH):
                z, loss = np.float32(gel.IMPEDANCE), ZERO
            lost += per_sample * loss
            if s > 0:
                reflection = (z - before) / (z + before)
                lost -= np.log1p(-min(reflection * reflection, np.float32(0.9999)))
            out[b, line, s], left[b, line, s], before = z, np.exp(-lost), z


@kernel
def _steps(impedance, layering, fine, along):  # type: ignore[no-untyped-def]
    """Steps of impedance, averaged over 3 and over NORMAL samples of each line."""
    lines, samples = impedance.shape[1:]
    reach = i.NORMAL // 2
    for r in numba.prange(impedance.shape[0] * lines):
        b, line = r // lines, r % lines
        step = np.empty(samples, np.float32)
        for s in range(samples):
            step[s] = step_of(impedance[b, line, s], layering[b, line, s])
        _averaged(step, 1, fine[b, line])
        _averaged(step, reach, along[b, line])


@numba.njit
def _averaged(values, reach, out):  # type: ignore[no-untyped-def]
    """Mean of (S,) values over 2 reach + 1 samples, of those that there are."""
    out[:] = 0
    for shift in range(-reach, reach + 1):  # a vector at a time; each sum in the order of its samples
        add_shifted(ONE, values, shift, out)
    for s in range(len(values)):
        out[s] /= np.float32(min(s + reach + 1, len(values)) - max(s - reach, 0))


@kernel
def _across(left, along, impedance, depths, penumbra, evenness, energy, even):  # type: ignore[no-untyped-def]
    """What the aperture leaves of the sound, and the even steps of impedance, from the neighbouring lines."""
    lines, samples = left.shape[1:]
    size = samples // len(evenness)
    for r in numba.prange(left.shape[0] * lines):
        b, line = r // lines, r % lines
        for zone in range(len(evenness)):
            start = zone * size
            mix(left, b, start, penumbra, zone, line, energy[b, line, start : start + size])
            mix(along, b, start, evenness, zone, line, even[b, line, start : start + size])
        first, _ = first_wall(impedance[b, line])
        if first > 0:
            for s in range(first + 1, samples):
                round_it = min((depths[s] - depths[first]) / np.float32(reverberation.FILLED), ONE)
                energy[b, line, s] = left[b, line, s] + round_it * (energy[b, line, s] - left[b, line, s])


@numba.njit(inline="always")
def _slopes(field, b, line, s, per_sample, spacing):  # type: ignore[no-untyped-def]
    """Derivatives of a (B, L, S) field along and across the lines, 1/mm."""
    s0, s1 = max(s - 1, 0), min(s + 1, field.shape[2] - 1)
    l0, l1 = max(line - 1, 0), min(line + 1, field.shape[1] - 1)
    along = (field[b, line, s1] - field[b, line, s0]) / (np.float32(s1 - s0) * per_sample)
    across = (field[b, l1, s] - field[b, l0, s]) / (np.float32(l1 - l0) * spacing[s])
    return along, across


@kernel
def _echo(  # type: ignore[no-untyped-def]
    scatter, specularity, sheets, strand, warp, known, layering, impedance, energy, fine, even, spacing, depths, levels,
    looks, coherent, grain, lung, windows,
):  # fmt: skip
    """What each place sends back, as a mirror and as grain, and where there is lung the echo of its pleura apart."""
    batch, lines, samples = energy.shape
    every, per_sample = scatter.shape[3] // 2, depths[1] - depths[0]
    for r in numba.prange(batch * lines):
        b, line = r // lines, r % lines
        for s in range(samples):
            a, c = _slopes(even, b, line, s, per_sample, spacing)
            square = a * a / (a * a + c * c + np.float32(1e-9))
            a, c = _slopes(fine, b, line, s, per_sample, spacing)
            echo = np.float32(HALF * INTERFACE) * levels[1] * np.sqrt(a * a + c * c) * known[b, line, s]
            echo = min(echo * shine_of(layering[b, line, s], warp[b, line, s], strand[b, line, s]), ONE)
            mirror = specularity[b, line, s]
            coherent[b, line, s] = echo * mirror * square**3 + sheets[b, line, s]
            own = ZERO
            for q in range(looks):
                own += scatter[b, line, s, q] ** 2 + scatter[b, line, s, every + q] ** 2
            rough = echo * (ONE - mirror) * np.float32(ROUGH) * square
            grain[b, line, s] = levels[0] + rough / max(np.sqrt(own / np.float32(2 * looks)), FAINT)
        first, airy = first_wall(impedance[b, line])
        if airy and not is_gas(impedance[b, line], first):
            lung[b, line] = first
            keep_echo(first, coherent[b, line], windows[b, line])
            for s in range(first - EDGE, min(first + EDGE + 1, samples)):
                windows[b, line, s - first + EDGE] *= energy[b, line, s]


@kernel
def _returned(  # type: ignore[no-untyped-def]
    scatter, strand, known, impedance, energy, coherent, depths, fading, tail, levels, looks, shifts, profiles,
    echoes, haze, level,
):  # fmt: skip
    """What comes back down each line, its mean level in place of the grain, and the haze behind gas."""
    batch, lines, samples = energy.shape
    every, per_sample = scatter.shape[3] // 2, depths[1] - depths[0]
    for r in numba.prange(batch * lines):
        b, line = r // lines, r % lines
        first, airy = first_wall(impedance[b, line])
        gas = airy and is_gas(impedance[b, line], first)
        image, grain, sent = np.empty(samples, np.float32), level[b, line].copy(), np.empty(samples, np.float32)
        left = energy[b, line] * known[b, line]  # a wall beyond the CT returns nothing
        _behind(first, airy, gas, strand[b, line], left, depths, fading, levels, image, haze[b, line])
        for s in range(samples):
            source = min(max(2 * first - s, 0), samples - 1)
            sent[s] = energy[b, line, s] * coherent[b, line, s] + image[s] * coherent[b, line, source]
        if gas:
            _repeat(first, _strength(strand[b, line], first), per_sample, sent)
        elif airy:
            kept = np.float32(TURNED) * left[first - reverberation.BACK]
            for number in range(A_LINES + 1):
                add_repeat(number, kept**number, first, shifts[b, line], profiles[b, line], sent)
        heard = np.empty(samples, np.float32)
        _reverberate(sent, depths, levels, tail, heard)
        for s in range(samples):
            source = min(max(2 * first - s, 0), samples - 1)
            here, there = grain[s] * energy[b, line, s], grain[source] * image[s]
            total = ZERO
            for q in range(looks):
                real = here * scatter[b, line, s, q] + there * scatter[b, line, source, q] + heard[s]
                imaginary = here * scatter[b, line, s, every + q] + there * scatter[b, line, source, every + q]
                echoes[b, line, s, q], echoes[b, line, s, looks + q] = real, imaginary
                total += real * real + imaginary * imaginary
            level[b, line, s] = np.sqrt(total / np.float32(2 * looks))


@numba.njit
def _strength(strand, first):  # type: ignore[no-untyped-def]
    """Of the echo of gas and of all that follows from it."""
    most = np.float32(reverberation.MOST_RAGGED)
    folds = min(max(strand[max(first - reverberation.WITHIN, 0)], -most), most)
    return np.exp(np.float32(NEPER * reverberation.RAGGED) * folds)


@numba.njit
def _repeat(first, strength, per_sample, sent):  # type: ignore[no-untyped-def]
    """Break up the echo of gas, and repeat it behind."""
    start, stop = max(first - reverberation.EDGE, 0), min(first + reverberation.EDGE + 1, len(sent))
    sent[start:stop] *= strength
    edge = sent[start:stop].copy()
    step = max(1, int(np.rint(np.float32(reverberation.APART) / per_sample)))
    for line in range(reverberation.LINES):
        level = np.float32(10 ** ((reverberation.LINE + line * reverberation.FAINTER) / 20))
        for s in range(start, stop):
            if s + (line + 1) * step < len(sent):
                sent[s + (line + 1) * step] += level * edge[s - start]


@numba.njit
def _behind(first, airy, gas, strand, left, depths, decays, levels, image, haze):  # type: ignore[no-untyped-def]
    """Amplitudes of the mirror image and of the haze at each sample of a line."""
    image[:], haze[:] = 0, 0
    if first == 0:
        return
    met, lung = left[first - reverberation.BACK], airy and not gas
    share = levels[3] * met * (_strength(strand, first) if airy else np.float32(reverberation.BONE_SHARE))
    fading = decays[1] if lung else decays[0]
    add(share / fading[first], fading[first + 1 :], haze[first + 1 :])
    comet = comet_of(strand, first, depths) if lung else ZERO
    if comet > 0:
        add(levels[3] * met * comet / decays[2, first], decays[2, first + 1 :], haze[first + 1 :])
    for s in range(first + 1, min(2 * first, len(left)) if airy else 0):
        behind = s - first
        turned = ONE - np.float32(behind) / np.float32(first)
        image[s] = levels[2] * met * met / max(left[first - behind], np.float32(1e-6)) * turned


@numba.njit
def _reverberate(sent, depths, levels, tail, out):  # type: ignore[no-untyped-def]
    """Add the ghosts of near layers, and lengthen each echo by the pulse's tail."""
    ghostly = sent.copy()
    for s in range(len(sent)):
        if depths[s // 2] < reverberation.GHOST_DEPTH:
            ghostly[s] += levels[4] * sent[s // 2]
        if depths[s // 3] < reverberation.GHOST_DEPTH:
            ghostly[s] += levels[5] * sent[s // 3]
    out[:] = 0
    for k in range(len(tail)):
        add_shifted(tail[k], ghostly, -k, out)


@kernel
def _smear(level, reach, out):  # type: ignore[no-untyped-def]
    """Mean of the level along each line over the reach of the side lobes."""
    lines = level.shape[1]
    for r in numba.prange(level.shape[0] * lines):
        _averaged(level[r // lines, r % lines], reach, out[r // lines, r % lines])


@kernel
def _pulse(echoes, smeared, level, haze, clutter, side_lobes, side, pulse, signal):  # type: ignore[no-untyped-def]
    """Add what side lobes and haze bring, and convolve along each line with the pulse."""
    batch, lines, samples, channels = echoes.shape
    size, reach = samples // len(side_lobes), len(pulse) // 2
    for r in numba.prange(batch * lines):
        b, line = r // lines, r % lines
        around = np.empty(samples, np.float32)
        for zone in range(len(side_lobes)):
            start = zone * size
            mix(smeared, b, start, side_lobes, zone, line, around[start : start + size])
        more = np.empty(samples, np.float32)
        for s in range(samples):
            ratio = side * around[s] / max(level[b, line, s], np.float32(1e-12))
            more[s] = np.sqrt(ONE + ratio * ratio)
        heard, out = np.empty((samples, channels), np.float32), signal[b, line].reshape(-1)
        _heard(more, echoes[b, line], haze[b, line], clutter[line], heard)
        out[:] = 0
        for t in range(len(pulse)):
            add_shifted(pulse[t], heard.reshape(-1), (t - reach) * channels, out)


@numba.njit
def _heard(more, echoes, haze, clutter, out):  # type: ignore[no-untyped-def]
    """Echoes of one line, louder by what side lobes bring, and its haze."""
    for s in range(out.shape[0]):
        for q in range(out.shape[1]):
            out[s, q] = more[s] * echoes[s, q] + haze[s] * clutter[s, q]


@kernel
def _compound(signal, psf, coupling, aperture, noise, ring, envelope):  # type: ignore[no-untyped-def]
    """Mix the lines that a beam covers, add the noise, and average the envelopes of the looks."""
    batch, lines, samples, channels = signal.shape
    size, looks = samples // len(psf), channels // 2
    flat = signal.reshape(batch, lines, samples * channels)
    for r in numba.prange(batch * lines):
        b, line = r // lines, r % lines
        mixed = np.empty(size * channels, np.float32)
        for zone in range(len(psf)):
            mix(flat, b, zone * size * channels, psf, zone, line, mixed)
            for k in range(size):
                s, total = zone * size + k, ZERO
                weak = coupling[b, line] * aperture[line, s]
                for q in range(looks):
                    real = mixed[k * channels + q] * weak + noise[line, s, q]
                    imaginary = mixed[k * channels + looks + q] * weak + noise[line, s, looks + q]
                    total += np.sqrt(real * real + imaginary * imaginary)
                envelope[b, line, s] = total / np.float32(looks) + ring[s]
