"""`scyclegan_train prepare`: CT scans with labels in, slices on a run's grid out."""

from __future__ import annotations

import argparse
import multiprocessing
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from scyclegan_train.config import PLACES
from scyclegan_train.config_file import load_config
from scyclegan_train.data.cases import CtCase, find_cases, read_list, shard_of
from scyclegan_train.data.faults import DataError, Faults
from scyclegan_train.data.grid_renderer import GridRenderer
from scyclegan_train.data.poses import aims, draw_pose
from scyclegan_train.data.samples import CtBatch
from scyclegan_train.data.slices import about_slices, recipe_of, write_recipe, write_slices
from scyclegan_train.data.splits import SPLITS
from us_sim.core.command import as_command
from us_sim.core.errors import UsSimError
from us_sim.core.generator.card import Card
from us_sim.core.geometry.probe import ProbeGeometry
from us_sim.core.geometry.transforms import Matrix, apply, rigid
from us_sim.core.patient.patient import Patient, load_patient
from us_sim.core.sampling.sampler import sampler_on
from us_sim.core.tissue import TissueClass

Done = tuple[CtCase, str, tuple[str, ...]]  # a case, its error, and notes from loading
ORGANS = (TissueClass.LIVER, TissueClass.KIDNEY, TissueClass.SPLEEN, TissueClass.PANCREAS)


@dataclass(frozen=True)
class Cut:
    """What is extracted from each scan.

    Attributes:
        card: grid and fan.
        poses: `skin` or `transverse`.
        slices: of each scan.
        seed: of the poses.
        out: folder of the slices.
        label_scheme: meaning of the label values; None to take what the labels say.
        labels_map: YAML file with label values or names and their classes.
    """

    card: Card
    poses: str
    slices: int
    seed: int
    out: Path
    label_scheme: str | None = None
    labels_map: Path | None = None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("images", type=Path, nargs="?", help="folder with Case_NNNNN_0000.nii.gz")
    parser.add_argument("--labels", type=Path, help="folder with Case_NNNNN.nii.gz; by default that of the images")
    parser.add_argument("--list", type=Path, help="CSV file with columns ct, labels[, patient, split] instead")
    parser.add_argument("--label-scheme", help="label scheme; detected by default")
    parser.add_argument("--labels-map", type=Path, help="YAML file with label values or names and their classes")
    parser.add_argument("--out", type=Path, required=True, help="folder of the slices")
    parser.add_argument("--config", default="paper.yaml", help="run whose grid, fan and `prepare` the slices are for")
    parser.add_argument("--poses", choices=PLACES, help="planes of the slices; default from the config")
    parser.add_argument("--slices", type=_at_least_one, help="slices per scan; default from the config")
    parser.add_argument("--scans", type=_at_least_one, help="maximum per split, drawn by seed")
    parser.add_argument("--seed", type=int, default=0, help="of poses and splits (%(default)s)")
    parser.add_argument("--shard", default="1/1", help="part i/n of the scans, for several machines")
    parser.add_argument("--workers", type=_at_least_one, default=1, help="processes (%(default)s)")
    parser.add_argument("--strict", action="store_true", help="stop at the first file that cannot be used")


def run(options: argparse.Namespace) -> int:
    """Prepare all scans of a shard; those done before are kept. Returns the exit status.

    Raises:
        DataError: nothing to do, another recipe in the folder, or a fault while strict.
    """
    faults = Faults(options.strict)
    config = load_config(options.config)
    cut = Cut(config.generator.card(), options.poses or config.prepare.poses, options.slices or config.prepare.slices,
              options.seed, options.out, options.label_scheme, options.labels_map)  # fmt: skip
    if (options.images is None) == (options.list is None):
        raise DataError("give either a folder of images or --list")
    cases = (
        read_list(options.list, options.seed, faults)
        if options.list is not None
        else find_cases(options.images, options.labels, options.seed, faults)
    )
    write_recipe(cut.out, recipe_of(cut.card, cut.poses, cut.slices, cut.seed))
    mine = shard_of(drawn_cases(cases, options.scans or config.prepare.scans, cut.seed), options.shard)
    todo = [case for case in mine if not _is_done(options.out / f"{case.name}.safetensors")]
    console = Console(stderr=True)
    console.print(f"{len(mine)} scans, {len(mine) - len(todo)} of them done before")
    usable = len(mine)
    for case, reason in _progress(console, _prepared(todo, cut, options.workers), len(todo)):
        if reason:
            faults.add(case.ct, reason)
            usable -= 1
    faults.report(console)
    return 0 if usable or not mine else 1


