"""Once a second: diagnostics, the frozen frame again, and the patient's meshes for who has begun to look.

And 20 times a second, for a patient that breathes, the last frame again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from diagnostic_msgs.msg import DiagnosticArray, KeyValue
from rclpy.clock import Clock, ClockType

from us_sim.ros.diagnostics import status_message
from us_sim.ros.markers import patient_markers
from us_sim.ros.outputs import listened
from us_sim.ros.scene import equipment
from us_sim.ros.worker import in_worker

if TYPE_CHECKING:
    from us_sim.core.patient.patient import Patient
    from us_sim.ros.node import UsSim

BREATH_STEP = 0.05  # s between two frames of a breathing patient under a probe that stands still


class Heartbeat:
    """Beats from construction to destruction of a node, whatever its state."""

    def __init__(self, node: UsSim) -> None:
        self._node = node
        self._marked: Patient | None = None
        self._diagnostics = node.create_publisher(DiagnosticArray, "/diagnostics", 10)
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        node.create_timer(1.0, self._beat, clock=steady)
        node.create_timer(BREATH_STEP, self._breathe, clock=steady)

    def forget_markers(self) -> None:
        """Send the patient's markers anew: the publisher that held them is closed."""
        self._marked = None

    def _beat(self) -> None:
        self._report()
        if self._node.stream is not None:
            self._node.stream.repeat_frozen()
            self._mark_patient()

    def _breathe(self) -> None:
        if self._node.stream is not None:
            self._node.stream.breathe(self._node.get_clock().now().nanoseconds)

    def _report(self) -> None:
        node = self._node
        good, line, values = node.statistics.report()
        if node.scene is None:
            good, line = False, f"not configured: {node.failure}" if node.failure else "not configured"
        else:
            simulator = node.scene.simulator
            line = line if node.stream is not None else "not active"
            about = {
                "patient": simulator.patient.name,
                "renderer": simulator.renderer,
                "generator": simulator.generator.name if simulator.generator else "",
                **equipment(simulator),
            }
            values += [KeyValue(key=key, value=value) for key, value in about.items()]
        message = DiagnosticArray(status=[status_message(node.get_fully_qualified_name(), good, line, values)])
        message.header.stamp = node.get_clock().now().to_msg()
        self._diagnostics.publish(message)

    def _mark_patient(self) -> None:
        """Send skin and organs once somebody looks: their meshes take seconds, so a worker makes them."""
        node = self._node
        assert node.scene is not None  # there is a stream
        patient = node.scene.simulator.patient
        if self._marked is not patient and listened(node.outputs.patient_markers):
            self._marked = patient
            node.executor.create_task(self._send_markers, patient)

    async def _send_markers(self, patient: Patient) -> None:
        node = self._node
        try:
            message = await in_worker(node.executor, patient_markers, patient, node.config.ct_frame_id)
            if self._marked is patient:
                node.outputs.patient_markers.publish(message)
            warning = await in_worker(node.executor, patient.misalignment)
            if warning:
                node.warn("misalignment", warning)
        except Exception as error:
            node.failed("patient_markers", error)
