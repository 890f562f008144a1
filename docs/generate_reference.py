"""Write docs/reference/*.md from the settings and from the lists below: python docs/generate_reference.py

tests/docs/test_reference.py holds the pages to what this writes, and the lists to what the running nodes offer.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import Field, fields
from pathlib import Path
from typing import Any

from us_sim.bringup.arguments import LaunchConfig
from us_sim.client.igtl_config import IgtlConfig
from us_sim.control.config import ScanConfig, ServoConfig
from us_sim.core.config import ImageSettings, SimConfig
from us_sim.core.contact.mechanics import MechanicsSettings
from us_sim.core.faults import FaultSettings
from us_sim.ros.parameters import LIVE, AnalysisConfig, RosConfig
from us_sim.viewer.config import ViewerConfig

FOLDER = Path(__file__).parent / "reference"
NOTE = "<!-- Written by docs/generate_reference.py: change the settings' descriptions or that file, then run it. -->"
Row = tuple[str, str, str]

INPUTS: Sequence[Row] = [
    ("~/probe_pose", "geometry_msgs/PoseStamped",
     "pose of the probe in frame `ct`, or in any frame that TF connects to it; best effort, the newest pose wins"),
]  # fmt: skip
TOPICS: Sequence[Row] = [
    ("~/image", "sensor_msgs/Image", "B-mode, mono8 (bgra8 by `image_encoding`); stamp of its pose, frame `probe`"),
    ("~/image/compressed", "sensor_msgs/CompressedImage",
     "the same as JPEG or PNG by `compressed_format`, as image_transport's plugins name it"),
    ("~/polar", "sensor_msgs/Image",
     "the frame read back along its scan lines, mono8: row = scan line, column = sample, placed by `~/probe_info`"),
    ("~/ct_slice", "sensor_msgs/Image", "CT slice in HU, 16SC1"),
    ("~/ct_view", "sensor_msgs/Image", "CT slice in the soft-tissue window, -150 to 250 HU, mono8"),
    ("~/labels", "sensor_msgs/Image", "tissue class of every pixel, mono8; names and colours in `~/probe_info`"),
    ("~/labels_view", "sensor_msgs/Image", "the tissue classes in their colours, rgb8"),
    ("~/analysis", "us_sim_msgs/Analysis",
     "organs with area, centroid and acoustic shadow; coupling, brightness, confidence: [analysis](../analysis.md)"),
    ("~/confidence", "sensor_msgs/Image", "ultrasound confidence map, 0 to 255, mono8"),
    ("~/uncertainty", "sensor_msgs/Image",
     "grey levels within which the physics frame lies in 68 % of pixels, mono8; of generators that know it"),
    ("~/frame_info", "us_sim_msgs/FrameInfo", "pose, renderer, configuration and latency of the frame"),
    ("~/contact", "us_sim_msgs/Contact",
     "for each accepted pose: penetration, surface normal, coupling of every scan line"),
    ("~/wrench", "geometry_msgs/WrenchStamped",
     "for each accepted pose: force and torque of the patient on the probe, in `probe` at its origin; pressing in "
     "gives -z: [contact](../contact.md)"),
    ("~/breathing", "std_msgs/Float32",
     "with each frame of a breathing patient: respiratory phase, 0 (end of expiration) to 1"),
    ("~/probe_info", "us_sim_msgs/ProbeInfo", "latched: probe geometry, patient, generator, tissue classes"),
    ("~/home_pose", "geometry_msgs/PoseStamped",
     "latched: a pose to start from, on the skin where most of the liver is seen, square to it"),
    ("~/patient_markers", "visualization_msgs/MarkerArray", "latched: surfaces of skin and organs"),
    ("~/markers", "visualization_msgs/MarkerArray", "probe, fan, and the contact force as an arrow (8 mm per newton)"),
    ("~/cloud", "sensor_msgs/PointCloud2", "the frame's pixels as grey points in frame `ct`, for rviz"),
    ("/diagnostics", "diagnostic_msgs/DiagnosticArray",
     "frame rate, latency, poses skipped and refused with reasons, device"),
]  # fmt: skip
SERVICES: Sequence[Row] = [
    ("~/render", "us_sim_msgs/RenderFrame", "renders up to 64 poses and returns whole frames"),
    ("~/list_patients", "us_sim_msgs/ListPatients",
     "which CT scans lie in the `data_folders`, with the labels found beside each; by names alone"),
    ("~/load_patient", "us_sim_msgs/LoadPatient",
     "loads another CT from one of the `data_folders`; on an error the present patient stays, and the answer says why"),
    ("~/load_generator", "us_sim_msgs/LoadGenerator",
     "loads another generator (`.safetensors` with its model card) from one of the `data_folders`; likewise"),
    ("~/cancel_load", "std_srvs/Trigger", "gives up the load under way; what is shown stays"),
    ("~/freeze", "std_srvs/SetBool", "freezes the image; contact and wrench go on"),
    ("~/wrench_zero", "std_srvs/Trigger",
     "takes the present wrench as zero for `~/wrench`, as a force sensor does, until the node is activated anew"),
]  # fmt: skip
SHARED: Sequence[Row] = [  # by simulators
    ("~/get_simulator_features", "simulation_interfaces/GetSimulatorFeatures", "what of the interface there is"),
    ("~/get_simulation_state", "simulation_interfaces/GetSimulationState",
     "playing (active), paused (frozen) or stopped (inactive)"),
    ("~/set_simulation_state", "simulation_interfaces/SetSimulationState", "changes it"),
    ("~/reset_simulation", "simulation_interfaces/ResetSimulation",
     "begins counters, order of stamps, respiratory phase and the wrench's zero anew"),
    ("~/step_simulation", "simulation_interfaces/StepSimulation",
     "while paused: shows the frames of the next poses, and answers when the last is drawn"),
]  # fmt: skip
OTHERS: Sequence[tuple[str, str, str, str]] = [
    ("probe_motion", "~/run", "service std_srvs/SetBool", "stops the demo motion and resumes it"),
    ("us_sim_scan", "~/scan", "action us_sim_msgs/Scan", "raster or path over the skin, with feedback and cancel"),
    ("us_sim_scan", "~/stop", "service std_srvs/Trigger", "ends the scan, whoever sent the goal: the probe lifts off"),
    ("us_sim_servo", "~/start", "service std_srvs/Trigger",
     "begins where the probe is, once it has ended or with `autostart:=false`, with the parameters of now"),
    ("us_sim_servo", "~/stop", "service std_srvs/Trigger", "ends the search: the probe lifts off"),
    ("us_sim_servo", "~/state", "std_msgs/String",
     "latched: waiting, press, search, sweep, centre, hold, absent, failed"),
    ("us_sim_servo", "~/offset", "geometry_msgs/PointStamped", "estimated centre of the organ, in frame `probe`"),
]  # fmt: skip


def topics() -> str:
    """Return the page of topics, services and actions."""
    return f"""{NOTE}
