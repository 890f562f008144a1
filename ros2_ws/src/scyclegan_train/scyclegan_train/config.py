# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Configuration of a training run: its sections, with defaults, ranges and descriptions."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from us_sim.core.config import check_ranges, setting
from us_sim.core.errors import ConfigError, UsSimError
from us_sim.core.generator.card import MOST_FOLD, SPECKLE, Card
from us_sim.core.geometry.probe import ProbeGeometry, preset
from us_sim.core.tissue import TissueClass

IMAGE = 3  # channels of an image of either domain
PLACES = ("skin", "transverse")
FIELDS = (70, 34)  # receptive fields of the discriminators, pixels


@dataclass(frozen=True)
class Checked:
    """A section whose values are compared with their ranges and choices."""

    def __post_init__(self) -> None:
        check_ranges(self)


@dataclass(frozen=True)
class GeneratorConfig(Checked):
    """Architecture and input of the generator; becomes its model card."""

    probe: str = setting("c5_2", "preset whose fan all sources are resampled to")
    encoding: str = setting("paper", "input encoding", choices=("paper", "rich"))
    grid: str = setting("cartesian", "frame's pixels, or scan lines by samples", choices=("cartesian", "polar"))
    source: str = setting("ct", "input image: CT slice, or its physics frame", choices=("ct", "physics"))
    windows: tuple[tuple[float, float], ...] = setting(((-150.0, 250.0),), "HU windows mapped to [-1, 1]")
    classes: tuple[str, ...] = setting(
        ("background", "liver", "kidney", "spleen", "pancreas"), "tissue classes distinguished in masks"
    )
    width: float = setting(1.0, "factor on the number of filters; 1 is the paper's", 0.05, 4)
    norm: str = setting("instance", "normalisation", choices=("instance", "batch"))
    architecture: str = setting(
        "unet", "the paper's U-Net; or one that draws tone and contrast of the speckle (encoding rich)",
        choices=("unet", SPECKLE),
    )  # fmt: skip
    fold: int = setting(1, "samples of depth in one row of the network", 1, MOST_FOLD)
    pixels: int = setting(256, "width and height of the cartesian grid", 32, 1024)
    scan_lines: int = setting(160, "of the polar grid", 24, 1024)
    samples: int = setting(384, "of a scan line", 32, 4096)

    def card(self) -> Card:
        """Return the card of the generator to be trained.

        Raises:
            ConfigError: naming what does not fit together.
        """
        try:
            fan = replace(in_pixels(preset(self.probe), self.pixels), scan_lines=self.scan_lines, samples=self.samples)
            return Card(
                fan, self.encoding, self.grid, self.source, self.windows, tuple(map(_class_id, self.classes)),
                self.width, self.norm, self.architecture, fold=self.fold,
            )  # fmt: skip
        except ConfigError:
            raise
        except UsSimError as error:
            raise ConfigError(f"generator: {error}") from error

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.windows) > IMAGE:
            raise ConfigError(f"windows are {len(self.windows)}; expected 1 to {IMAGE}: an image has {IMAGE} channels")
        self.card()


@dataclass(frozen=True)
class CriticConfig(Checked):
    """One discriminator of ultrasound."""

    source: str = setting("any", "frames used as real", choices=("any", "physics", "real"))
    field: int = setting(70, "receptive field, pixels: 70 or 34")
    depth_channel: bool = setting(False, "depth as an additional channel")
    features: str = setting(
        "pixels", "input: pixels, as PatchGAN; or responses of fixed filters", choices=("pixels", "filters")
    )
    crops: int = setting(0, "random crops per frame; 0: the whole frame", 0, 64)
    weight: tuple[float, float] = setting((1.0, 1.0), "of its loss, at the start and the end of adversarial training")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.field not in FIELDS:
            raise ConfigError(f"field is {self.field}; expected one of {', '.join(map(str, FIELDS))}")
        if self.features == "filters" and self.field != 34:
            raise ConfigError(f"field is {self.field}; expected 34, the only one of a discriminator on filters")
        if min(self.weight) < 0:
            raise ConfigError(f"weight of a critic is {self.weight}; expected two numbers of at least 0")


