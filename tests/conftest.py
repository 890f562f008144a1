"""Fixtures that more than one room needs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import us_sim  # noqa: F401, before any test imports torch: its waiting threads sleep, and tests take a tenth of the time

ROOT = Path(__file__).resolve().parents[1]
WORKER = os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:]
# Each worker of tests that run side by side is a ROS system of its own; 101 is the last domain that Linux takes.
os.environ["ROS_DOMAIN_ID"] = str((int(os.environ.get("ROS_DOMAIN_ID", "1")) + 25 * int(WORKER)) % 102)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real CT and ultrasound: $US_SIM_DATA, or `shared/data` beside the checkout."""
    folder = Path(os.environ.get("US_SIM_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"real data not found at {folder}; set US_SIM_DATA to the folder that holds ct_abdomen")
    return folder
