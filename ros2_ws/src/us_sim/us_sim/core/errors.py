# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Errors in the user's input; every message names the finding and the remedy."""

from __future__ import annotations


class UsSimError(Exception):
    """Base of all errors that a user can cause and fix."""


class PatientError(UsSimError, ValueError):
    """A CT, a label map or a DICOM folder cannot be used."""


class ProbeError(UsSimError, ValueError):
    """A probe's geometry or a preset cannot be used."""


class PoseError(UsSimError, ValueError):
    """A pose is not a rigid transform with finite values."""


class RecordingError(UsSimError, ValueError):
    """A file of recorded poses cannot be read, or not be made."""


class ArtifactError(UsSimError, ValueError):
    """A generator file does not hold what its card says."""


class ConfigError(UsSimError, ValueError):
    """A setting lies outside its range."""


class UnfitError(ConfigError):
    """A generator that cannot draw for the probe."""


class DataError(UsSimError, ValueError):
    """A file of frames or training data cannot be used; the message names it and the reason."""


class ArmError(UsSimError, ValueError):
    """An arm's description cannot be used, or a pose is out of its reach."""


class DeviceError(UsSimError, RuntimeError):
    """The GPU has failed or run out of memory."""


def system_error(problem: OSError, use: str = "used") -> str:
    """Return what the system says of a file (no permission, name too long, device gone), with what was expected."""
    if problem.filename is None:
        return problem.strerror or str(problem)
    return f"{str(problem.filename)[:200]}: {problem.strerror or problem}; expected a file or folder that can be {use}"
