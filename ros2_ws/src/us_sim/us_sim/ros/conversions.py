# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Core objects, in mm, to ROS messages, in m, and back.

What is drawn in metres (markers, the cloud) or given in metres by a user (goals, placements, a URDF) is converted
where it is, always by `MM_PER_M`.
"""

from __future__ import annotations

import math
import time
from array import array
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from builtin_interfaces.msg import Time
from geometry_msgs.msg import Point, Pose, Quaternion, Transform, Vector3, WrenchStamped
from numpy.typing import ArrayLike, NDArray
from std_msgs.msg import ColorRGBA, Header
from us_sim_msgs.msg import Contact as ContactMsg
from us_sim_msgs.msg import FrameInfo, ProbeInfo

from us_sim.core.geometry.probe import ProbeGeometry, ProbeKind
from us_sim.core.geometry.transforms import MM_PER_M, Matrix, pose_from_metres, quaternion_from_rotation
from us_sim.core.tissue import TISSUES

if TYPE_CHECKING:
    from us_sim.core.contact.contact import Contact
    from us_sim.core.contact.force import Wrench
    from us_sim.core.frame import Frame
    from us_sim.core.simulator import Simulator

# -- poses ------------------------------------------------------------------------------------------


def pose_matrix(pose: Pose | Transform) -> Matrix:
    """Return the (4, 4) transform, mm, of a pose or transform message in metres.

    A quaternion of length 0.5 to 2 is normalised.

    Raises:
        PoseError: NaN or Inf anywhere, or a quaternion of another length.
    """
    place = pose.position if isinstance(pose, Pose) else pose.translation
    turn = pose.orientation if isinstance(pose, Pose) else pose.rotation
    return pose_from_metres((place.x, place.y, place.z), (turn.x, turn.y, turn.z, turn.w))


def pose_message(ct_from_probe: Matrix) -> Pose:
    """Return the pose message, m, of a (4, 4) rigid transform in mm."""
    x, y, z, w = quaternion_from_rotation(ct_from_probe[:3, :3]).tolist()
    return Pose(position=point_message(ct_from_probe[:3, 3]), orientation=Quaternion(x=x, y=y, z=z, w=w))


def transform_message(ct_from_probe: Matrix) -> Transform:
    """Return the transform message, m, of a (4, 4) rigid transform in mm."""
    pose = pose_message(ct_from_probe)
    place = pose.position
    return Transform(translation=Vector3(x=place.x, y=place.y, z=place.z), rotation=pose.orientation)


def point_message(point: ArrayLike) -> Point:
    """Return the point message, m, of a (3,) point in mm."""
    x, y, z = (np.asarray(point, dtype=np.float64) / MM_PER_M).tolist()
    return Point(x=x, y=y, z=z)


def point_messages(points: ArrayLike) -> list[Point]:
    """Return the point messages, m, of (N, 3) points in mm."""
    return [Point(x=x, y=y, z=z) for x, y, z in (np.asarray(points, dtype=np.float64) / MM_PER_M).tolist()]


def point_array(points: Sequence[Point]) -> NDArray[np.float64]:
    """Return (N, 3) points in mm of point messages in m."""
    return np.array([(p.x, p.y, p.z) for p in points], dtype=np.float64).reshape(-1, 3) * MM_PER_M


def nanoseconds(stamp: Time) -> int:
    """Return a stamp as one number."""
    return int(stamp.sec) * 1_000_000_000 + int(stamp.nanosec)


def seconds(stamp: Time) -> float:
    """Return a stamp in s."""
    return nanoseconds(stamp) * 1e-9


def later(stamp: Time, nanosec: int) -> Time:
    """Return a stamp some ns later."""
    sec, rest = divmod(nanoseconds(stamp) + nanosec, 1_000_000_000)
    return Time(sec=sec, nanosec=rest)


# -- what us_sim_msgs holds --------------------------------------------------------------------------


def contact_message(contact: Contact, header: Header) -> ContactMsg:
    """Return the message of a contact in the probe's frame, lengths in m; the point is NaN without contact."""
    point = contact.point if contact.in_contact else (math.nan, math.nan, math.nan)
    nx, ny, nz = np.asarray(contact.normal, dtype=np.float64).tolist()
    return ContactMsg(
        header=header,
        in_contact=bool(contact.in_contact),
        coupling=float(contact.coupling),
        line_coupling=array("f", np.asarray(contact.line_coupling, dtype=np.float32).tobytes()),
        penetration=float(contact.penetration) / MM_PER_M,
        line_distance=array("d", (np.asarray(contact.line_distance, dtype=np.float64) / MM_PER_M).tobytes()),
        point=point_message(point),
        normal=Vector3(x=nx, y=ny, z=nz),
    )


