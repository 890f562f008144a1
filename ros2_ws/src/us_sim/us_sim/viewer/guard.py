# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""Access control of the page: requests and messages are checked before viser sees them.

A page of another site could otherwise open a WebSocket to ours, and steer the probe from the user's own browser.
viser has no setting for it, but it serves by `websockets`, which takes a hook for requests and a connection class.
"""

from __future__ import annotations

import hmac
import ipaddress
import math
import secrets
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.cookies import CookieError, SimpleCookie
from typing import Any, Protocol
from urllib.parse import parse_qs, urlsplit

import msgspec.msgpack
import websockets.asyncio.server
from viser._messages import Message
from websockets.asyncio.server import ServerConnection
from websockets.http11 import Request, Response

_PATCH = threading.Lock()  # one server starts at a time


class Guard:
    """Admits requests of the page itself, and of programs on this machine.

    Attributes:
        token: what a request from another machine must show; None where only this one is served.
        refused: requests and messages turned away so far.
    """

    def __init__(self, host: str, tell: Callable[[str], None]) -> None:
        self.token = None if _is_loopback(host) else secrets.token_urlsafe(16)
        self.refused = 0
        self._tell = tell

    def fault(self, request: Request) -> str:
        """Return why a request is refused, empty if it is not."""
        hosts, origins = request.headers.get_all("Host"), request.headers.get_all("Origin")
        host = hosts[0] if len(hosts) == 1 else ""
        if not host or (self.token is None and not _is_address(host)):
            return f"Host is {host[:80]!r}, not an address of this machine: open the address that the viewer prints"
        if origins and origins != [f"http://{host}"]:
            return f"Origin is {origins[0][:80]!r}: only the viewer's own page may use it"
        if self.token is not None and not self._known(request, host):
            return "the token is missing or wrong: open the whole address that the viewer prints"
        return ""

    def refuse(self, why: str) -> None:
        """Count and report a rejected request or message."""
        self.refused += 1
        self._tell(why)

    def cookie(self, request: Request) -> str | None:
        """Return the cookie for a browser that shows the token in the address: it names it from then on."""
        if self.token is None or not self._equal(_token_in(request.path)):
            return None
        name = _cookie_name(request.headers["Host"])
        return f"{name}={self.token}; HttpOnly; SameSite=Strict; Path=/"

    def _known(self, request: Request, host: str) -> bool:
        cookies: SimpleCookie = SimpleCookie()
        for line in request.headers.get_all("Cookie"):
            try:
                cookies.load(line)
            except CookieError:
                continue
        held = cookies.get(_cookie_name(host))
        return self._equal(_token_in(request.path)) or (held is not None and self._equal(held.value))

    def _equal(self, given: str) -> bool:
        return hmac.compare_digest(given.encode(), (self.token or "").encode())


class Beside(Protocol):
    """What is served beside viser, from the same port; None where that is left to viser."""

    def handler(self, path: str) -> Callable[[ServerConnection], Awaitable[None]] | None:
        """Return who talks on a WebSocket that is opened on a path."""

    def respond(self, connection: ServerConnection, request: Request) -> Response | Request | None:
        """Return the answer to a request, or the request that viser is to answer in its place."""


@contextmanager
def guarded(guard: Guard, beside: Beside | None = None) -> Iterator[None]:
    """Let the server that viser starts meanwhile ask a guard, and serve something else too."""
    serve = websockets.asyncio.server.serve

    class Connection(ServerConnection):
        async def recv(self, decode: bool | None = None) -> Any:
            while True:
                raw = await super().recv(decode)
                if _other(self) is not None or not (why := _fault_of_message(raw)):
                    return raw
                guard.refuse(why)

    def _other(connection: ServerConnection) -> Callable[[ServerConnection], Awaitable[None]] | None:
        request = connection.request
        return beside.handler(request.path) if beside is not None and request is not None else None

    def serve_guarded(handler: Any, *args: Any, process_request: Any, **options: Any) -> Any:
        async def routed(connection: ServerConnection) -> None:
            await (_other(connection) or handler)(connection)

        def checked(connection: ServerConnection, request: Request) -> Response | None:
            if why := guard.fault(request):
                guard.refuse(why)
                return connection.respond(HTTPStatus.FORBIDDEN, f"us_sim: {why}\n")
            answer = beside.respond(connection, request) if beside is not None else None
            if not isinstance(answer, Response):
                answer = process_request(connection, request if answer is None else answer)
            response: Response | None = answer
            if response is not None and (cookie := guard.cookie(request)):
                response.headers["Set-Cookie"] = cookie
            return response

        return serve(routed, *args, process_request=checked, create_connection=Connection, **options)

    with _PATCH:
        websockets.asyncio.server.serve = serve_guarded  # type: ignore[misc, assignment]
        try:
            yield
        finally:
            websockets.asyncio.server.serve = serve  # type: ignore[misc]


def _fault_of_message(raw: Any) -> str:
    try:
        if not _finite(msgspec.msgpack.decode(raw)):
            return "a message of the page holds a number that is not finite"
        Message.deserialize(raw)
    except Exception as error:
        return f"a message of the page cannot be read ({type(error).__name__})"
    return ""


def _finite(value: Any) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, dict):
        return all(map(_finite, value.values()))
    return all(map(_finite, value)) if isinstance(value, list) else True


def _is_loopback(host: str) -> bool:
    return host == "localhost" or (_is_address(host) and ipaddress.ip_address(host.strip("[]")).is_loopback)


def _is_address(host: str) -> bool:
    """Whether a Host header is no name that a foreign site could own: `localhost`, or an address, with any port."""
    try:
        name = urlsplit(f"//{host}").hostname or ""
        return name == "localhost" or bool(ipaddress.ip_address(name))
    except ValueError:
        return False


def _token_in(path: str) -> str:
    return parse_qs(urlsplit(path).query).get("token", [""])[0]


def _cookie_name(host: str) -> str:
    """Return a name apart from other viewers on the same machine: cookies know no ports."""
    return f"us_sim_{host.rpartition(':')[2] if ':' in host else 80}"