@as_command("scyclegan_train prepare")
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; errors are one line."""
    parser = argparse.ArgumentParser(prog="prepare", description=__doc__)
    add_arguments(parser)
    try:
        return run(parser.parse_args(arguments))
    except UsSimError as error:
        print(f"prepare: {error}", file=sys.stderr)
        return 1


def drawn_cases(cases: Sequence[CtCase], count: int, seed: int) -> list[CtCase]:
    """At most `count` cases of each split, drawn by seed; 0 for all. Their order stays."""
    if not count:
        return list(cases)
    kept = set()
    for split in SPLITS:
        members = [case.name for case in cases if case.split == split]
        kept |= set(np.random.default_rng(seed).permutation(members)[:count].tolist())
    return [case for case in cases if case.name in kept]


def prepare_case(case: CtCase, cut: Cut) -> tuple[str, tuple[str, ...]]:
    """Write the slices of one scan; return why that failed, or nothing, and notes from loading.

    The paper's encoding sees the CT as it is; `rich` sees it with the detail that the simulator draws into it.
    """
    detail = cut.card.encoding == "rich"
    try:
        patient = load_patient(case.ct, case.labels, cut.label_scheme, cut.labels_map, detail=detail)
    except UsSimError as error:
        return str(error), ()
    notes = (*patient.labelling, *patient.warnings)
    if not np.isin(patient.volume.tissue, ORGANS).any() and cut.poses == "transverse":
        return f"{case.labels}: labels no organ; expected an abdomen", notes
    batch = slices_of(patient, cut.card, cut.poses, cut.slices, cut.seed)
    about = {"patient": case.patient, "split": case.split, "ct": case.ct.name, "sha256": patient.sha256}
    write_slices(cut.out / f"{case.name}.safetensors", batch, about)
    return "", notes


def slices_of(patient: Patient, card: Card, poses: str, count: int, seed: int) -> CtBatch:
    """Return the slices of a patient on a card's grid; the same seed and patient give the same slices."""
    renderer = GridRenderer(card, torch.device("cpu"), seed=seed)
    sampler = sampler_on(renderer.device, patient, 0)
    rng = np.random.default_rng([seed, int(patient.sha256[:8], 16)])
    if poses == "transverse":
        return renderer.plain(sampler, transverse_poses(patient, card.probe, count, rng))
    where = aims(patient)
    drawn = np.stack([draw_pose(rng, where, card.probe) for _ in range(count)])
    return renderer.ct(sampler, sampler, patient, drawn, list(range(count)))


def transverse_poses(patient: Patient, probe: ProbeGeometry, count: int, rng: np.random.Generator) -> Matrix:
    """(count, 4, 4) poses of transverse slices, seen from the feet, anterior on top.

    They are drawn among the CT's slices that show an organ, as the paper draws 10 of a scan: none twice, as long as
    there are enough. The frame is laid over the middle of the CT as the paper lays its fan over a whole slice.
    """
    low, high = patient.volume.bounds
    organs = apply(patient.volume.ct_from_voxel, np.argwhere(np.isin(patient.volume.tissue, ORGANS)))
    levels = np.unique(organs[:, 2].round(3))
    heights = np.sort(rng.choice(levels, count, replace=count > len(levels)))
    top = 0.5 * (low[1] + high[1]) + 0.5 * (probe.height - 1) * probe.pixel_spacing[1] + probe.first_pixel[1]
    across = 0.5 * (low[0] + high[0])
    axes = np.array([[-1.0, 0, 0], [0, 0, -1], [0, -1, 0]]).T  # columns to the patient's left, beam to the back
    return np.stack([rigid(axes, [across, top, z]) for z in heights])


def _prepared(cases: Sequence[CtCase], cut: Cut, workers: int) -> Iterator[Done]:
    """Each case when it is done, with its error and notes."""
    if workers == 1:
        for case in cases:
            yield case, *prepare_case(case, cut)
        return
    # Spawned, not forked: compiled kernels hold threads that do not survive a fork.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, initializer=_one_thread) as pool:
        jobs = {pool.submit(prepare_case, case, cut): case for case in cases}
        try:
            for job in as_completed(jobs):
                yield jobs[job], *job.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _one_thread() -> None:
    import numba

    numba.set_num_threads(1)
    torch.set_num_threads(1)


def _progress(console: Console, done: Iterator[Done], total: int) -> Iterator[tuple[CtCase, str]]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
               TextColumn("left"), TimeRemainingColumn())  # fmt: skip
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("scans", total=total)
        for case, reason, notes in done:
            for line in notes:
                console.print(f"{case.name}: {line}", markup=False, highlight=False)
            bar.update(task, advance=1, description=case.name)
            yield case, reason


def _is_done(path: Path) -> bool:
    try:
        about_slices(path)
    except DataError:
        return False
    return True


def _at_least_one(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} is below 1")
    return value
