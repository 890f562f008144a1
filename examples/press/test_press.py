"""A regression test as a controller team keeps it: one recorded run of their arm, what it showed, and by how much a
new version may differ.

    us_sim_record run.mcap                      # while the arm works on the simulator
    python examples/press/test_press.py         # keeps what it shows now as the reference
    pytest examples/press                       # compares, from then on
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from us_sim.core.contact.mechanics import MechanicsSettings
from us_sim.core.faults import FaultSettings
from us_sim.core.patient.patient import builtin_patient
from us_sim.core.simulator import Simulator
from us_sim.core.tissue import CLASS_COUNT
from us_sim.offline.replay import Replay, Shot
from us_sim.poses.trajectory import read_trajectory

HERE = Path(__file__).parent
EVERY = 15  # th pose is rendered
CELL = 16  # pixels: the reference holds means over such squares, which speckle's last bits do not move

GREY = 3.0  # levels that a cell's mean may differ by
SHARE = 0.02  # of a cell's pixels that may be of another class
FORCE = 0.2  # N


@lru_cache
def replay() -> Replay:
    """The run on the phantom, in a patient that breathes: by the stamps of the recording, so always alike."""
    mechanics = MechanicsSettings(breathing_amplitude=8.0)
    simulator = Simulator(builtin_patient(0), renderer="physics", device="cpu", mechanics=mechanics)
    return Replay(simulator, read_trajectory(HERE / "press.mcap"), FaultSettings(), print)


def shots() -> list[Shot]:
    """The frames that are compared."""
    return [next(replay().shots(number, number + 1)) for number in range(0, len(replay().trajectory), EVERY)]


def shown() -> dict[str, NDArray[np.float32]]:
    """What is kept: mean grey level and share of each class in every cell, and the normal force at every pose."""
    frames = [shot.frame for shot in shots()]
    images = np.array([frame.image for frame in frames], np.float32)
    classes = np.array([frame.labels for frame in frames])
    shares = np.stack([_cells((classes == tissue).astype(np.float32)) for tissue in range(CLASS_COUNT)], axis=1)
    forces = [-replay().wrench(number).force[2] for number in range(len(replay().trajectory))]
    return {"grey": _cells(images), "share": shares, "force": np.array(forces, np.float32)}


def _cells(images: NDArray[np.float32]) -> NDArray[np.float32]:
    """(N, H, W) pixels to (N, H / CELL, W / CELL) means."""
    count, height, width = images.shape
    return images.reshape(count, height // CELL, CELL, width // CELL, CELL).mean(axis=(2, 4))


def test_the_run_shows_what_it_showed() -> None:
    """On any machine: the same within bounds that a person would not see."""
    now, kept = shown(), np.load(HERE / "reference.npz")
    np.testing.assert_allclose(now["grey"], kept["grey"], atol=GREY)
    np.testing.assert_allclose(now["share"], kept["share"], atol=SHARE)
    np.testing.assert_allclose(now["force"], kept["force"], atol=FORCE)


def test_the_run_shows_the_same_bytes_again() -> None:
    """On one machine: no bit may differ."""
    first, second = ([shot.frame.image for shot in shots()] for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_the_controller_does_what_it_is_for() -> None:
    """It presses to 12 N and no further, and ends off the skin."""
    forces = shown()["force"]
    assert 11 < forces.max() < 12.5
    assert forces[-1] == 0


if __name__ == "__main__":
    kept = {name: array.astype(np.float16) for name, array in shown().items()}
    np.savez_compressed(HERE / "reference.npz", grey=kept["grey"], share=kept["share"], force=kept["force"])
