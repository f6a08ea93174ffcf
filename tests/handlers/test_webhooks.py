"""`deliver`, against a receiver on this machine."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest

from handlers.webhooks import SECRET, deliver, sign
from heavylift import Context, Reject, Retry, State
from heavylift.context import JobInfo
from heavylift.parents import Parent


class Receiver:
    """Answers as it is told and remembers what it was sent."""

    def __init__(self) -> None:
        self.heard: list[tuple[dict[str, str], bytes]] = []
        self.status, self.headers = 200, dict[str, str]()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.heard.append(({name.lower(): value for name, value in self.headers.items()}, body))
                self.send_response(receiver.status)
                for name, value in receiver.headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(b"thanks")

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.close()


def run(url: str, payload: Any = None, parents: tuple[Parent, ...] = (), id: str = "j1") -> Any:
    return asyncio.run(deliver.fn(Context(JobInfo(id), parents=parents), url, payload))


def test_the_body_is_signed_and_each_attempt_has_the_same_key(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(SECRET, "shared")
    assert run(receiver.url, {"ready": True})["status"] == 200
    run(receiver.url, {"ready": True})
    (headers, body), (again, _) = receiver.heard
    assert json.loads(body) == {"ready": True}
    at = re.match(r"t=(\d+),v1=[0-9a-f]{64}\Z", headers["heavylift-signature"])
    assert at is not None
    assert sign(body, "shared", int(at[1])) == headers["heavylift-signature"]
    assert sign(body + b" ", "shared", int(at[1])) != headers["heavylift-signature"]
    assert headers["idempotency-key"] == again["idempotency-key"] == "j1"


def test_without_a_secret_it_is_not_signed(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(SECRET, raising=False)
    run(receiver.url, 1)
    assert "heavylift-signature" not in receiver.heard[0][0]


def test_without_a_payload_it_tells_what_its_parents_came_to(receiver: Receiver) -> None:
    run(receiver.url, parents=(Parent("q", "a", State.COMPLETED, b'{"pages":2}'), Parent("q", "b", State.FAILED, None)))
    assert json.loads(receiver.heard[0][1]) == [
        {"job": "a", "state": "completed", "result": {"pages": 2}},
        {"job": "b", "state": "failed", "result": None},
    ]


@pytest.mark.parametrize("status", [500, 503, 429, 408])
def test_what_may_pass_is_tried_again(receiver: Receiver, status: int) -> None:
    receiver.status = status
    with pytest.raises(Retry) as again:
        run(receiver.url, 1)
    assert again.value.after is None
    receiver.headers = {"Retry-After": "120"}
    with pytest.raises(Retry) as later:
        run(receiver.url, 1)
    assert later.value.after == 120


@pytest.mark.parametrize("status", [400, 404, 410, 302])
def test_what_will_not_pass_is_rejected(receiver: Receiver, status: int) -> None:
    receiver.status = status
    receiver.headers = {"Location": "http://127.0.0.1:1/"}
    with pytest.raises(Reject, match=str(status)):
        run(receiver.url + "?token=hidden", 1)
    with pytest.raises(Reject) as rejected:
        run(receiver.url + "?token=hidden", 1)
    assert "hidden" not in str(rejected.value)


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://host/x", "http://", "nonsense", "http://[bad"])
def test_only_http_is_called(url: str) -> None:
    with pytest.raises(Reject, match="no http"):
        run(url, 1)


def test_nobody_there_is_a_failure_that_is_tried_again() -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    with pytest.raises(httpx.TransportError) as failed:
        run(f"http://127.0.0.1:{port}/", 1)
    assert deliver.retryable(failed.value)