def wrench_message(wrench: Wrench, header: Header) -> WrenchStamped:
    """Return the message of a wrench in the probe's frame, N and N m."""
    force, torque = wrench.force.tolist(), (wrench.torque / MM_PER_M).tolist()
    message = WrenchStamped(header=header)
    message.wrench.force = Vector3(x=force[0], y=force[1], z=force[2])
    message.wrench.torque = Vector3(x=torque[0], y=torque[1], z=torque[2])
    return message


def probe_info_message(simulator: Simulator, config_id: int, ct_frame: str, header: Header) -> ProbeInfo:
    """Return geometry, settings, patient and generator of a simulator; lengths in m, frequency in Hz."""
    probe, settings, generator = simulator.probe, simulator.settings, simulator.generator
    (dx, dz), (x0, z0) = probe.pixel_spacing, probe.first_pixel
    chord = 2 * probe.radius_of_curvature * math.sin(0.5 * probe.field_of_view)
    return ProbeInfo(
        header=header,
        config_id=config_id,
        kind=int(probe.kind),
        radius_of_curvature=probe.radius_of_curvature / MM_PER_M,
        field_of_view=float(probe.field_of_view),
        aperture=(probe.aperture or chord) / MM_PER_M,
        depth=probe.depth / MM_PER_M,
        slice_thickness=probe.slice_thickness / MM_PER_M,
        width=probe.width,
        height=probe.height,
        scan_lines=probe.scan_lines,
        samples=probe.samples,
        sample_spacing=probe.sample_spacing / MM_PER_M,
        apex=probe.apex / MM_PER_M if math.isfinite(probe.apex) else 0.0,
        pixel_spacing_x=dx / MM_PER_M,
        pixel_spacing_z=dz / MM_PER_M,
        first_pixel=point_message((x0, 0.0, z0)),
        frequency=settings.frequency * 1e6,
        gain=float(settings.gain),
        dynamic_range=float(settings.dynamic_range),
        ct_frame=ct_frame,
        patient=simulator.patient.name,
        patient_sha256=simulator.patient.sha256,
        renderer=simulator.renderer,
        generator=generator.name if generator else "",
        generator_sha256=generator.sha256 if generator else "",
        class_ids=array("B", [int(c) for c in TISSUES]),
        class_names=[c.name.lower() for c in TISSUES],
        class_colors=[color_message(tissue.color) for tissue in TISSUES.values()],
        sector=float(probe.sector),
        detail=simulator.patient.volume.detail,
        scanner=simulator.scanner.name if simulator.scanner else "",
    )


def probe_geometry(info: ProbeInfo) -> ProbeGeometry:
    """Return the fan that a message describes, mm.

    Raises:
        ProbeError: a value that no probe has.
    """
    kind = ProbeKind(info.kind)
    return ProbeGeometry(
        kind,
        depth=info.depth * MM_PER_M,
        radius_of_curvature=info.radius_of_curvature * MM_PER_M,
        field_of_view=info.field_of_view,
        aperture=0.0 if kind is ProbeKind.CONVEX else info.aperture * MM_PER_M,
        width=info.width,
        height=info.height,
        scan_lines=info.scan_lines,
        samples=info.samples,
        slice_thickness=info.slice_thickness * MM_PER_M,
        sector=info.sector or 1.0,  # 0 in a recording from before there was one
        given_spacing=(info.pixel_spacing_x * MM_PER_M, info.pixel_spacing_z * MM_PER_M),
        given_first_pixel=(info.first_pixel.x * MM_PER_M, info.first_pixel.z * MM_PER_M),
    )


def frame_info_message(
    frame: Frame,
    header: Header,
    *,
    sequence: int,
    ct_frame: str,
    config_id: int,
    arrival: float,
    frozen: bool = False,
) -> FrameInfo:
    """Return what a frame shows; `arrival` is when its pose was received, s on the monotonic clock."""
    return FrameInfo(
        header=header,
        sequence=sequence,
        ct_frame=ct_frame,
        renderer=frame.renderer,
        ct_from_probe=pose_message(frame.ct_from_probe),
        config_id=config_id,
        deformed=frame.deformed,
        frozen=frozen,
        latency=time.monotonic() - arrival,
        unknown_fraction=frame.unknown_fraction,
        out_of_distribution=frame.out_of_distribution,
    )


def color_message(rgb: tuple[int, int, int], alpha: float = 1.0) -> ColorRGBA:
    """Return the colour, 0 to 1, of RGB values from 0 to 255."""
    red, green, blue = (channel / 255.0 for channel in rgb)
    return ColorRGBA(r=red, g=green, b=blue, a=alpha)
