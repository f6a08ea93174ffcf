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

from handlers._receivers import ALLOW, resolve
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


@pytest.fixture(autouse=True)
def this_machine_may_be_called(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ALLOW, "example.org, 127.0.0.0/8")


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


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.1",
        "localhost",
        "0.0.0.0",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "100.64.0.1",
        "169.254.169.254",
        "224.0.0.1",
        "[::1]",
        "[::]",
        "[fe80::1]",
        "[fc00::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:169.254.169.254]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
    ],
)
def test_nothing_inside_is_called_unless_it_is_allowed(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(ALLOW)
    with pytest.raises(Reject, match=f"not public; {ALLOW}"):
        run(f"http://{host}:9/", 1)
    monkeypatch.setenv(ALLOW, f"elsewhere.example, {host.strip('[]')}")
    assert asyncio.run(resolve(f"http://{host}:9/")).host == host.strip("[]")


@pytest.mark.parametrize("url", ["http://93.184.215.14/x", "https://[2606:2800:21f:cb07:6820:80da:af6b:8b2c]/x"])
def test_public_addresses_are_called_without_asking(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(ALLOW)
    assert list(map(str, asyncio.run(resolve(url)).urls)) == [url]


def test_a_name_is_resolved_once_and_that_address_is_called_under_the_name(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever owns a name may let it lead to the public at first and then elsewhere."""
    asked: list[str] = []
    real = socket.getaddrinfo

    def answer(host: str, *rest: Any, **more: Any) -> Any:
        asked.append(host)
        return real("127.0.0.1" if len(asked) == 1 else "192.0.2.1", *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", answer)
    port = receiver.server.server_port
    assert run(f"http://name.example:{port}/hook", 1)["status"] == 200
    assert asked == ["name.example"]
    assert receiver.heard[0][0]["host"] == f"name.example:{port}"


def test_a_name_of_which_one_address_is_inside_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    both = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 80)) for address in ("93.184.215.14", "10.0.0.1")]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: both)
    with pytest.raises(Reject, match=r"10\.0\.0\.1"):
        run("http://name.example/", 1)


def test_an_address_where_nobody_listens_gives_way_to_the_next(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 80)) for address in ("127.0.0.2", "127.0.0.1")]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: both)
    assert run(f"http://name.example:{receiver.server.server_port}/hook", 1)["status"] == 200


def test_no_proxy_of_the_environment_is_asked(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    assert run(receiver.url, 1)["status"] == 200
