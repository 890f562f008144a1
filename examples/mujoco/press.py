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

MODEL = """
<mujoco><option timestep="0.002" gravity="0 0 0"/><worldbody>
  <body name="probe" pos="{0} {1} {2}" quat="{6} {3} {4} {5}">
    <joint name="beam" type="slide" axis="0 0 1" damping="60"/>
    <geom type="cylinder" size="0.02 0.08" pos="0 0 -0.08" mass="0.5"/>
  </body></worldbody><actuator><motor joint="beam" ctrlrange="0 20"/></actuator></mujoco>"""


def press(patient: Patient, force: float = 5.0, seconds: float = 1.5) -> tuple[Simulator, Matrix, float]:
    """Return simulator, last pose (4, 4) mm, and force on the patient, N; MuJoCo's world is `ct`, in m."""
    simulator = Simulator(patient, renderer="physics", mechanics=MechanicsSettings())
    start = motion("liver_sweep", patient, 1)[0] @ rigid(np.eye(3), (0, 0, -15.0))  # 10 mm above the skin
    model = mujoco.MjModel.from_xml_string(
        MODEL.format(*(1e-3 * start[:3, 3]), *quaternion_from_rotation(start[:3, :3]))
    )
    data, probe = mujoco.MjData(model), model.body("probe").id
    data.ctrl[0] = force
    for _ in range(round(seconds / model.opt.timestep)):
        mujoco.mj_forward(model, data)
        turn = data.xmat[probe].reshape(3, 3)
        pose = rigid(turn, 1e3 * data.xpos[probe])
        wrench = simulator.touch(pose).wrench
        # Its force acts at the centre of mass in world axes; the slide takes no torque.
        data.xfrc_applied[probe, :3] = turn @ wrench.force
        mujoco.mj_step(model, data)
    return simulator, pose, -float(wrench.force[2])


if __name__ == "__main__":
    simulator, pose, felt = press(builtin_patient(0, detail=False))
    frame = simulator.render(pose)  # its image is what the probe sees there
    print(f"{felt:.2f} N, coupling {frame.contact.coupling:.2f}")
