"""Parameters come from the settings dataclasses; what is refused is refused with value and range."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from rcl_interfaces.msg import Parameter as ParameterMsg
from rcl_interfaces.srv import SetParameters
from rclpy.exceptions import InvalidParameterTypeException, InvalidParameterValueException
from rclpy.parameter import Parameter
from us_sim_msgs.msg import ProbeInfo

from us_sim.core.config import ImageSettings, SimConfig
from us_sim.ros.node import UsSim
from us_sim.ros.parameters import CONFIGS, read

if TYPE_CHECKING:
    from tests.ros.conftest import World


def test_every_parameter_has_its_default_a_description_and_a_range(world: World) -> None:
    node = world.start(autostart=False, renderer=SimConfig().renderer)
    assert read(node, SimConfig) == SimConfig()
    assert read(node, ImageSettings) == ImageSettings()
    for config in CONFIGS:
        for name in config.__dataclass_fields__:
            assert node.describe_parameter(name).description
    gain = node.describe_parameter("gain").floating_point_range[0]
    assert (gain.from_value, gain.to_value, gain.step) == (-40.0, 40.0, 0.0)
    planes = node.describe_parameter("elevation_planes").integer_range[0]
    assert (planes.from_value, planes.to_value) == (1, 21)
    assert node.describe_parameter("renderer").additional_constraints == "one of generator, physics, ct"


def remote(world: World, name: str, value: Any) -> Any:
    message: ParameterMsg = Parameter(name, value=value).to_parameter_msg()
    request = SetParameters.Request(parameters=[message])
    return world.call(SetParameters, "us_sim/set_parameters", request).results[0]


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("gain", 41.0, "Min: -40.0, Max: 40.0, value: 41.0"),
        ("dynamic_range", float("nan"), "Min: 20.0, Max: 120.0, value: nan"),
        ("depth", 1000.0, "Min: 0.0, Max: 400.0, value: 1000.0"),
        ("depth", 5.0, "depth is 5.0; expected 10 to 400 mm"),
        ("elevation_planes", 22, "Min: 1, Max: 21, value: 22"),
        ("elevation_planes", 4, "elevation_planes is 4; expected an odd number from 1 to 21"),
        ("renderer", "oil", "renderer is 'oil'; expected one of generator, physics, ct"),
        ("ct", "/x.nii.gz", "ct is fixed while the node is configured; call ~/load_patient"),
        ("labels", "/x.nii.gz", "labels is fixed while the node is configured; call ~/load_patient"),
        ("generator", "/g", "generator is fixed while the node is configured; call ~/load_generator"),
        ("probe", "l12_5", "probe is fixed while the node is configured; clean up the node, set it"),
        ("device", "cpu", "device is fixed while the node is configured; clean up the node, set it"),
        ("ct_frame_id", "map", "ct_frame_id is fixed while the node is configured; clean up"),
    ],
)
def test_refusals_name_value_and_rule(world: World, name: str, value: Any, reason: str) -> None:
    node = world.start()
    before = node.session.scene
    answer = remote(world, name, value)
    assert not answer.successful
    assert reason in answer.reason
    assert node.session.scene is before


@pytest.mark.parametrize(
    ("name", "value"),
    [("gain", 6.5), ("dynamic_range", 50.0), ("frequency", 2.5), ("focus", 40.0), ("tgc", 0.3),
     ("renderer", "ct"), ("depth", 120.0), ("slice_thickness", 1.0), ("elevation_planes", 3),
     ("rows", 96), ("sector", 0.5), ("tgc_3", 6.0)],
)  # fmt: skip
def test_live_parameters_change_the_simulator_and_its_probe_info(world: World, name: str, value: Any) -> None:
    node = world.start()
    infos = world.listen(ProbeInfo, "us_sim/probe_info", latched=True)
    world.until(lambda: infos)
    assert remote(world, name, value).successful
    simulator = node.session.scene.simulator
    held = {"rows": "height"}.get(name, name)
    holder = next(o for o in (simulator.settings, simulator.probe, simulator) if hasattr(o, held))
    assert getattr(holder, held) == value
    world.until(lambda: len(infos) == 2)
    assert infos[1].config_id == infos[0].config_id + 1 == node.session.scene.config_id
    told = {"gain": "gain", "renderer": "renderer", "sector": "sector"}.get(name)
    assert told is None or getattr(infos[1], told) == value


def test_the_same_value_again_changes_nothing(world: World) -> None:
    node = world.start(gain=3.0)
    before = node.session.scene
    assert remote(world, "gain", 3.0).successful
    assert node.session.scene is before


def test_depth_zero_is_the_presets_own(world: World) -> None:
    node = world.start(depth=120.0)
    assert node.session.scene.simulator.probe.depth == 120.0
    assert remote(world, "depth", 0.0).successful
    assert node.session.scene.simulator.probe.depth == 180.0


def test_a_depth_that_the_generators_card_forbids_is_refused_while_it_draws(world: World, tmp_path: Path) -> None:
    (tmp_path / "g.safetensors").touch()
    node = world.start(generator=str(tmp_path / "g.safetensors"), renderer="generator")
    answer = remote(world, "depth", 200.0)
    assert not answer.successful
    assert "the generator's card allows 180.0" in answer.reason
    assert remote(world, "renderer", "physics").successful
    assert remote(world, "depth", 200.0).successful
    assert not remote(world, "renderer", "generator").successful
    assert node.session.scene.simulator.renderer == "physics"


def test_several_at_once_are_judged_together(world: World, tmp_path: Path) -> None:
    (tmp_path / "g.safetensors").touch()
    node = world.start(generator=str(tmp_path / "g.safetensors"), renderer="generator")
    both = [Parameter("depth", value=200.0), Parameter("renderer", value="physics")]
    assert node.set_parameters_atomically(both).successful
    assert node.session.scene.config_id == 2


@pytest.mark.parametrize(
    ("override", "error", "match"),
    [(Parameter("gain", value=100.0), InvalidParameterValueException, r"Min: -40.0, Max: 40.0, value: 100.0"),
     (Parameter("gain", value="loud"), InvalidParameterTypeException, "'gain' to 'loud' of type 'STRING'")],
)  # fmt: skip
def test_a_bad_override_at_start_is_an_error(
    world: World, override: Parameter, error: type[Exception], match: str
) -> None:
    with pytest.raises(error, match=match):
        UsSim(context=world.context, parameter_overrides=[override])


def test_a_fixed_parameter_set_to_its_own_value_is_no_change(world: World) -> None:
    """As `ros2 param load` does with what `ros2 param dump` wrote."""
    node = world.start()
    names = node.list_parameters([], 0).names
    assert {"ct", "seed", "rate", "probe", "qos_overrides./us_sim/image.publisher.depth"} <= set(names)
    own = [node.get_parameter(name).to_parameter_msg() for name in names]
    results = world.call(SetParameters, "us_sim/set_parameters", SetParameters.Request(parameters=own)).results
    assert [(name, result.reason) for name, result in zip(names, results, strict=True) if not result.successful] == []
    depth = Parameter("qos_overrides./us_sim/image.publisher.depth", value=77).to_parameter_msg()
    asked = SetParameters.Request(parameters=[depth])
    assert "read-only" in world.call(SetParameters, "us_sim/set_parameters", asked).results[0].reason
    (refused,) = node.set_parameters([Parameter("seed", value=5)])
    assert "seed is fixed while the node is configured" in refused.reason
