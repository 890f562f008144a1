"""The SROS2 policy names all that the running node offers and takes, and little more."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree

import us_sim

if TYPE_CHECKING:
    from tests.ros.conftest import World

POLICY = Path(us_sim.__file__).parent / "resources" / "sros2" / "policy.xml"
# Of a node that follows TF, sends it, or follows a clock that is not its own.
OTHER_TIMES = {"publish": {"/tf"}, "subscribe": {"/clock", "/parameter_events", "/tf", "/tf_static"}, "reply": set()}


def allowed(what: str) -> set[str]:
    """Full names of what the policy allows, `publish`, `subscribe` or `reply`."""
    root = ElementTree.parse(POLICY).getroot()
    assert (root.tag, root.attrib) == ("policy", {"version": "0.2.0"})
    (profile,) = root.findall("enclaves/enclave[@path='/us_sim']/profiles/profile")
    assert profile.attrib == {"ns": "/", "node": "us_sim"}
    names = [item.text or "" for group in profile if group.attrib == {what: "ALLOW"} for item in group]
    assert len(names) == len(set(names))
    return {name.replace("~", "/us_sim") for name in names}


def test_the_policy_fits_the_node(world: World) -> None:
    node = world.start()
    asked = {
        "publish": node.get_publisher_names_and_types_by_node,
        "subscribe": node.get_subscriber_names_and_types_by_node,
        "reply": node.get_service_names_and_types_by_node,
    }

    def found(what: str) -> set[str]:
        return {name for name, _ in asked[what]("us_sim", "/")}

    for what in asked:  # the graph tells of new ends a moment later
        world.until(lambda what=what: allowed(what) - found(what) <= OTHER_TIMES[what])  # type: ignore[misc]
        assert found(what) - allowed(what) == set(), what
