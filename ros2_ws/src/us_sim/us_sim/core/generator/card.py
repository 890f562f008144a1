# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""The card in a network's file: the network's architecture and its input."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from us_sim.core.config import SOFT_WINDOW
from us_sim.core.errors import ArtifactError
from us_sim.core.generator.unet import STRIDE
from us_sim.core.geometry.probe import ProbeGeometry, ProbeKind
from us_sim.core.tissue import TissueClass

FORMAT_VERSION = 1
PAPER_CLASSES = tuple(int(c) for c in TissueClass if c <= TissueClass.PANCREAS)
RELATIVE = "local_contrast_unet"
SPECKLE = "speckle_unet"
MOST_FOLD = 4
_CHOICES = {
    "kind": ("generator", "segmenter", "us2ct", "ct_segmenter"),
    "architecture": ("unet", RELATIVE, SPECKLE),
    "norm": ("instance", "batch"),
    "encoding": ("paper", "rich"),
    "grid": ("cartesian", "polar"),
    "source": ("ct", "physics"),
}
_FAN = ("radius_of_curvature", "field_of_view", "aperture")


@dataclass(frozen=True)
class Card:
    """The model card in a network's file; the core obeys it.

    Attributes:
        probe: the fan that it was trained on, with its grids.
        encoding: `paper`: one window in 3 equal channels and the label index / (classes − 1); `rich`: two windows,
            speckle of the scatterers, on a polar grid the TGC-compensated transmission, one-hot labels.
        grid: `cartesian`: the frame's pixels; `polar`: scan lines × samples.
        source: the image fed: CT slice, or the physics frame of the two-stage pipeline.
        windows: HU mapped to −1 and 1, for each windowed channel.
        classes: tissue ids that the labels tell apart, background first; all others count as background.
        width, norm: of the U-Net.
        architecture: `unet`; `speckle_unet`, whose image is tone + contrast · speckle, for generators of encoding
            `rich`; or `local_contrast_unet`, which sees an image by its local contrast, for segmenters.
        fold: samples of depth in one row of the network.
        training_data: name and licence of every source.
        metrics, git_commit: what was measured, and the code that trained it.
        kind: `generator`; or `segmenter`, which reads the frame alone: encoding, source and windows are idle. Two more
            are for research and not for the simulator: `us2ct`, which reads a frame and its labels and draws the CT
            through the windows, and `ct_segmenter`, which reads such a CT.

    Raises:
        ArtifactError: a value outside its choices.
    """

    probe: ProbeGeometry
    encoding: str = "paper"
    grid: str = "cartesian"
    source: str = "ct"
    windows: tuple[tuple[float, float], ...] = (SOFT_WINDOW,)
    classes: tuple[int, ...] = PAPER_CLASSES
    width: float = 1.0
    norm: str = "instance"
    architecture: str = "unet"
    training_data: tuple[dict[str, str], ...] = ()
    metrics: dict[str, float] = field(default_factory=dict)
    git_commit: str = ""
    format_version: int = FORMAT_VERSION
    kind: str = "generator"
    fold: int = 1

    def __post_init__(self) -> None:
        for name, choices in _CHOICES.items():
            _demand(getattr(self, name) in choices, name, getattr(self, name), f"one of {', '.join(choices)}")
        _demand(self.format_version == FORMAT_VERSION, "format_version", self.format_version, str(FORMAT_VERSION))
        _demand(0.05 <= self.width <= 4, "width", self.width, "0.05 to 4")
        _demand(
            bool(self.windows) and all(len(w) == 2 and -1e5 <= w[0] < w[1] <= 1e5 for w in self.windows),
            "windows", self.windows, "pairs of lower and upper HU",
        )  # fmt: skip
        known = set(map(int, TissueClass))
        once = len(set(self.classes)) == len(self.classes) > 1
        _demand(once and self.classes[0] == 0 and set(self.classes) <= known, "classes", self.classes,
                f"different ids from 0 to {max(known)}, 0 first")  # fmt: skip
        if self.encoding == "paper":
            _demand(len(self.windows) == 1, "windows", self.windows, "one window for encoding paper")
        if self.architecture == SPECKLE:
            reads = self.kind == "generator" and self.encoding == "rich"
            _demand(reads, "architecture", self.architecture, "unet, but for a generator of encoding rich")
        most = MOST_FOLD if self.kind == "generator" else 1
        _demand(type(self.fold) is int and 1 <= self.fold <= most, "fold", self.fold, f"1 to {most}")
        (rows, columns), deep = self.size, self.fold * STRIDE
        _demand(rows % deep == columns % STRIDE == 0, "grid size", self.size, f"multiples of {deep} and {STRIDE}")

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the network's input: rows are depth in both grids."""
        p = self.probe
        return (p.height, p.width) if self.grid == "cartesian" else (p.samples, p.scan_lines)

    @property
    def channels(self) -> int:
        """Number of the network's input channels."""
        if self.kind in ("segmenter", "ct_segmenter"):
            return 3
        if self.kind == "us2ct":
            return 3 + (1 if self.encoding == "paper" else len(self.classes) - 1)
        if self.encoding == "paper":
            return 4
        return len(self.windows) + 1 + (self.grid == "polar") + len(self.classes) - 1

    def beside(self, kind: str, width: float) -> Card:
        """Return the card of a network of another kind that is trained beside this generator: it reads no speckle."""
        architecture = "unet" if self.architecture == SPECKLE else self.architecture
        return replace(self, kind=kind, width=width, architecture=architecture, fold=1)

    def refusal(self, probe: ProbeGeometry) -> str | None:
        """Return why the network cannot work for a probe, or None."""
        if probe.kind is not self.probe.kind:
            return f"it was trained on a {self.probe.kind.name.lower()} probe, not a {probe.kind.name.lower()} one"
        for name in _FAN:
            wanted, found = getattr(self.probe, name), getattr(probe, name)
            if abs(wanted - found) > 1e-3 * max(1.0, abs(wanted)):
                return f"it was trained with {name} {wanted:g}, the probe has {found:g}"
        if probe.depth > self.probe.depth * (1 + 1e-3):
            return f"it was trained to a depth of {self.probe.depth:g} mm, the probe shows {probe.depth:g}"
        return None

    def to_json(self) -> str:
        """Return the card as JSON."""
        return json.dumps(asdict(self), indent=1)

    @staticmethod
    def from_json(text: str) -> Card:
        """Read a card.

        Raises:
            ArtifactError: not JSON, unknown or missing fields, values outside their choices.
        """
        try:
            data: dict[str, Any] = dict(json.loads(text))
            unknown = data.keys() - {f.name for f in fields(Card)}
            if unknown:
                raise ArtifactError(f"card: unknown fields {sorted(unknown)}; written by a newer version?")
            probe = dict(data.pop("probe"))
            probe["kind"] = ProbeKind(probe["kind"])
            for name in ("given_spacing", "given_first_pixel"):
                probe[name] = tuple(probe[name]) if probe.get(name) else None
            for name in ("windows", "classes", "training_data"):
                if name in data:
                    data[name] = tuple(tuple(v) if isinstance(v, list) else v for v in data[name])
            return Card(ProbeGeometry(**probe), **data)
        except ArtifactError:
            raise
        except KeyError as error:
            raise ArtifactError(f"card: field {error} is missing; export the generator again") from error
        except (TypeError, ValueError, OverflowError, AttributeError, RecursionError) as error:
            raise ArtifactError(f"card: {error}; export the generator again") from error


def _demand(good: bool, name: str, value: object, expected: str) -> None:
    if not good:
        raise ArtifactError(f"card: {name} is {value!r}; expected {expected}")
