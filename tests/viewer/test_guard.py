"""Who may use the page: foreign sites are refused, names that were bound anew, and messages that cannot be."""

from __future__ import annotations

import http.client
import math
from collections.abc import Callable, Iterator
from typing import Any

import msgspec.msgpack
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import ClientConnection, connect

pytest.importorskip("rclpy")
import viser

from us_sim.viewer.guard import Guard, guarded

PROTOCOL: Any = f"viser-v{viser.__version__}"
Serve = Callable[[str], tuple[Guard, viser.ViserServer, list[str]]]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Starts a guarded server that is told to listen on an address."""
    servers: list[viser.ViserServer] = []

    def start(host: str) -> tuple[Guard, viser.ViserServer, list[str]]:
        told: list[str] = []
        guard = Guard(host, told.append)
        with guarded(guard):
            servers.append(viser.ViserServer(host, 0, verbose=False))
        return guard, servers[-1], told

    yield start
    for server in servers:
        server.stop()


def status(port: int, path: str = "/", **headers: str) -> tuple[int, str | None]:
    """Return the status of a GET and the cookie that it sets."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.putrequest("GET", path, skip_host="Host" in headers)
    for name, value in headers.items():
        connection.putheader(name, value)
    connection.endheaders()
    answer = connection.getresponse()
    return answer.status, answer.getheader("Set-Cookie")


def opened(port: int, host: str | None = None, **options: Any) -> ClientConnection:
    return connect(f"ws://{host or '127.0.0.1'}:{port}", subprotocols=[PROTOCOL], max_size=None, **options)


def test_pages_of_other_sites_and_rebound_names_are_refused(serve: Serve) -> None:
    guard, server, told = serve("127.0.0.1")
    port = server.get_port()
    assert guard.token is None
    for host in (f"127.0.0.1:{port}", f"localhost:{port}", "[::1]:8080"):
        assert status(port, Host=host) == (200, None)
    assert status(port, Host=f"evil.example:{port}")[0] == 403
    assert status(port, Host=f"localhost.evil.example:{port}")[0] == 403
    assert status(port, Host=f"127.0.0.1:{port}", Origin="http://evil.example")[0] == 403
    assert told[0] == (
        f"Host is 'evil.example:{port}', not an address of this machine: open the address that the viewer prints"
    )
    assert told[2] == "Origin is 'http://evil.example': only the viewer's own page may use it"
    for origin in ("http://evil.example", "null", f"http://127.0.0.1:{port + 1}"):
        with pytest.raises(InvalidStatus, match="403"):
            opened(port, origin=origin)
    opened(port, origin=f"http://127.0.0.1:{port}").close()
    assert guard.refused == 6


def test_other_machines_need_the_token_of_the_printed_address(serve: Serve) -> None:
    guard, server, _ = serve("0.0.0.0")
    port, token = server.get_port(), guard.token
    assert token is not None
    assert len(token) >= 20
    assert status(port) == (403, None)
    assert status(port, "/?token=wrong") == (403, None)
    shown, cookie = status(port, f"/?token={token}", Host=f"robot.example:{port}")
    assert shown == 200
    assert cookie == f"us_sim_{port}={token}; HttpOnly; SameSite=Strict; Path=/"
    with pytest.raises(InvalidStatus, match="403"):
        opened(port, origin=f"http://127.0.0.1:{port}")
    mine: dict[str, Any] = {"additional_headers": {"Cookie": cookie.split(";")[0]}}
    opened(port, origin=f"http://127.0.0.1:{port}", **mine).close()
    with pytest.raises(InvalidStatus, match="403"):
        opened(port, origin="http://evil.example", **mine)


@pytest.mark.parametrize("bad", [math.inf, -math.inf, math.nan])
def test_messages_that_cannot_be_are_dropped_and_the_next_is_heard(serve: Serve, bad: float) -> None:
    guard, server, told = serve("127.0.0.1")
    slider = server.gui.add_slider("x", 0.0, 10.0, 1.0, 5.0)
    uuid = slider._impl.uuid

    def update(value: Any) -> bytes:
        return msgspec.msgpack.encode({"type": "GuiUpdateMessage", "uuid": uuid, "updates": {"value": value}})

    with opened(server.get_port()) as page:
        page.send(update(bad))
        page.send(update([{"deep": bad}]))
        page.send(b"\xc1")
        page.send("text")
        page.send(msgspec.msgpack.encode({"type": "NoSuchMessage"}))
        page.send(b"\x91" * 200_000)
        page.send(update(7.0))
        while slider.value == 5.0:  # the server answers what it has heard to others, not to us
            page.ping().wait(20)
    assert slider.value == 7.0
    assert guard.refused == 6
    assert told[0] == "a message of the page holds a number that is not finite"
    assert told[5] == "a message of the page cannot be read (RecursionError)"
