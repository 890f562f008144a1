# %% [markdown]
# # Register a frame to the CT
#
# Where in the CT was this frame taken? The pose is found by gradient descent through the simulator, from 10 mm and 10°
# off, 20 times: what users of differentiable radiographs do with X-ray. As a script, with other numbers of starts,
# candidates and steps than these:
#
#     python docs/tutorials/register_to_ct.py 20 12 30

# %%
import math
import sys
from dataclasses import replace

import numpy as np
import torch

from us_sim import Simulator, builtin_patient, motion, preset
from us_sim.core.config import ImageSettings
from us_sim.core.differentiable import twisted
from us_sim.core.registration import ExpectedFrame, LocalCorrelation

starts, candidates, steps = (int(word) for word in sys.argv[1:]) if len(sys.argv) == 4 else (20, 12, 30)
torch.set_num_threads(1)  # small tensors

# %% [markdown]
# ## The frames to be registered
#
# They stand for a scanner's: full size, of other speckle, frequency, gain and dynamic range than the search assumes,
# with fascia, mirror images, lines that do not quite touch, and whole grey levels. Shrunk, speckle averages.

# %%
patient = builtin_patient(seed=0)
scanner = ImageSettings(frequency=4.0, gain=4.0, dynamic_range=50.0)
camera = Simulator(patient, replace(preset("c5_2"), width=192, height=192), scanner, seed=7)
truths = torch.tensor(motion("liver_sweep", patient, starts))


def shrunk(image, size):
    """(size, size) grey levels of a frame."""
    return torch.nn.functional.adaptive_avg_pool2d(torch.tensor(image, dtype=torch.float32)[None], size)[0]


# %% [markdown]
# ## From coarse to fine
#
# Three levels, each with an anatomy that is less blurred. Speckle would lead nowhere: `ExpectedFrame` draws the mean
# echo, its shadows and interfaces, smooth in the pose. `LocalCorrelation` in windows of 2 cm leaves gain, attenuation
# and TGC out of account.


# %%
def level(blur, size, lines, samples, interfaces):
    """The probe of one level and its frames."""
    probe = replace(preset("c5_2"), width=size, height=size, scan_lines=lines, samples=samples)
    return probe, ExpectedFrame(Simulator(patient, probe, ImageSettings(gain=8.0)), blur, interfaces)


# frames, mm of smoothing, mm of a step, candidates that are kept
levels = [
    (level(3.0, 64, 32, 192, 10.0), 3.0, 1.5, 3),
    (level(2.0, 64, 48, 192, 8.0), 2.0, 0.8, 2),
    (level(1.0, 96, 64, 192, 5.0), 1.5, 0.5, 1),
]

# %% [markdown]
# ## The descent
#
# A search from one start may end in a place much alike. So 12 poses about the start descend together in one batch, and
# the best go on. A rotation counts as the way it moves what lies 60 mm off.
#
# One plane says little about its own elevation: a slide and a tilt across it show much the same. A second plane, the
# probe turned by 90° about its beam by a robot that knows the angle, sees that as a motion within it; 6 poses do then.

# %%
PLANES = torch.tensor(np.stack([np.eye(4), np.diag([0.0, 0.0, 1.0, 1.0])]))
PLANES[1, :2, :2] = torch.tensor([[0.0, -1.0], [1.0, 0.0]])  # turned by 90° about the beam
SCALE = torch.tensor([1.0, 1.0, 1.0, 1 / 60, 1 / 60, 1 / 60], dtype=torch.float64)


def descend(poses, unlike, size):
    """Return poses, (B, 4, 4), after some steps of Adam, and how unlike the target their frames are."""
    twist = torch.zeros(len(poses), 6, dtype=torch.float64, requires_grad=True)
    adam = torch.optim.Adam([twist], lr=size, betas=(0.8, 0.95))
    slower = torch.optim.lr_scheduler.CosineAnnealingLR(adam, steps, eta_min=0.02)
    for _ in range(steps):
        adam.zero_grad()
        unlike(twisted(poses, twist * SCALE)).sum().backward()
        adam.step()
        slower.step()
    with torch.no_grad():
        poses = twisted(poses, twist * SCALE)
        return poses, unlike(poses)


def register(images, start, random, count):
    """Return the (4, 4) pose near a start whose frames are most like images, (H, W), of the first planes."""
    jitter = torch.tensor(random.normal(0, [6, 6, 6, *[math.radians(6)] * 3], (count, 6)))
    jitter[0] = 0
    poses = twisted(start.expand(count, 4, 4), jitter)
    for (probe, render), smooth, size, kept in levels:
        each = [LocalCorrelation(shrunk(image, probe.width), probe, smooth, window=20.0) for image in images]

        def unlike(poses, render=render, each=each):
            return sum(one(render(poses @ plane)) for one, plane in zip(each, PLANES, strict=False)) / len(each)

        poses, values = descend(poses, unlike, size)
        poses = poses[values.argsort()[:kept]]
    return poses[0]


# %% [markdown]
# ## 20 starts
#
# Of one plane, then of two. Each is off by 10 mm in a random direction and by 10° about a random axis. The error is
# the mean distance, over the fan, between where a pixel lies and where the found pose puts it; up to 3 mm is a success.

# %%
NEAR = 3.0  # mm
fan = camera.probe.pixel_points[::4, ::4][camera.probe.fan_mask[::4, ::4]]


def error(pose, truth):
    """Mean distance over the fan, mm."""
    off = (pose - truth).numpy()
    return np.linalg.norm(fan @ off[:3, :3].T + off[:3, 3], axis=-1).mean()


def off_by(random, way, angle):
    """(6,) a twist of so many mm and rad in random directions."""
    axes = random.standard_normal((2, 3))
    return torch.tensor((axes / np.linalg.norm(axes, axis=1, keepdims=True) * [[way], [angle]]).ravel())


for count in (1, 2):
    errors = []
    for number, truth in enumerate(truths):
        random = np.random.default_rng(number)
        start = twisted(truth[None], off_by(random, 10.0, math.radians(10.0))[None])[0]
        images = [camera.render(pose.numpy()).image for pose in truth @ PLANES[:count]]
        errors.append(error(register(images, start, random, candidates // count), truth))
        print(f"start {number}: from {error(start, truth):.1f} to {errors[-1]:.2f} mm", flush=True)
    near = sum(e <= NEAR for e in errors)
    print(f"planes: {count}; {near} of {starts} within {NEAR:g} mm, median {np.median(errors):.2f} mm")
