"""Train PPO to bring the kidney into the image, and compare it with the visual servo and with chance.

python examples/learning/train_reach.py --steps 6144 --out reach
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from reach import compare, make, yardsticks
from stable_baselines3 import PPO
from stable_baselines3.common.monitor import Monitor

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=6144)
    parser.add_argument("--patients", nargs="*", default=(0,), help="folders of save_patient (the phantom of seed 0)")
    parser.add_argument("--out", type=Path, default=Path("reach"))
    options = parser.parse_args()
    env = make(tuple(options.patients))
    table = yardsticks(env)
    print(json.dumps(table, indent=1), flush=True)
    options.out.mkdir(parents=True, exist_ok=True)
    curve = Monitor(env, str(options.out / "curve"))  # reward and length of every episode, as CSV
    agent = PPO("MlpPolicy", curve, n_steps=512, batch_size=128, learning_rate=1e-3, gamma=0.95, seed=0, device="cpu",
                policy_kwargs={"log_std_init": -0.5})  # fmt: skip
    agent.learn(options.steps)
    agent.save(options.out / "ppo")
    table["PPO"] = compare(env, lambda: lambda seen: agent.predict(seen, deterministic=True)[0])
    (options.out / "table.json").write_text(json.dumps(table, indent=1) + "\n")
    print(json.dumps(table, indent=1))
