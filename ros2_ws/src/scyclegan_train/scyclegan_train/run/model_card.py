# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""A model card in the field's form (Mitchell et al. 2019), in Markdown with the header that model hubs read."""

from __future__ import annotations

import math
from pathlib import Path

from us_sim.core.files import atomic_write
from us_sim.core.generator.artifact import load_network, read_card
from us_sim.core.generator.card import Card
from us_sim.core.tissue import TissueClass

TASKS = {
    "generator": "draws a B-mode ultrasound frame from a CT slice and its labels",
    "us2ct": "draws a CT slice from a B-mode ultrasound frame and its labels",
    "segmenter": "finds organs in a B-mode ultrasound frame",
    "ct_segmenter": "finds organs in a CT slice seen through the card's window",
}


def write_model_card(artifact: Path) -> Path:
    """Write the model card of an artifact beside it, `<name>.md`."""
    network, card, digest = load_network(artifact, read_card(artifact).kind)
    parameters = sum(p.numel() for p in network.parameters())
    target = artifact.with_suffix(".md")
    with atomic_write(target) as partial:
        partial.write_text(model_card(artifact.stem, card, digest, parameters))
    return target


def model_card(name: str, card: Card, digest: str, parameters: int) -> str:
    """Return the text."""
    licences = sorted({source["licence"] for source in card.training_data})
    licence = licences[0].lower().replace(" ", "-") if len(licences) == 1 else "other"
    head = ["---", f"license: {licence}", "library_name: us_sim",
            "tags: [medical-imaging, ultrasound, ct, image-to-image, cyclegan]", "---"]  # fmt: skip
    probe, rows = card.probe, card.size
    shown = [f"{key}: {value:g}" for key, value in card.metrics.items()] or ["none measured; see `evaluate`"]
    data = [f"{source['name']} ({source['licence']})" for source in card.training_data] or ["not told: `export --data`"]
    fan = f"{probe.kind.name.lower()} probe, {math.degrees(probe.field_of_view):.0f}°, {probe.depth:g} mm deep"
    classes = ", ".join(TissueClass(c).name.lower() for c in card.classes)
    sections = {
        "Model details": [
            f"{card.architecture} of width {card.width:g}, {parameters:,} parameters, {card.norm} normalisation",
            "S-CycleGAN (Song & Chong, 2024) as trained by scyclegan_train"
            + (f", commit {card.git_commit}" if card.git_commit else ""),
            f"SHA-256 {digest}",
        ],
        "Intended use": [
            f"It {TASKS[card.kind]}, for research and simulation.",
            "Not a medical device; not for diagnosis, treatment or training of clinicians.",
        ],
        "Factors": [fan, f"{card.grid} grid of {rows[0]} by {rows[1]}, encoding {card.encoding}, source {card.source}",
                    f"classes: {classes}"],
        "Metrics": shown,
        "Training data": data,
        "Evaluation data": ["held-out phantoms and frames, by `evaluate`; they are in none of the training data"],
        "Ethical considerations": [
            "The training data may show few people, of few scanners; what is drawn resembles them.",
            "A generated frame can show structures that the CT has not, and lack some that it has.",
        ],
        "Caveats and recommendations": [
            "Other probes, depths, HU windows or label schemes than those above are refused or unknown territory.",
            "Report synthetic frames as such wherever they are used.",
        ],
    }  # fmt: skip
    body = "".join(f"\n## {title}\n\n" + "".join(f"- {line}\n" for line in lines) for title, lines in sections.items())
    return "\n".join(head) + f"\n\n# {name}\n{body}"
