# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Counters of the node, from any thread, reported once a second on /diagnostics."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from dataclasses import dataclass, field

import numpy as np
from diagnostic_msgs.msg import DiagnosticStatus, KeyValue

WINDOW = 200  # frames over which latency is reported


@dataclass
class Statistics:
    """Counters since activation; rates since the last report."""

    counts: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    latencies: deque[float] = field(default_factory=lambda: deque(maxlen=WINDOW))

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._last: float | None = None  # when a pose came, s on the monotonic clock
        self._before = (time.monotonic(), 0, 0)  # at the last report: time, frames, refusals and failures

    def count(self, what: str) -> None:
        """Count one of: poses received, accepted, rendered, skipped, unwatched, frozen, lost; render errors."""
        with self._lock:
            self.counts[what] += 1
            if what == "received":
                self._last = time.monotonic()

    @property
    def silence(self) -> float:
        """Seconds since the last pose came; 0 before the first."""
        return time.monotonic() - self._last if self._last is not None else 0.0

    def refuse(self, reason: str) -> int:
        """Count a refused pose; return how many had this reason."""
        with self._lock:
            self.refused[reason] += 1
            return self.refused[reason]

    def rendered(self, latency: float) -> None:
        """Count a frame and the time from its pose's arrival to its publication, s."""
        with self._lock:
            self.counts["rendered"] += 1
            self.latencies.append(latency)

    def report(self) -> tuple[bool, str, list[KeyValue]]:
        """Return whether all went well since the last report, one line, and the figures."""
        with self._lock:
            counts, refused = Counter(self.counts), Counter(self.refused)
            latencies = np.array(self.latencies) * 1000
            before, self._before = self._before, (time.monotonic(), counts["rendered"], _bad(counts, refused))
            seconds, frames, bad = (now - then for now, then in zip(self._before, before, strict=True))
        rate = frames / max(seconds, 1e-6)
        values = [KeyValue(key="frame rate (1/s)", value=f"{rate:.1f}")]
        for name, percent in (("median", 50), ("95 %", 95)):
            text = f"{np.percentile(latencies, percent):.1f}" if latencies.size else "-"
            values.append(KeyValue(key=f"latency {name} (ms)", value=text))
        for what in ("received", "accepted", "rendered", "skipped", "unwatched", "frozen", "lost"):
            values.append(KeyValue(key=f"poses {what}", value=str(counts[what])))
        values.append(KeyValue(key="poses refused", value=str(refused.total())))
        for reason, count in sorted(refused.items()):
            values.append(KeyValue(key=f"poses refused: {reason}", value=str(count)))
        values.append(KeyValue(key="render errors", value=str(counts["render errors"])))
        line = f"{rate:.1f} frames/s" + (f", {bad} poses refused or failed" if bad else "")
        return bad == 0, line, values


def _bad(counts: Counter[str], refused: Counter[str]) -> int:
    return refused.total() + counts["render errors"]


def status_message(name: str, good: bool, line: str, values: list[KeyValue]) -> DiagnosticStatus:
    """Return the status of one simulator; `name` is the node's full name, so that namespaces stay apart."""
    level = DiagnosticStatus.OK if good else DiagnosticStatus.WARN
    return DiagnosticStatus(level=level, name=name, message=line, hardware_id=name.strip("/"), values=values)
