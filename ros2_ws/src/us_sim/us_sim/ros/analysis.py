"""What a frame shows, in numbers, to ~/analysis and ~/confidence."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from std_msgs.msg import Header
from us_sim_msgs.msg import Analysis as AnalysisMsg
from us_sim_msgs.msg import OrganView as OrganViewMsg

from us_sim.core.analysis import Analysis, OrganView, analyse
from us_sim.core.confidence import confidence_map
from us_sim.ros.conversions import MM_PER_M, image_message, point_message
from us_sim.ros.outputs import Outputs, listened

if TYPE_CHECKING:
    from us_sim.core.simulator import Frame, Simulator


def publish_analysis(
    outputs: Outputs, frame: Frame, simulator: Simulator, lines: NDArray[np.float32] | None, header: Header
) -> None:
    """Analyse a frame that has an image, and labels if somebody listens to ~/analysis, and publish what is found.

    `lines` is the (L,) share that faults leave to the coupling of each scan line; None: all.
    """
    assert frame.image is not None
    probe = simulator.probe
    confidence = confidence_map(frame.image, probe)
    if listened(outputs.confidence):
        outputs.confidence.publish(image_message(np.rint(255 * confidence).astype(np.uint8), header))
    if frame.labels is not None and listened(outputs.analysis):
        coupling = frame.contact.line_coupling * (1 if lines is None else lines)
        found = analyse(frame.image, frame.labels, confidence, coupling, frame.ct_from_probe, probe,
                        simulator.settings.frequency)  # fmt: skip
        outputs.analysis.publish(analysis_message(found, AnalysisMsg.LABELS, header))


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
