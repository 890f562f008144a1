"""Behaviour cloning: a network learns what the visual servo does in the frames that it sees.

python examples/learning/clone_servo.py
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable

import gymnasium
import numpy as np
import torch
from reach import compare, make, yardsticks
from torch import nn

from us_sim.gym.servo_policy import ServoPolicy


def clone(env: gymnasium.Env, episodes: int = 120) -> Callable[[np.ndarray], np.ndarray]:
    """Behaviour cloning: a network that does what the servo did in the frames that it saw."""
    frames, actions = [], []
    for seed in range(episodes):
        (seen, _), done, cut = env.reset(seed=seed), False, False
        servo = ServoPolicy(env.unwrapped)  # type: ignore[arg-type]
        while not (done or cut):
            frames.append(seen)
            actions.append(servo.action())
            seen, _, done, cut, _ = env.step(actions[-1])
    network = nn.Sequential(nn.Linear(1024, 64), nn.Tanh(), nn.Linear(64, 2), nn.Tanh())
    x, y = torch.tensor(np.array(frames)), torch.tensor(np.array(actions))
    optimiser = torch.optim.Adam(network.parameters(), 1e-3)
    for _ in range(300):
        optimiser.zero_grad()
        nn.functional.mse_loss(network(x), y).backward()
        optimiser.step()
    return lambda seen: network(torch.tensor(seen)).detach().numpy()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--patients", nargs="*", default=(0,), help="folders of save_patient (the phantom of seed 0)")
    torch.manual_seed(0)
    torch.set_num_threads(1)  # so small a network only makes more of them wait for one another
    env = make(tuple(parser.parse_args().patients))
    table = yardsticks(env)
    cloned = clone(env)
    table["clone of the servo"] = compare(env, lambda: cloned)
    print(json.dumps(table, indent=1))
