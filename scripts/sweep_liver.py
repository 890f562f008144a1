"""Dice of liver on seven frames of the public sweep, outlined roughly by eye; no segmenter has seen them.

US_SIM_DATA=<folder of us_liver_sweep> python scripts/sweep_liver.py [SEGMENTER ...]   # files, or shipped ones
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from scyclegan_train.data.fans import LIVER_SWEEP, Resampler
from scyclegan_train.evaluation.metrics import dice
from scyclegan_train.evaluation.reference_segmenter import CLASSES, LINES, seen, shrunk
from us_sim.core.analysis.segmenter import load_segmenter
from us_sim.core.generator.shipped import segmenter_of
from us_sim.core.tissue import TissueClass

OUTLINES = {  # column and row in the frame of 739 × 593 pixels, by number of the frame
    20: [(204, 113), (420, 123), (486, 189), (468, 283), (392, 320), (279, 381), (166, 390), (53, 377)],
    40: [(228, 109), (498, 109), (567, 241), (483, 339), (407, 354), (256, 437), (124, 481), (21, 452)],
    60: [(228, 109), (488, 109), (573, 236), (498, 330), (422, 368), (309, 481), (196, 547), (36, 462)],
    80: [(226, 105), (500, 101), (566, 218), (547, 265), (434, 359), (358, 463), (245, 557), (75, 529), (15, 482)],
    100: [(226, 105), (496, 97), (603, 293), (486, 303), (402, 278), (392, 463), (336, 538), (166, 567), (25, 491)],
    115: [(228, 105), (492, 95), (592, 265), (483, 289), (407, 265), (275, 289), (124, 274)],
    130: [(228, 105), (498, 95), (592, 265), (498, 284), (385, 255), (234, 246), (130, 274)],
}
Grid = NDArray[np.generic]


def outlined(grey: NDArray[np.uint8], outline: list[tuple[int, int]]) -> NDArray[np.uint8]:
    """(H, W): the class of liver inside the outline."""
    mask = Image.new("L", grey.shape[::-1])
    ImageDraw.Draw(mask).polygon(outline, fill=int(TissueClass.LIVER))
    return np.asarray(mask)


def frames(folder: Path) -> list[tuple[torch.Tensor, Grid, NDArray[np.bool_]]]:
    """What a segmenter is shown of each frame, the classes, and what counts."""
    files, lines = (
        sorted((folder / "us_liver_sweep" / "frames").glob("*.png")),
        Resampler(LINES.probe, LIVER_SWEEP, True),
    )
    found = []
    for number, outline in OUTLINES.items():
        grey = np.asarray(Image.open(files[number]).convert("L"))
        classes, valid = lines.classes(outlined(grey, outline)[None]), lines.valid(grey.shape)[None]
        found.append((seen(lines.image(grey[None])), shrunk(classes.numpy())[0], shrunk(valid.numpy())[0]))
    return found


def main() -> None:
    """Print a line for each segmenter, and one for calling everything liver."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("segmenter", nargs="*", default=["organs"])
    named, real = parser.parse_args().segmenter, frames(Path(os.environ["US_SIM_DATA"]))
    score(lambda _: np.uint8(TissueClass.LIVER), "everything liver", real)
    for name in named:
        network = load_segmenter(segmenter_of(name)).network.float()
        score(lambda image, of=network: np.array(CLASSES, np.uint8)[of(image).argmax(dim=1)[0].numpy()], name, real)


@torch.inference_mode()
def score(find, name: str, real) -> None:  # type: ignore[no-untyped-def]
    """Print the Dice of each frame and their mean."""
    each = [dice(np.broadcast_to(find(i), t.shape), t, where, TissueClass.LIVER) for i, t, where in real]
    print(
        f"{name}: {np.mean(each):.2f}, frames {', '.join(f'{n} {d:.2f}' for n, d in zip(OUTLINES, each, strict=True))}"
    )


if __name__ == "__main__":
    main()
