# %% [markdown]
# # From your own CT to a closed loop
#
# A CT and its segmentation become a patient; poses on its skin become frames; and a controller presses the probe with a
# constant force while it centres an organ in the image. No ROS is needed, and no GPU. As a script:
#
#     python docs/tutorials/own_ct_to_closed_loop.py ct.nii.gz segmentation.nii.gz
#
# Without a CT at hand, take `patient = builtin_patient(seed=0)` in place of `load_patient(...)`.

# %%
import sys

import matplotlib.pyplot as plt
import numpy as np

from us_sim import Simulator, load_patient, motion
from us_sim.control.admittance import IN_AIR, ContactState, admittance_step
from us_sim.core.contact.force import wrench
from us_sim.core.contact.mechanics import MechanicsSettings
from us_sim.core.tissue import TissueClass
from us_sim.offline.sheet import contact_sheet

ct, labels = sys.argv[1:3] if len(sys.argv) == 3 else ("ct.nii.gz", "segmentation.nii.gz")

# %% [markdown]
# ## The patient
#
# The label scheme (TotalSegmentator, AbdomenCT-1K, our own) is detected. Warnings say what was assumed, such as tissue
# classified by HU.

# %%
patient = load_patient(ct, labels)
print(patient.volume.hu.shape, "voxels;", *patient.volume.warnings)

# %% [markdown]
# ## Poses and frames
#
# A pose is `ct_from_probe`, a 4×4 matrix in mm. `motion` computes poses on the skin around the acoustic window of the
# liver; your planner computes its own. The simulator is built once; without `mechanics` the patient would be rigid.

# %%
simulator = Simulator(patient, mechanics=MechanicsSettings())
poses = motion("liver_sweep", patient, 6)
frames = simulator.render_batch(poses)
contact_sheet(frames, simulator.probe, "liver sweep").save("sweep.png")

# %% [markdown]
# ## What a controller receives
#
# The force along the beam, the surface normal, and the organ's centroid in the image: in ROS the topics `~/wrench`,
# `~/contact` and `~/analysis`, here function calls.


# %%
def feel(pose, before, seconds):
    """Return indentation, and force and normal at a pose, given the indentation of the pose before."""
    now = simulator.indentation(pose)
    force = -wrench(now, simulator.mechanics, before, seconds).force[2]
    contact = simulator.contact(pose)
    return now, ContactState(force, contact.in_contact, contact.normal)


def lateral_offset(pose):
    """Return the lateral position of the liver's centroid in the frame, mm; 0 while it is not visible."""
    labels = simulator.render(pose, image=False, ct_slice=False).labels
    liver = (labels == TissueClass.LIVER) & simulator.probe.fan_mask
    return float(simulator.probe.pixel_points[liver, 0].mean()) if liver.any() else 0.0


# %% [markdown]
# ## The loop
#
# Admittance control along the beam (5 N), alignment with the skin's normal, and visual centring: the probe slides along
# its x axis with a speed proportional to the offset. `admittance_step` combines the three; it is the law of the node
# `us_sim_scan`.

# %%
FORCE, RATE, GAIN = 5.0, 20.0, 1.0  # N, Hz, 1/s

pose, before, felt = poses[0], None, IN_AIR
history = []
for _ in range(120):
    before, felt = feel(pose, before, 1 / RATE)
    offset = lateral_offset(pose)
    history.append((felt.force, offset))
    pose = admittance_step(pose, felt, np.array([GAIN * offset, 0.0]), FORCE, 1 / RATE)

print(f"force {felt.force:.1f} N, liver {offset:+.1f} mm from the centre of the image")

# %% [markdown]
# ## What happened

# %%
time = np.arange(len(history)) / RATE
figure, (image, force, lateral) = plt.subplots(1, 3, figsize=(12, 4))
image.imshow(simulator.render(pose).image, cmap="gray")
image.set_title("B-mode at the end")
for axes, values, name in zip((force, lateral), np.transpose(history), ("force, N", "lateral offset, mm"), strict=True):
    axes.plot(time, values)
    axes.set(xlabel="time, s", title=name)
figure.tight_layout()
figure.savefig("loop.png")

# %% [markdown]
# From here: `us_sim_servo` runs the same loop over ROS topics ([controllers](../../controllers/)); add latency, jitter
# or a calibration error by [fault injection](../../faults/); keep a recording of your controller as a [regression
# test](../../replay/#a-regression-test).
