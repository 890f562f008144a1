# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Consistency of a run's sources with its method, checked before training, instead of a loss that stays at 0."""

from __future__ import annotations

from dataclasses import fields

from scyclegan_train.config import Config, MethodConfig, SourceConfig
from scyclegan_train.data.grid_renderer import DRAWN
from us_sim.core.errors import ConfigError

_ALWAYS = {"kind", "weight", "repeat", "augment"}
_PHANTOMS = {"seeds", "samples", "at_once", "liver_view", "scanner"}
_PATIENT = {"path", "labels", "samples", "liver_view", "scanner"}
READ = {
    "ct": {
        "phantoms": _PHANTOMS | {"teacher"}, "patient": _PATIENT | {"teacher"},
        "prepared": {"path", "split", "fold"},
    },
    "us": {
        "phantoms": _PHANTOMS | {"randomised"}, "patient": _PATIENT | {"randomised"},
        "frames": {"path", "masks", "frames", "fit"},
        "aus": {"path", "split", "fit"}, "rus": {"path", "split", "fit"},
    },
}  # fmt: skip
# What the kinds of ultrasound give.
GIVES = {"phantoms": "physics", "patient": "physics", "aus": "physics", "frames": "real", "rus": "real"}


def check_sources(config: Config) -> None:
    """Compare the sources with each other and with the method.

    Raises:
        ConfigError: a kind of the wrong domain, a key that a kind does not read, a discriminator or the style
            distance without frames of its kind.
    """
    for domain, title in (("ct", "CT"), ("us", "ultrasound")):
        for place, source in enumerate(getattr(config.data, domain)):
            _check_keys(source, READ[domain], title, f"data: {domain}[{place}]")
    for place, source in enumerate(config.data.ct):
        if source.scanner == DRAWN:
            raise ConfigError(f"data: ct[{place}]: scanner is {DRAWN}, and the paired physics frames are those of one "
                              "scanner; expected a preset or a YAML file")  # fmt: skip
    given = {GIVES[source.kind] for source in config.data.us}
    for place, critic in enumerate(config.method.critics):
        if critic.source not in {"any", *given} and max(critic.weight) > 0:
            raise ConfigError(
                f"method: critics[{place}] uses {critic.source} frames as real, but no ultrasound source provides "
                "any; add one, or set its weight to [0, 0]"
            )
    if config.method.style and "real" not in given:
        raise ConfigError(f"method: style is {config.method.style:g}, but no ultrasound source provides real frames; "
                          "add one, or set style: 0")  # fmt: skip


def check_masks(method: MethodConfig, masked: bool) -> None:
    """Refuse a method that needs S_us where no frame has a mask to train it on.

    Raises:
        ConfigError: the untrained S_us would drive G_ct2us by random logits, and give G_us2ct noise for masks.
    """
    if method.segments and not masked:
        raise ConfigError(
            f"method: segmentation is {method.segmentation:g} and fake_mask {method.fake_mask}, but no frame of "
            "ultrasound has a mask to train S_us on; give masks, or set segmentation: 0, mask_input: false and "
            "fake_mask: source"
        )


def check_pairs(config: Config, paired: bool) -> None:
    """Refuse a method that needs the physics frame of each slice where a source of CT has none.

    Raises:
        ConfigError: transverse slices, whose poses no probe can take, have no physics frames.
    """
    wanted = {"schedule: warm_up": config.schedule.warm_up, "method: pair": config.method.pair,
              "method: contrast": config.method.contrast}  # fmt: skip
    for name, value in wanted.items():
        if value and not paired:
            raise ConfigError(
                f"{name} is {value:g} and needs a physics frame of each slice, which transverse slices have not; "
                f"prepare slices with poses: skin, or set it to 0"
            )
    if config.generator.source == "physics" and not paired:
        raise ConfigError("generator: source is physics, and transverse slices have no physics frames; prepare slices "
                          "with poses: skin")  # fmt: skip


def _check_keys(source: SourceConfig, read: dict[str, set[str]], title: str, where: str) -> None:
    if source.kind not in read:
        *most, last = read
        raise ConfigError(f"kind {source.kind!r} gives no {title}; expected {', '.join(most)} or {last}")
    kept = read[source.kind] | _ALWAYS
    for name in fields(source):
        if name.name not in kept and getattr(source, name.name) != name.default:
            expected = ", ".join(sorted(kept - {"kind"}))
            raise ConfigError(f"{where}: kind {source.kind} does not read {name.name}; it reads {expected}")
