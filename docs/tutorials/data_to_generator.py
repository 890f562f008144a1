# %% [markdown]
# # From data to a generator
#
# A tiny S-CycleGAN is trained for a few steps on one CT and a folder of frames, exported, and used by the simulator:
# all steps, on any computer. It does not learn to draw; for that see [training](../../training/). As a script:
#
#     python docs/tutorials/data_to_generator.py ct.nii.gz segmentation.nii.gz

# %%
import sys
from pathlib import Path

import yaml
from PIL import Image

from scyclegan_train import export, train
from us_sim import Simulator, load_patient, motion, open_generator

ct, labels = sys.argv[1:3] if len(sys.argv) == 3 else ("ct.nii.gz", "segmentation.nii.gz")

# %% [markdown]
# ## The data
#
# Each domain mixes sources of several kinds: procedural phantoms by seed, a patient, slices that `prepare` has cut from
# many CTs, folders of frames. Here the CT domain is one patient. The ultrasound domain is a folder of frames, whose fan
# is found in the images: yours, or, so that this runs without any, physics frames of the same patient.

# %%
person = load_patient(ct, labels)
poses = motion("liver_sweep", person, 8)
folder = Path("ultrasound")
folder.mkdir(exist_ok=True)
for number, frame in enumerate(Simulator(person).render_batch(poses)):
    Image.fromarray(frame.image).save(folder / f"image_{number:03d}.png")

data = {
    "ct": [{"kind": "patient", "path": ct, "labels": labels, "samples": 8, "repeat": 1}],
    "us": [{"kind": "frames", "path": str(folder)}],
}

# %% [markdown]
# ## The configuration
#
# Settings left out keep their default, the paper's. `generator` is what the artifact's model card will say: the
# network reads two HU windows and one-hot classes on the polar grid (scan lines × depth) of the probe `c5_2`. The
# frames have no masks, so the segmentation loss is off: S_us would have nothing to learn from. An epoch has 2 steps
# here; by default it is as long as the longer domain.

# %%
config = {
    "generator": {
        "encoding": "rich",
        "grid": "polar",
        "windows": [[-150, 250], [-1000, 1000]],
        "classes": ["background", "liver", "kidney", "spleen", "pancreas"],
        "width": 0.07,
        "norm": "batch",
        "scan_lines": 32,
        "samples": 64,
    },
    "method": {
        "critics": [{"field": 34}],
        "critic_width": 0.125,
        "pair": 5.0,
        "segmentation": 0,
        "mask_input": False,
        "fake_mask": "source",
    },
    "schedule": {"epoch": 2, "batch": 4, "pretrain": 0, "warm_up": 1, "constant": 1, "decay": 1},
    "data": data,
    "loop": {"log_every": 1, "panel_every": 8},
}
Path("tiny.yaml").write_text(yaml.safe_dump(config))

# %% [markdown]
# ## Train, export
#
# The generator is warmed up on pairs of CT slice and physics frame, then the cycle is trained. These are the commands
# `python -m scyclegan_train train` and `export`. The artifact is one `.safetensors` file with its model card.

# %%
assert train.main(["--config", "tiny.yaml", "--out", "runs/tiny", "--accelerator", "cpu"]) == 0
assert export.main(["runs/tiny", "tiny.safetensors", "--data", "one CT:its licence"]) == 0

# %% [markdown]
# ## Render
#
# The model card tells the simulator how to feed the network. In the node: `make sim
# ARGS="generator:=tiny.safetensors"`.

# %%
simulator = Simulator(person, renderer="generator", generator=open_generator("tiny.safetensors", "auto"))
Image.fromarray(simulator.render(poses[0]).image).save("generated.png")

# %% [markdown]
# From here: `python -m scyclegan_train evaluate --generator tiny.safetensors --out report` compares it with the physics
# renderer; `smoke.yaml`, `narrow.yaml` and `paper.yaml` are configurations to start from ([training](../../training/)).