@dataclass(frozen=True)
class MethodConfig(Checked):
    """S-CycleGAN and its variants. The defaults are the paper's method."""

    adversarial: str = setting("vanilla", "eq. 1, or least squares", choices=("vanilla", "lsgan"))
    critics: tuple[CriticConfig, ...] = setting((CriticConfig(),), "discriminators of ultrasound")
    critic_width: float = setting(1.0, "factor on the filters of all discriminators", 0.05, 4)
    critic_augmentation: bool = setting(
        False, "discriminator augmentation: flips, gain of ±6 dB across lines and ±3 dB over depth"
    )
    segmenter_width: float = setting(1.0, "factor on the filters of both segmenters", 0.05, 4)
    pool: int = setting(50, "size of the image pool of earlier fakes", 0, 1000)
    ct_critic: float = setting(1.0, "weight of the adversarial loss of fake CT", 0, 100)
    cycle_ct: float = setting(10.0, "λ of the cycle CT → US → CT", 0, 1000)
    cycle_us: float = setting(10.0, "λ of the cycle US → CT → US", 0, 1000)
    cycle_blur: float = setting(0.0, "blur of both sides of the US cycle, pixels", 0, 20)
    cycle_visible: bool = setting(False, "CT cycle loss only in insonified pixels")
    fake_noise: float = setting(0.0, "SD of noise on a fake before it is translated back: against steganography", 0, 1)
    segmentation: float = setting(0.5, "λ of the segmentation loss", 0, 100)
    segmentation_visible: bool = setting(False, "segmentation loss of fake US only in insonified pixels")
    segment_reconstruction: bool = setting(False, "segmentation loss of the reconstructions too")
    mask_input: bool = setting(True, "generators read masks")
    fake_mask: str = setting(
        "predicted", "mask for translating a fake back: predicted by the segmenter, the same with a "
        "straight-through gradient, or that of its source", choices=("predicted", "straight_through", "source"),
    )  # fmt: skip
    style: float = setting(0.0, "λ of the sliced Wasserstein distance of fakes to real frames, by depth", 0, 1000)
    pair: float = setting(0.0, "λ of the L1 to the paired physics frame, after the warm-up", 0, 100)
    contrast: float = setting(0.0, "λ of the contrastive loss of patches to the paired physics frame", 0, 100)
    pair_blur: float = setting(2.0, "blur of both sides of that L1, pixels", 0, 20)
    warm_up_sharp: float = setting(0.0, "weight of the same L1 without blur, in the warm-up alone", 0, 100)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.critics:
            raise ConfigError("critics are none; expected at least one discriminator of ultrasound")

    @property
    def segments(self) -> bool:
        """Whether segmenters are trained."""
        return self.segmentation > 0 or (self.mask_input and self.goes_back and self.fake_mask != "source")

    @property
    def goes_back(self) -> bool:
        """Whether the direction US → CT is trained."""
        return self.cycle_ct > 0 or self.cycle_us > 0 or self.ct_critic > 0


@dataclass(frozen=True)
class ScheduleConfig(Checked):
    """Length of the phases, in epochs of `epoch` steps."""

    epoch: int = setting(0, "steps; 0 for as many as the domain with more samples has batches", 0, 10**7)
    batch: int = setting(1, "samples of each domain in a step of one process", 1, 1024)
    pretrain: float = setting(10.0, "epochs that train the segmenters alone", 0, 10**5)
    warm_up: float = setting(0.0, "epochs on pairs of CT slice and physics frame", 0, 10**5)
    constant: float = setting(100.0, "epochs of S-CycleGAN at the full rate", 0, 10**5)
    decay: float = setting(200.0, "further epochs, the rate falling linearly to 0", 0, 10**5)
    rate: float = setting(2e-4, "of Adam", 1e-8, 1)
    critic_rate: float = setting(2e-4, "of Adam, for the discriminators", 1e-8, 1)
    pretrain_rate: float = setting(2e-4, "of Adam, for pretraining and warm-up", 1e-8, 1)
    beta1: float = setting(0.5, "of Adam", 0, 0.999)
    ema: float = setting(0.999, "decay of the averaged weights of the generators", 0, 0.99999)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.pretrain + self.warm_up + self.constant + self.decay:
            raise ConfigError(
                "pretrain, warm_up, constant and decay are all 0; expected epochs in at least one of them"
            )


@dataclass(frozen=True)
class SourceConfig(Checked):
    """One source of CT or ultrasound."""

    kind: str = setting(
        "phantoms", "phantoms by seed; one patient's CT; slices written by `prepare`; AUS or RUS; a folder of frames",
        choices=("phantoms", "patient", "prepared", "aus", "rus", "frames"),
    )  # fmt: skip
    weight: float = setting(1.0, "fraction of the samples; 0 for all of a domain: all its samples alike", 0, 1e6)
    path: str = setting("", "file or folder; ${NAME} is expanded from the environment")
    labels: str = setting("", "label map of a patient")
    masks: str = setting("", "folder of masks of a folder of frames, by the frames' names")
    fit: str = setting(
        "lines", "how frames are brought to the card's fan: scan line by scan line; or as a whole, not stretched",
        choices=("lines", "whole"),
    )  # fmt: skip
    seeds: tuple[int, int] = setting((0, 100), "phantoms: first seed, and one after the last")
    frames: tuple[int, int] = setting((0, 10**6), "folder of frames: first frame, and one after the last")
    samples: int = setting(256, "samples of an epoch of phantoms or of a patient", 1, 10**7)
    repeat: int = setting(0, "epochs of different samples, kept in memory and repeated; 0: all epochs differ", 0, 10**6)
    at_once: int = setting(4, "phantoms in an epoch", 1, 1000)
    liver_view: bool = setting(False, "only liver views similar to those of the real frames")
    randomised: bool = setting(
        False, "domain randomisation: gain, dynamic range, TGC, focus and looks of physics frames"
    )
    scanner: str = setting(
        "",
        "of physics frames: scanner preset, or a YAML file from us_sim_fit; drawn: an invented one for each frame of "
        "ultrasound, fan and depth too; empty: the simulator's own",
    )
    teacher: str = setting(
        "", "generator artifact to distil from: renders the paired frames instead of the physics renderer"
    )
    split: str = setting("train", "of patients or frames", choices=("train", "val", "test"))
    fold: tuple[int, int] = setting(
        (0, 0), "prepared: fold i of k, from 1: all but the test patients are parted anew, fold i is held out"
    )
    augment: bool = setting(False, "random flips and rotations")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.fold != (0, 0) and not 1 <= self.fold[0] <= self.fold[1] != 1:
            raise ConfigError(f"fold is {list(self.fold)}; expected [i, k] with i from 1 to k, and k of 2 or more")
        for name in ("seeds", "frames"):
            first, end = getattr(self, name)
            if not 0 <= first < end:
                raise ConfigError(f"{name} are [{first}, {end}]; expected the first and one after the last, from 0 on")