# Topics, services, actions

`us_sim` is a lifecycle node (`autostart` configures and activates it). All names can be remapped, QoS can be
overridden. Outputs without a subscriber are not computed. A pose with NaN, a zero quaternion, an unknown frame or an
old stamp is dropped, counted by reason in `/diagnostics`, and never rendered. Every message carries the stamp of the
pose that it belongs to. Frames, axes and units: [conventions](../conventions.md).

## Subscribed by `us_sim`

{table(("topic", "type", "content"), INPUTS)}
## Published by `us_sim`

{table(("topic", "type", "content"), TOPICS)}
## Services of `us_sim`

{table(("service", "type", "what it does"), SERVICES)}
Where `simulation_interfaces` is installed also:

{table(("service", "type", "what it does"), SHARED)}
## Demo nodes

{table(("node", "name", "type", "content"), OTHERS)}
Control laws of `us_sim_scan` and `us_sim_servo`: [controllers](../controllers.md).
"""


def parameters() -> str:
    """Return the page of all nodes' parameters."""
    return f"""{NOTE}
# Parameters

Those of `us_sim` and `us_sim_viewer` are launch arguments too: `make sim ARGS="renderer:=physics"`. Those of the first
four tables are also options of `us_sim_render`: `--renderer physics`.

Parameters marked *live* change while the node runs; the others are read when it is configured.

## Simulator

{settings(SimConfig)}
## Image

{settings(ImageSettings)}
## Tissue mechanics and respiration

Equations, values and sources: [contact](../contact.md).

{settings(MechanicsSettings)}
## Fault injection

What each fault affects: [faults](../faults.md).

{settings(FaultSettings)}
## ROS interface

{settings(RosConfig)}
## Analysis

{settings(AnalysisConfig)}
## Browser view

Of the node `us_sim_viewer`.

{settings(ViewerConfig)}
## OpenIGTLink server

Of the node `us_sim_igtl`.

{settings(IgtlConfig)}
## Demo controllers

Of the node `us_sim_scan`:

{settings(ScanConfig)}
Of the node `us_sim_servo`:

{settings(ServoConfig)}"""


def launch() -> str:
    """Return the page of launch arguments."""
    return f"""{NOTE}
# Launch arguments

`make sim ARGS="..."`, `python -m us_sim.bringup.sim ...` and `ros2 launch us_sim sim.launch.py ...` take the same
`name:=value` arguments: these, and every [parameter](parameters.md) of `us_sim` and `us_sim_viewer`.

{settings(LaunchConfig)}"""


def settings(config: type[Any]) -> str:
    """Return the table of a settings dataclass."""
    return table(("name", "default", "description", "range"), [row(item) for item in fields(config)])


def row(item: Field[Any]) -> tuple[str, str, str, str]:
    """Return name, default, description and range of one setting."""
    rule, default = item.metadata, item.default
    text = f"{default:g}" if isinstance(default, float) else str(default).lower()
    span = ", ".join(f"`{choice}`" for choice in rule["choices"])
    if rule["low"] is not None:
        top = f"{rule['high']:g}" if isinstance(default, float) else str(rule["high"])
        span = f"{rule['low']:g} to {top}"
    name = f"`{item.name}`" + (" *live*" if item.name in LIVE else "")
    return name, f"`{text}`" if text else "", rule["description"], span


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table; names of the graph are set as code."""
    lines = [head, ["---"] * len(head), *rows]
    cells = [[f"`{cell}`" if cell.startswith(("~/", "/")) else cell for cell in line] for line in lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in cells) + "\n"


PAGES = {"topics.md": topics, "parameters.md": parameters, "launch.md": launch}


def main() -> None:
    """Write all pages."""
    FOLDER.mkdir(exist_ok=True)
    for name, page in PAGES.items():
        (FOLDER / name).write_text(page())


if __name__ == "__main__":
    main()
