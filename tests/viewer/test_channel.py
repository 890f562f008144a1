"""The console's files and WebSocket, beside viser's and behind the same guard."""

from __future__ import annotations

import http.client
import json
import queue
from collections.abc import Iterator
from pathlib import Path

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

pytest.importorskip("rclpy")
import viser

from us_sim.viewer.channel import LONGEST, STRIP, Channel, Message, read
from us_sim.viewer.guard import Guard, guarded

KINDS = {"/console.js": "text/javascript", "/keys.js": "text/javascript", "/console.css": "text/css"}
Served = tuple[Channel, int, "queue.SimpleQueue[Message]", list[str]]


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    heard: queue.SimpleQueue[Message] = queue.SimpleQueue()
    told: list[str] = []
    guard = Guard("127.0.0.1", told.append)
    channel = Channel(heard.put, guard.refuse)
    with guarded(guard, channel):
        server = viser.ViserServer("127.0.0.1", 0, verbose=False)
    yield channel, server.get_port(), heard, told
    server.stop()


def get(port: int, path: str) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request("GET", path)
    return connection.getresponse()


def test_the_console_is_served_and_viser_beside_it(served: Served) -> None:
    _, port, *_ = served
    page = get(port, "/")
    assert (page.status, page.getheader("X-Frame-Options")) == (200, "SAMEORIGIN")
    assert b'<iframe id="view"' in page.read()
    for path, kind in (
        ("/console.js", "text/javascript"),
        ("/keys.js", "text/javascript"),
        ("/marks.js", "text/javascript"),
        ("/pad.js", "text/javascript"),
        ("/sparing.js", "text/javascript"),
        ("/console.css", "text/css"),
        ("/body.json", "application/json"),
    ):
        answer = get(port, path)
        assert (answer.status, answer.getheader("Content-Type", "")[: len(kind)]) == (200, kind)
    assert b"iframe" not in get(port, "/view").read()[:2000]
    assert get(port, "/saved/../console.js").status == 404


def test_only_what_was_saved_can_be_downloaded(served: Served, tmp_path: Path) -> None:
    channel, port, *_ = served
    (tmp_path / "clip.dcm").write_bytes(b"clip")
    (tmp_path / "other.dcm").write_bytes(b"other")
    channel.saved["clip.dcm"] = tmp_path / "clip.dcm"
    answer = get(port, "/saved/clip.dcm")
    assert (answer.status, answer.read()) == (200, b"clip")
    assert answer.getheader("Content-Disposition") == 'attachment; filename="clip.dcm"'
    assert get(port, "/saved/other.dcm").status == 404
    (tmp_path / "clip.dcm").unlink()
    assert get(port, "/saved/clip.dcm").status == 404


def test_a_page_is_told_the_newest_state_and_picture_and_is_heard(served: Served) -> None:
    channel, port, heard, told = served
    channel.tell({"badge": "OLD"})
    channel.tell({"badge": "LIVE"})
    channel.show(b"jpeg")
    with connect(f"ws://127.0.0.1:{port}/screen") as page:
        assert json.loads(page.recv(20)) == {"badge": "LIVE"}
        assert page.recv(20) == b"\x00jpeg"
        assert channel.watched
        channel.tell({"badge": "LIVE"})  # no news
        channel.tell({"badge": "FROZEN"})
        assert json.loads(page.recv(20)) == {"badge": "FROZEN"}
        page.send("nonsense")
        page.send('{"do": "freeze"}')
        assert heard.get(timeout=20) == {"do": "freeze"}
    assert told[-1].startswith("a message of the page cannot be read: ")


def test_the_next_picture_waits_until_the_page_has_drawn_the_last(served: Served) -> None:
    channel, port, heard, _ = served
    assert not channel.asked
    with connect(f"ws://127.0.0.1:{port}/screen?sparing") as page:
        assert page.recv(20)[:1] != b"\x00"  # the state
        assert page.recv(20) == b"\x00jpeg"
        assert (channel.asked, channel.sparing) == (False, True)
        channel.show(b"replaced")
        channel.show(b"newest")
        channel.show(b"strip", STRIP)  # nobody waits for that
        assert page.recv(20) == b"\x01strip"
        page.send('{"do": "next"}')
        assert page.recv(20) == b"\x00newest"
        assert heard.get(timeout=20) == {"do": "next"}
        assert not channel.asked
        page.send('{"do": "next"}')
        heard.get(timeout=20)
        assert channel.asked
        with connect(f"ws://127.0.0.1:{port}/screen") as other:
            assert other.recv(20)
            assert not channel.sparing


def test_other_sites_may_not_talk_to_it(served: Served) -> None:
    _, port, *_ = served
    with pytest.raises(InvalidStatus, match="403"):
        connect(f"ws://127.0.0.1:{port}/screen", origin="http://evil.example")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        ("[1]", "does not say what to do"),
        ('{"do": 3}', "does not say what to do"),
        ('{"do": "x", "place": NaN}', "not finite"),
        ('{"do": "x", "place": 1e999}', "not finite"),
        ('{"do": "x", "place": [1]}', "more than text and numbers"),
        (b"\xff\xfe", "cannot be read"),
        ("[" * 1900, "cannot be read"),
        (f'{{"do": "{"x" * LONGEST}"}}', "too long"),
    ],
)
def test_messages_that_cannot_be_are_refused(raw: str | bytes, why: str) -> None:
    message, said = read(raw)
    assert message is None
    assert why in said
