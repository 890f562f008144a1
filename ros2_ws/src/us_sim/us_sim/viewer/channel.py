# Copyright 2026 The us_sim authors
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with
# the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
# specific language governing permissions and limitations under the License.

"""The console's own files and its WebSocket, served beside viser: pictures and words out, what the user does in."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Awaitable, Callable
from dataclasses import replace
from http import HTTPStatus
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from websockets.asyncio.server import ServerConnection
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

B_MODE, STRIP, OTHER = range(3)  # kinds of pictures: B-mode, M-mode, what B-mode is compared with
SCREEN, VIEW, SAVED = "/screen", "/view", "/saved/"
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".json": "application/json",
    ".png": "image/png",
    ".gif": "image/gif",
    ".mp4": "video/mp4",
    ".dcm": "application/dicom",
}
PAGE = {
    "/": "console.html",
    "/console.js": "console.js",
    "/keys.js": "keys.js",
    "/marks.js": "marks.js",
    "/pad.js": "pad.js",
    "/sparing.js": "sparing.js",
    "/console.css": "console.css",
    "/body.json": "body.json",
}
NEXT = "next"  # what a page does when it has drawn a B-mode picture: it asks for another
SPARING = "sparing"  # what a page without a graphics card adds to the socket's address
LONGEST = 2000  # bytes of a message from the page

Message = dict[str, Any]


class Channel:
    """Sends every open page the newest picture and state. All but `serve` may be called from any thread.

    Attributes:
        saved: files that a page may download, by name.
        state: told last.
    """

    def __init__(self, heard: Callable[[Message], None], refuse: Callable[[str], None]) -> None:
        """`heard(message)` is called in the server's thread; `refuse(why)` tells of messages that cannot be read."""
        self.saved: dict[str, Path] = {}
        self._heard, self._refuse = heard, refuse
        self._loop: asyncio.AbstractEventLoop | None = None
        self._pages: set[_Page] = set()
        self.state: Message = {}
        self._pictures: dict[int, bytes] = {}
        self._state = ""

    @property
    def watched(self) -> bool:
        """Whether a page is open."""
        return bool(self._pages)

    @property
    def asked(self) -> bool:
        """Whether a page is ready for another B-mode picture: it has drawn the one before."""
        return any(page.asks for page in tuple(self._pages))

    @property
    def sparing(self) -> bool:
        """Whether pages are open that are all drawn without a graphics card."""
        pages = tuple(self._pages)
        return bool(pages) and all(page.sparing for page in pages)

    def show(self, picture: bytes, kind: int = B_MODE) -> None:
        """Show a picture, JPEG; its kind, B_MODE, STRIP or OTHER, goes ahead as one byte."""
        self._pictures[kind] = bytes([kind]) + picture
        self._send(self._pictures[kind])

    def tell(self, state: Message) -> None:
        """Show a state, if it has changed."""
        text, self.state = json.dumps(state, ensure_ascii=False), state
        if text != self._state:
            self._state = text
            self._send(text)

    # -- what is served --------------------------------------------------------------------------------

    def handler(self, path: str) -> Callable[[ServerConnection], Awaitable[None]] | None:
        """Return who talks on a WebSocket of a path; None for viser."""
        return self.serve if urlsplit(path).path == SCREEN else None

    def respond(self, connection: ServerConnection, request: Request) -> Response | Request | None:
        """Answer a request for the console's files; viser's page lies at VIEW."""
        if request.headers.get("Upgrade", "").lower() == "websocket":
            return None
        path = unquote(urlsplit(request.path).path)
        if path == VIEW:
            return replace(request, path="/index.html")
        if path in PAGE:
            content = (files("us_sim") / "resources" / "console" / PAGE[path]).read_bytes()
            return _response(content, PAGE[path])
        file = self.saved.get(path.removeprefix(SAVED)) if path.startswith(SAVED) else None
        if file is None:
            return None
        try:
            return _response(file.read_bytes(), file.name, download=True)
        except OSError as error:
            return connection.respond(HTTPStatus.NOT_FOUND, f"us_sim: {file.name}: {error.strerror}\n")

    async def serve(self, connection: ServerConnection) -> None:
        """Talk to one page until it is closed."""
        self._loop = asyncio.get_running_loop()
        page = _Page(connection.request is not None and urlsplit(connection.request.path).query == SPARING)
        if self._state:
            page.put(self._state)
        for picture in self._pictures.values():
            page.put(picture)
        self._pages.add(page)
        sender = asyncio.create_task(page.send(connection))
        try:
            async for raw in connection:
                self._take(raw, page)
        except ConnectionClosed:
            pass
        finally:
            self._pages.discard(page)
            sender.cancel()

    def _take(self, raw: str | bytes, page: _Page) -> None:
        message, why = read(raw)
        if message is None:
            self._refuse(why)
            return
        if message["do"] == NEXT:
            page.ask()
        self._heard(message)

    def _send(self, what: str | bytes) -> None:
        if self._loop is None or self._loop.is_closed():
            return
        for page in tuple(self._pages):
            self._loop.call_soon_threadsafe(page.put, what)


class _Page:
    """One open page: of pictures of each kind and of states, the newest wait for it; B-mode until the page asks.

    Attributes:
        sparing: it is drawn without a graphics card.
    """

    def __init__(self, sparing: bool) -> None:
        self.sparing = sparing
        self._waiting: dict[int | str, str | bytes] = {}
        self._there = asyncio.Event()
        self._free = True  # the last B-mode picture has been drawn

    @property
    def asks(self) -> bool:
        return self._free and B_MODE not in self._waiting

    def ask(self) -> None:
        self._free = True
        self._there.set()

    def put(self, what: str | bytes) -> None:
        self._waiting["" if isinstance(what, str) else what[0]] = what
        self._there.set()

    def _due(self) -> list[str | bytes]:
        """Take out what may be sent."""
        held = None if self._free else self._waiting.pop(B_MODE, None)
        if B_MODE in self._waiting:
            self._free = False
        due, self._waiting = list(self._waiting.values()), {} if held is None else {B_MODE: held}
        return due

    async def send(self, connection: ServerConnection) -> None:
        try:
            while True:
                await self._there.wait()
                self._there.clear()
                for what in self._due():
                    await connection.send(what)
        except ConnectionClosed:
            return


def read(raw: str | bytes) -> tuple[Message | None, str]:
    """Return a message of the page, or None and why it cannot be read: text, numbers and truth values by name."""
    try:
        if len(raw) > LONGEST:
            raise ValueError("it is too long")
        message = json.loads(raw, parse_constant=float)
        if not isinstance(message, dict) or not isinstance(message.get("do"), str):
            raise ValueError("it does not say what to do")
        for value in message.values():
            if not isinstance(value, (str, bool, int, float)):
                raise ValueError("it holds more than text and numbers")
            if not isinstance(value, str) and not math.isfinite(value):
                raise ValueError("it holds a number that is not finite")
    except (ValueError, RecursionError, OverflowError) as error:
        return None, f"a message of the page cannot be read: {error}"
    return message, ""


def _response(content: bytes, name: str, download: bool = False) -> Response:
    headers = Headers(
        {
            "Content-Type": TYPES.get(Path(name).suffix, "application/octet-stream"),
            "Content-Length": str(len(content)),
            "Cache-Control": "no-store",
            "X-Frame-Options": "SAMEORIGIN",
            "X-Content-Type-Options": "nosniff",
        }
    )
    if download:
        headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return Response(HTTPStatus.OK, "OK", headers, content)