@dataclass(frozen=True)
class DataConfig:
    """The sources of both domains, mixed by weight."""

    ct: tuple[SourceConfig, ...] = (SourceConfig(),)
    us: tuple[SourceConfig, ...] = (SourceConfig(seeds=(1000, 1100)),)
    strict: bool = False  # stop at bad data instead of skipping and counting it

    def __post_init__(self) -> None:
        for name in ("ct", "us"):
            if not getattr(self, name):
                raise ConfigError(f"{name} has no source; expected at least one")
            weights = [source.weight for source in getattr(self, name)]
            if min(weights) == 0 < max(weights):
                raise ConfigError(f"{name} has sources of weights {weights}; expected all 0, or none")


@dataclass(frozen=True)
class PrepareConfig(Checked):
    """Which slices `prepare` extracts from CT scans."""

    poses: str = setting("skin", "planes of the slices: of a probe on the skin, or transverse", choices=PLACES)
    whole_slice: bool = setting(
        False, "transverse: the frame covers the whole slice, whatever its size in mm, as the paper's fan does"
    )
    slices: int = setting(10, "of each scan", 1, 10000)
    scans: int = setting(0, "maximum per split, drawn by seed; 0: all", 0, 10**6)


@dataclass(frozen=True)
class LoopConfig(Checked):
    """Execution of the run; changes nothing in the result, up to rounding."""

    seed: int = setting(0, "of weights, data and noise", 0, 2**31 - 1)
    precision: str = setting("fp32", "of convolutions", choices=("fp32", "bf16"))
    compile: bool = setting(False, "compile the networks with torch.compile")
    channels_last: bool = setting(True, "memory format of the convolutions, where the norm keeps it")
    log_every: int = setting(50, "steps between entries of stats.jsonl and TensorBoard", 1, 10**6)
    panel_every: int = setting(1000, "steps between image panels", 1, 10**7)
    checkpoint_every: int = setting(1000, "steps between checkpoints", 1, 10**7)
    keep: int = setting(3, "latest checkpoints kept", 1, 1000)
    prefetch: int = setting(2, "batches prefetched in a background thread", 0, 64)
    validate_every: int = setting(0, "steps between validations on held-out samples; 0: none", 0, 10**7)
    validation: int = setting(16, "batches of a validation", 1, 10000)
    best: str = setting("cycle_ct", "loss by whose least value on held-out samples `best` is kept")
    patience: int = setting(0, "validations without a better one after which the run ends; 0: it goes on", 0, 10000)
    logger: str = setting("", "curves beside TensorBoard's", choices=("", "wandb", "mlflow"))
    dead: int = setting(2000, "steps of a discriminator's loss of about 0 after which training stops", 10, 10**7)


@dataclass(frozen=True)
class Config:
    """A training run."""

    generator: GeneratorConfig = field(default_factory=GeneratorConfig)
    method: MethodConfig = field(default_factory=MethodConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    prepare: PrepareConfig = field(default_factory=PrepareConfig)
    data: DataConfig = field(default_factory=DataConfig)
    loop: LoopConfig = field(default_factory=LoopConfig)


def in_pixels(probe: ProbeGeometry, pixels: int) -> ProbeGeometry:
    """Return a probe with a frame of `pixels` × `pixels`: a preset's own frame resized, else the box around the fan."""
    spacing, first = probe.given_spacing, probe.given_first_pixel
    if spacing is not None and first is not None:
        sizes = tuple(s * n / pixels for s, n in zip(spacing, (probe.width, probe.height), strict=True))
        moved = tuple(place + 0.5 * (new - old) for place, new, old in zip(first, sizes, spacing, strict=True))
        spacing, first = (sizes[0], sizes[1]), (moved[0], moved[1])
    return replace(probe, width=pixels, height=pixels, given_spacing=spacing, given_first_pixel=first)


def _class_id(name: str) -> int:
    try:
        return int(TissueClass[name.upper()])
    except KeyError:
        known = ", ".join(c.name.lower() for c in TissueClass)
        raise ConfigError(f"classes: unknown class {name!r}; expected of {known}") from None
