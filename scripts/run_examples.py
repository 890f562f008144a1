"""Run the Python blocks of Markdown files in this folder, beside a CT and a segmentation that they may load.

The blocks of a file share their names, as on its page.

The CT is the built-in phantom's, as ct.nii.gz and segmentation.nii.gz.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import nibabel
import numpy as np

from us_sim import builtin_patient
from us_sim.core.patient.volume import CtVolume
from us_sim.core.tissue import TissueClass


def save(volume: CtVolume) -> None:
    """Write a CT and its liver, kidneys, spleen and pancreas as NIfTI files, and what the labels mean."""
    organs = np.where(volume.tissue <= TissueClass.PANCREAS, volume.tissue, 0)
    names = {kind.name.lower(): int(kind) for kind in TissueClass if kind <= TissueClass.PANCREAS}
    Path("dataset.json").write_text(json.dumps({"labels": names}))
    for name, values in (("ct", volume.hu), ("segmentation", organs)):
        nibabel.save(nibabel.Nifti1Image(values, volume.ct_from_voxel), f"{name}.nii.gz")


if __name__ == "__main__":
    save(builtin_patient().volume)
    for file in map(Path, sys.argv[1:]):
        names = {"__name__": "__example__"}
        blocks = re.findall(r"^```python\n(.*?)^```", file.read_text(), re.MULTILINE | re.DOTALL)
        for number, block in enumerate(blocks, 1):
            print(f"{file.name}, block {number}", flush=True)
            exec(compile(block, f"{file}, block {number}", "exec"), names)
