# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Image analysis for ~/analysis and ~/confidence, in a thread of its own, on the newest frame."""

from __future__ import annotations

from array import array
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from std_msgs.msg import Header
from us_sim_msgs.msg import Analysis as AnalysisMsg
from us_sim_msgs.msg import OrganView as OrganViewMsg

from us_sim.core.analysis.confidence import confidence_map
from us_sim.core.analysis.organ_views import Analysis, OrganView, analyse
from us_sim.core.analysis.segmenter import segment
from us_sim.ros.conversions import MM_PER_M, point_message
from us_sim.ros.images import image_message
from us_sim.ros.mailbox import Consumer
from us_sim.ros.outputs import Outputs, listened

if TYPE_CHECKING:
    from us_sim.core.analysis.segmenter import Segmenter
    from us_sim.core.frame import Frame
    from us_sim.core.simulator import Simulator


@dataclass(frozen=True, eq=False)
class Shown:
    """A frame and what it was made with.

    Attributes:
        frame: with its image; and with labels, unless a segmenter finds them.
        simulator: that drew it.
        coupling: (L,) of the scan lines, 0 to 1, after faults.
        segmenter: finds the organs in the image; None: the frame's own labels count.
        header: of its messages.
    """

    frame: Frame
    simulator: Simulator
    coupling: NDArray[np.float32]
    segmenter: Segmenter | None
    header: Header


class Analyst:
    """Analyses the newest frame and skips those in between; frames never wait for it.

    `failed(what, error)` takes an error of one frame: it does not end the thread.
    """

    def __init__(self, outputs: Outputs, failed: Callable[[str, Exception], None]) -> None:
        self._outputs = outputs
        self._consumer = Consumer("analysis", self._publish, partial(failed, "analysis"))

    def take(self, shown: Shown) -> None:
        """Leave a frame for the thread."""
        self._consumer.put(shown)

    def stop(self) -> None:
        """End the thread; the frame in work is finished first."""
        self._consumer.stop()

    def _publish(self, shown: Shown) -> None:
        frame, probe = shown.frame, shown.simulator.probe
        assert frame.image is not None
        confidence = confidence_map(frame.image, probe)
        if listened(self._outputs.confidence):
            pixels = np.rint(255 * confidence).astype(np.uint8)
            self._outputs.confidence.publish(image_message(pixels, shown.header))
        if not listened(self._outputs.analysis):
            return
        labels, source = frame.labels, AnalysisMsg.LABELS
        if shown.segmenter is not None:
            labels = segment(shown.segmenter, frame.image, shown.coupling, probe)
            source = AnalysisMsg.SEGMENTER
        if labels is not None:
            found = analyse(frame.image, labels, confidence, shown.coupling, frame.ct_from_probe, probe,
                            shown.simulator.settings.frequency)  # fmt: skip
            self._outputs.analysis.publish(analysis_message(found, source, shown.header))


def analysis_message(analysis: Analysis, source: int, header: Header) -> AnalysisMsg:
    """Return the message of what a frame shows, m and m²; `source` says where the labels are from."""
    return AnalysisMsg(
        header=header,
        source=source,
        organs=[_organ_message(view) for view in analysis.organs],
        coupled_fraction=analysis.coupled_fraction,
        confidence=analysis.confidence,
        depth_edges=array("d", (analysis.depth_edges / MM_PER_M).tobytes()),
        mean_brightness=array("f", analysis.mean_brightness.astype(np.float32).tobytes()),
    )


def _organ_message(view: OrganView) -> OrganViewMsg:
    return OrganViewMsg(
        class_id=int(view.organ),
        name=view.organ.name.lower(),
        visible=view.visible,
        area=view.area / MM_PER_M**2,
        distance=view.distance / MM_PER_M,
        centroid_probe=point_message(view.centroid_probe),
        centroid_ct=point_message(view.centroid_ct),
        shadow_fraction=view.shadow_fraction,
    )
