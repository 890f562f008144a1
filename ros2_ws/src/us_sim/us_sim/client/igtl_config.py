"""Settings of the OpenIGTLink server."""

from __future__ import annotations

from dataclasses import dataclass

from us_sim.core.config import check_ranges, setting


@dataclass(frozen=True)
class IgtlConfig:
    """Where it listens.

    Raises:
        ConfigError: a value outside its range.
    """

    igtl_port: int = setting(18944, "port of the OpenIGTLink server", 1, 65535)

    def __post_init__(self) -> None:
        check_ranges(self)
