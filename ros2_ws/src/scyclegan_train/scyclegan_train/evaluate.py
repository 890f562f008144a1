# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""`scyclegan_train evaluate`: generators and the physics renderer on the same held-out poses, in one report."""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from scyclegan_train.data.fans import FanGeometry, read_fan
from scyclegan_train.data.frames import FrameFolder
from scyclegan_train.data.inputs import known_fan
from scyclegan_train.data.patient_source import phantom_cases
from scyclegan_train.data.samples import UsBatch
from scyclegan_train.evaluation import criteria, cycle, downstream, held_out, measure, radiomics, report
from scyclegan_train.evaluation.fid import Inception, fid_table
from scyclegan_train.evaluation.held_out import Scene
from scyclegan_train.evaluation.intervals import frd, kid_interval
from scyclegan_train.evaluation.likeness import blocks_of, even_half, grey_distance, pooled
from scyclegan_train.evaluation.masked import Masked, drawn_frames, masked_frames, synthetic_frames
from scyclegan_train.evaluation.measure import Findings
from scyclegan_train.evaluation.reference_segmenter import LINES, ReferenceSegmenter, open_reference
from scyclegan_train.run.export import export
from scyclegan_train.run.panels import tiled
from us_sim.core.analysis.segmenter import load_segmenter
from us_sim.core.command import as_command, given_path
from us_sim.core.errors import ConfigError
from us_sim.core.generator.artifact import Generator, load_generator
from us_sim.core.generator.shipped import segmenter_of
from us_sim.core.physics.scan_conversion import conversion_grid, scan_convert
from us_sim.core.robot.motion import motion
from us_sim.core.simulator import Simulator
from us_sim.core.tissue import CLASS_COLORS

TIMED = 10  # frames that the speed is measured on
SHOWN = 2  # patients in the figure
THINNED = 2  # every second pixel of a frame is shown
OTHERS = "real, other frames of the sweep"  # a distance of real from real, to read the others by
SEEN_STEP = 4  # of the real frames that a generator may have seen, every fourth is compared: neighbours are alike


@dataclass(frozen=True)
class Extras:
    """Optional inputs of a report beyond generators and phantoms.

    Attributes:
        real: held-out real frames along LINES.
        seen: other real frames, for the distance of real from real.
        runs: folders of the runs that generators come from, by the generator's name.
        inception: features for the FID.
        masked: real frames with masks.
        use_steps, use_frames: of the segmenters that are trained on them, and how many synthetic frames there are.
    """

    real: UsBatch | None = None
    seen: UsBatch | None = None
    runs: Mapping[str, Path] = field(default_factory=dict)
    inception: Inception | None = None
    masked: Masked | None = None
    use_steps: int = 1000
    use_frames: int = 256


def evaluate(
    generators: Sequence[Generator], folder: Path, *, seeds: Sequence[int], count: int,
    reference: ReferenceSegmenter, extras: Extras | None = None,
) -> criteria.Report:  # fmt: skip
    """Measure generators and the physics renderer, and write the report.

    Args:
        generators: on the CPU.
        folder: of the report.
        seeds: held-out phantoms.
        count: poses on each.
        reference: segmenter that measures Dice, and features for the KID.
        extras: real frames and the like.
    """
    extras = extras or Extras()
    real = extras.real
    renderers: list[Generator | None] = [None, *generators]
    found = {measure.name_of(one): Findings() for one in renderers}
    about = {"held-out phantoms": f"{min(seeds)} to {max(seeds)} ({len(seeds)})", "poses on each": count,
             "generators": ", ".join(f"{g.name} ({g.sha256[:12]})" for g in generators) or "none",
             "real frames": f"{len(real)} held out" if real is not None else "none"}  # fmt: skip
    result, rows = criteria.Report(found, about), []
    for number, seed in enumerate(seeds):
        one = held_out.phantom_scene(seed, count)
        physics = held_out.drawn(one.simulator, one.poses, None)
        frames = [measure.measure(one, g, reference, found[measure.name_of(g)], physics) for g in renderers]
        if number < SHOWN:
            rows += panel_rows(one, frames)
        if number == 0:
            result.deterministic = {measure.name_of(g): measure.is_deterministic(one, g) for g in renderers}
        print(f"phantom {seed}: measured", flush=True)
    result.milliseconds = {measure.name_of(g): milliseconds(g) for g in renderers}
    for name, run in extras.runs.items():
        add_run(result, name, run, seeds, count)
    if real is not None:
        add_real(result, reference, real, extras.seen)
        if extras.inception is not None:
            views = {name: found.liver_views for name, found in result.findings.items()}
            result.fid = fid_table(extras.inception, on_pixels(real), views)
    if extras.masked is not None:
        synthetic = {measure.name_of(g): synthetic_frames(g, extras.use_frames) for g in renderers}
        synthetic["physics, invented scanners"] = drawn_frames(extras.use_frames)
        result.use = downstream.experiment(extras.masked, synthetic, extras.use_steps, shipped_organs())
    report.write(result, folder, tiled(rows))
    return result


