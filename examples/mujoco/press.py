"""A simulated arm of MuJoCo presses the probe on the patient with 5 N; the patient's wrench acts back on it.

python examples/mujoco/press.py
"""

from __future__ import annotations

import mujoco
import numpy as np

from us_sim import Simulator, builtin_patient, motion
from us_sim.core.contact.mechanics import MechanicsSettings
from us_sim.core.geometry.transforms import Matrix, quaternion_from_rotation, rigid
from us_sim.core.patient.patient import Patient

# A torso that is seen, not touched: the simulator knows it better. An arm whose axes are the probe's at the start, with
# all of its six angles at 0: two of the shoulder, elbow, three of the wrist.
MODEL = """
<mujoco><option timestep="0.002" gravity="0 0 0"/>
<default><joint damping="1" armature="0.02"/><geom contype="0" conaffinity="0"/></default>
<worldbody>
  <geom name="torso" type="ellipsoid" pos="{torso}" size="{size}" rgba="0.8 0.6 0.5 0.5"/>
  <body name="shoulder" pos="{base}" quat="{quat}">
    <joint axis="0 0 1"/><joint axis="0 1 0"/><geom type="capsule" fromto="0 0 0 -.15 0 -.3" size=".04"/>
    <body name="forearm" pos="-.15 0 -.3">
      <joint axis="0 1 0"/><geom type="capsule" fromto="0 0 0 -.25 0 .4" size=".03"/>
      <body name="probe" pos="-.25 0 .4">
        <joint axis="1 0 0"/><joint axis="0 1 0"/><joint axis="0 0 1"/>
        <geom type="cylinder" fromto="0 0 0 0 0 .2" size=".02"/><site name="face" pos="0 0 .2"/>
      </body></body></body></worldbody></mujoco>"""
SHOULDER = (0.4, 0.0, -0.3)  # m, in `probe` at the start
STIFF, DAMPED = (800.0, 20.0), (60.0, 2.0)  # N/m and N m/rad, N s/m and N m s/rad: holds place and orientation


def press(patient: Patient, force: float = 5.0, seconds: float = 1.5) -> tuple[Simulator, Matrix, float]:
    """Return simulator, last pose (4, 4) mm, and force on the patient, N; MuJoCo's world is `ct`, in m."""
    simulator = Simulator(patient, renderer="physics", mechanics=MechanicsSettings())
    start = motion("liver_sweep", patient, 1)[0] @ rigid(np.eye(3), (0, 0, -15.0))  # 7 mm above the skin
    model = mujoco.MjModel.from_xml_string(described(patient, start))
    data, face, probe = mujoco.MjData(model), model.site("face").id, model.body("probe").id
    forwards, turning = np.zeros((2, 3, model.nv))  # Jacobians
    for _ in range(round(seconds / model.opt.timestep)):
        mujoco.mj_forward(model, data)
        place, turn = data.site_xpos[face], data.site_xmat[face].reshape(3, 3)
        pose = rigid(turn, 1e3 * place)
        wrench = simulator.touch(pose).wrench
        # The arm: a spring to where it started, in all but the beam's direction, along which it pushes.
        mujoco.mj_jacSite(model, data, forwards, turning, face)
        beam, off = turn[:, 2], 1e-3 * start[:3, 3] - place
        tilt = 0.5 * np.cross(turn.T, start[:3, :3].T).sum(axis=0)
        pushed = STIFF[0] * (off - beam * (beam @ off)) + force * beam - DAMPED[0] * (forwards @ data.qvel)
        turned = STIFF[1] * tilt - DAMPED[1] * (turning @ data.qvel)
        data.qfrc_applied[:] = forwards.T @ pushed + turning.T @ turned
        # The patient: its wrench at the face.
        mujoco.mj_applyFT(
            model, data, turn @ wrench.force, 1e-3 * turn @ wrench.torque, place, probe, data.qfrc_applied
        )
        mujoco.mj_step(model, data)
    return simulator, pose, -float(wrench.force[2])


def described(patient: Patient, start: Matrix) -> str:
    """Return the model in MJCF, the probe at a pose, (4, 4) mm."""
    low, high = 1e-3 * np.array(patient.skin_mesh.bounds)
    x, y, z, w = quaternion_from_rotation(start[:3, :3])
    numbers = {"torso": (low + high) / 2, "size": (high - low) / 2,
               "base": 1e-3 * start[:3, 3] + start[:3, :3] @ SHOULDER, "quat": (w, x, y, z)}  # fmt: skip
    return MODEL.format(**{name: " ".join(map(str, values)) for name, values in numbers.items()})


if __name__ == "__main__":
    simulator, pose, felt = press(builtin_patient(0, detail=False))
    frame = simulator.render(pose)  # its image is what the probe sees there
    print(f"{felt:.2f} N, coupling {frame.contact.coupling:.2f}")
