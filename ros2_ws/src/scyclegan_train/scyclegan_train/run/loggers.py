# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Curves beside TensorBoard: Weights & Biases, MLflow, by the loggers that Fabric works with."""

from __future__ import annotations

import os
from importlib import import_module
from pathlib import Path
from typing import Any

from us_sim.core.errors import ConfigError

PROJECT = "scyclegan"


def open_logger(name: str, folder: Path) -> Any:
    """Return a logger with `log_metrics(metrics, step)` and `finalize(status)`; None for no name.

    MLflow writes to the server that MLFLOW_TRACKING_URI names, else to `mlflow.db` in the run's folder: it refuses a
    store of plain files today.

    Raises:
        ConfigError: its packages are not installed, or it does not open.
    """
    if not name:
        return None
    try:
        import_module(name)
        loggers = import_module("lightning.pytorch.loggers")
    except ImportError as error:
        raise ConfigError(f"loop: logger is {name!r}, which needs packages that are not here ({error}); install the "
                          f"extra: pip install 'scyclegan_train[{name}]'") from error  # fmt: skip
    kind = loggers.WandbLogger if name == "wandb" else loggers.MLFlowLogger
    try:
        logger = kind(**_options(name, folder.resolve()))
        _ = logger.experiment  # opens it, before anything is trained
    except Exception as error:  # of their own, many
        raise ConfigError(f"loop: logger is {name!r}, which does not open ({error}); log in, start its server, or "
                          "leave the logger out") from error  # fmt: skip
    return logger


def _options(name: str, folder: Path) -> dict[str, str]:
    if name == "wandb":
        return {"name": folder.name, "project": PROJECT, "save_dir": str(folder)}
    return {"experiment_name": PROJECT, "run_name": folder.name, "artifact_location": (folder / "mlruns").as_uri(),
            "tracking_uri": os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{folder / 'mlflow.db'}"}  # fmt: skip
