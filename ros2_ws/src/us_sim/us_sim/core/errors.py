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