def shipped_organs() -> ReferenceSegmenter:
    """The segmenter of ~/analysis, which has seen no real frame; its grid is that of the reference segmenter."""
    return ReferenceSegmenter(load_segmenter(segmenter_of("organs")).network.float())


def on_pixels(real: UsBatch) -> NDArray[np.float64]:
    """(N, S, L) frames along LINES -> (N, H, W) as the renderers' frames are."""
    grid, fan = conversion_grid(held_out.PROBE, torch.device("cpu"))
    return np.asarray(scan_convert(real.image.transpose(1, 2), grid, fan).double().numpy())


def add_real(result: criteria.Report, reference: ReferenceSegmenter, real: UsBatch, seen: UsBatch | None) -> None:
    """Add the metrics that need held-out real frames."""
    probe = LINES.probe
    pairs = zip(real.image.double().numpy(), real.valid.numpy(), strict=True)
    result.real_blocks = even_half(pooled(blocks_of(f.T, w.T, probe) for f, w in pairs))
    own = result.real_greys = real_findings(real, reference)
    sets = result.findings | ({OTHERS: real_findings(seen, reference)} if seen is not None else {})
    for name, findings in sets.items():
        cells = [[f for f in one.features if len(f)] for one in (findings, own)]
        result.kid[name] = kid_interval(cells[0], cells[1])
        result.frd[name] = frd(np.stack(findings.radiomics), np.stack(own.radiomics))
        result.grey[name] = grey_distance(findings.greys_by_depth(), own.greys_by_depth())


def real_findings(frames: UsBatch, reference: ReferenceSegmenter) -> Findings:
    """What the distances between sets of frames are computed from, for frames along LINES."""
    images, where = frames.image.double().numpy(), frames.valid.numpy()
    found = Findings(features=reference.features(images, where))
    found.radiomics = [radiomics.features(f, w) for f, w in zip(images, where, strict=True)]
    measure.add_greys(found, images, where, LINES.probe.sample_depths)
    return found


def add_run(result: criteria.Report, name: str, run: Path, seeds: Sequence[int], count: int) -> None:
    """Add the metrics that need the run, not only its artifact."""
    for seed, found in zip(seeds, cycle.cycle_errors(run, seeds, count), strict=False):
        for metric, value in found.items():
            result.findings[name].add(f"phantom-{seed}", metric, value)
    result.step[name] = cycle.milliseconds_of_a_step(run)


def milliseconds(generator: Generator | None) -> float:
    """Median time of a frame at the default probe, in ms, the first left out."""
    renderer = "physics" if generator is None else "generator"
    simulator = Simulator(phantom_cases([0])[0](), renderer=renderer, generator=generator, device="cpu")
    times = []
    for pose in motion("liver_sweep", simulator.patient, TIMED + 1):
        start = time.perf_counter()
        simulator.render(pose, ct_slice=False, labels=False)
        times.append(1000 * (time.perf_counter() - start))
    return float(np.median(times[1:]))


def panel_rows(one: Scene, frames: Sequence[NDArray[np.float64]]) -> list[list[NDArray[np.uint8]]]:
    """Two rows of pictures a patient, a liver view and another: CT, classes, physics, then each generator."""
    chosen = [0, 1] if len(one.poses) > 1 else [0]
    slices = one.simulator.render_batch(one.poses[chosen], renderer="ct", labels=False)
    step = np.s_[::THINNED, ::THINNED]
    rows = []
    for i, ct in zip(chosen, slices, strict=True):
        assert ct.image is not None
        classes = CLASS_COLORS[one.tissue[i]] * one.simulator.probe.fan_mask[..., None]
        greys = [ct.image, *(f[i].astype(np.uint8) for f in frames)]
        pictures = [np.repeat(grey[..., None], 3, axis=-1) for grey in greys]
        rows.append([np.ascontiguousarray(p[step]) for p in (pictures[0], classes, *pictures[1:])])
    return rows


