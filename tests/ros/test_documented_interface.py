"""Topics and services of the running node are those of the reference, with their types."""

from __future__ import annotations

from typing import TYPE_CHECKING

from docs import generate_reference as reference

if TYPE_CHECKING:
    from tests.ros.conftest import World

OF_EVERY_NODE = ("rcl_interfaces/", "lifecycle_msgs/", "tf2_msgs/", "type_description_interfaces/")


def _offered(found: list[tuple[str, list[str]]]) -> dict[str, str]:
    """Return type by name as the reference writes them, without what every lifecycle node has."""
    short = {
        name.replace("/us_sim/", "~/"): types[0].replace("/msg/", "/").replace("/srv/", "/") for name, types in found
    }
    return {name: kind for name, kind in short.items() if not kind.startswith(OF_EVERY_NODE)}


def test_the_reference_lists_every_topic_and_service_of_the_node(world: World) -> None:
    node = world.start()
    world.until(lambda: len(node.get_publisher_names_and_types_by_node("us_sim", "/")) >= len(reference.TOPICS))
    published = _offered(node.get_publisher_names_and_types_by_node("us_sim", "/"))
    subscribed = _offered(node.get_subscriber_names_and_types_by_node("us_sim", "/"))
    services = _offered(node.get_service_names_and_types_by_node("us_sim", "/"))
    assert published == {name: kind for name, kind, _ in reference.TOPICS}
    assert subscribed == {name: kind for name, kind, _ in reference.INPUTS}
    assert services == {name: kind for name, kind, _ in reference.SERVICES}
