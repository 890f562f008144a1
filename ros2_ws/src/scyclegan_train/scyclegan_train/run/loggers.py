"""Curves beside TensorBoard: Weights & Biases, MLflow, by the loggers that Fabric works with."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

from us_sim.core.errors import ConfigError

PACKAGES = {"wandb": "wandb", "mlflow": "mlflow"}
PROJECT = "scyclegan"


def open_logger(name: str, folder: Path) -> Any:
    """Return a logger with `log_metrics(metrics, step)` and `finalize(status)`; None for no name.

    Raises:
        ConfigError: its packages are not installed.
    """
    if not name:
        return None
    try:
        import_module(PACKAGES[name])
        loggers = import_module("lightning.pytorch.loggers")
    except ImportError as error:
        raise ConfigError(f"loop: logger is {name!r}, which needs packages that are not here ({error}); pip install "
                          f"lightning {PACKAGES[name]}") from error  # fmt: skip
    if name == "wandb":
        return loggers.WandbLogger(name=folder.name, project=PROJECT, save_dir=str(folder))
    return loggers.MLFlowLogger(experiment_name=PROJECT, run_name=folder.name, save_dir=str(folder / "mlruns"))