def real_frames(folder: Path, places: Sequence[int], step: int = 1, fan: FanGeometry | None = None) -> UsBatch:
    """Frames of a folder from a first place to one before another, along LINES.

    Raises:
        DataError: no such folder, or too few frames in it.
    """
    source = FrameFolder(folder, LINES, fan, places=range(places[0], places[1], step))
    return source.batch(range(len(source)))


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    found = argparse.ArgumentParser(prog="scyclegan_train evaluate", description=__doc__)
    found.add_argument("--generator", action="append", default=[], type=Path, metavar="FILE",
                       help="exported .safetensors; may be repeated; physics is always evaluated too")  # fmt: skip
    found.add_argument("--out", type=given_path, required=True, help="folder of the report")
    found.add_argument("--frames", type=Path, help="folder of real frames")
    found.add_argument("--fan", type=Path, help="fan geometry, JSON; default: fan.json beside the frames, or detected")
    found.add_argument("--held-out", type=int, nargs=2, default=(112, 140), metavar=("FIRST", "END"),
                       help="indices of held-out frames in the sorted folder; default 112 140")  # fmt: skip
    found.add_argument("--seen", type=int, nargs=2, default=(0, 102), metavar=("FIRST", "END"),
                       help="indices of other frames, for the real-real distance; default 0 102")  # fmt: skip
    found.add_argument("--run", action="append", default=[], type=Path, metavar="FOLDER",
                       help="run or checkpoint: exports its generator, and adds metrics that need the run")  # fmt: skip
    found.add_argument("--inception", type=Path, metavar="FILE", help="TorchScript of an Inception network, for FID")
    found.add_argument("--masked", type=Path, metavar="FOLDER",
                       help="US simulation & segmentation data set, for the downstream task")  # fmt: skip
    found.add_argument("--use-steps", type=int, default=1000, help="of each of these segmenters; default 1000")
    found.add_argument("--use-frames", type=int, default=256,
                       help="synthetic frames that these are trained on; default 256")  # fmt: skip
    found.add_argument("--seeds", type=int, nargs="+", default=list(range(2000, 2006)), help="held-out phantoms")
    found.add_argument("--count", type=int, default=8, help="poses on each, half of them liver views; default 8")
    found.add_argument("--segmenter-steps", type=int, default=1000, help="training of the segmenter; default 1000")
    found.add_argument("--segmenter-frames", type=int, default=256, help="frames it is trained on; default 256")
    return found


@as_command("scyclegan_train evaluate")
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 2 for a user error."""
    given = parser().parse_args(arguments)
    run(given)
    print(f"{given.out / 'report.md'}")
    return 0


def run(given: argparse.Namespace) -> None:
    """Evaluate as the command line says."""
    fewest = min(given.segmenter_frames, given.use_frames)
    if given.count < 2 or min(given.segmenter_steps, given.use_steps) < 1 or fewest < 16:
        raise ConfigError("expected --count of 2 or more, --segmenter-steps and --use-steps of 1 or more, "
                          "--segmenter-frames and --use-frames of 16 or more")  # fmt: skip
    given.out.mkdir(parents=True, exist_ok=True)
    runs = {run.resolve().name: run for run in given.run}
    exported = [given.out / f"{name}.safetensors" for name in runs]
    for run, file in zip(runs.values(), exported, strict=True):
        export(run, file)
    generators = [load_generator(file) for file in (*given.generator, *exported)]
    names = [generator.name for generator in generators]
    if len({held_out.PHYSICS, *names}) != len(names) + 1:
        raise ConfigError(f"generators {names}: expected files of different names, none of them called physics")
    for generator in generators:
        refused = generator.card.refusal(held_out.PROBE)
        if refused:
            raise ConfigError(f"generator {generator.name!r} cannot be evaluated on the default probe: {refused}")
    real = seen = None
    if given.frames is not None:
        fan = read_fan(given.fan) if given.fan is not None else known_fan(given.frames)
        real = real_frames(given.frames, given.held_out, fan=fan)
        seen = real_frames(given.frames, given.seen, SEEN_STEP, fan)
    extras = Extras(
        real, seen, runs, Inception(given.inception) if given.inception is not None else None,
        masked_frames(given.masked) if given.masked is not None else None, given.use_steps,
        given.use_frames,
    )  # fmt: skip
    torch.manual_seed(0)
    reference = open_reference(given.out, given.segmenter_steps, given.segmenter_frames)
    evaluate(generators, given.out, seeds=given.seeds, count=given.count, reference=reference, extras=extras)


if __name__ == "__main__":
    raise SystemExit(main())
