"""TLS with a CA of one's own, in both directions: clients, workers and the command line; errors name the file."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from heavylift.client import AsyncClient, Client
from heavylift.errors import InvalidArgument, PermissionMissing
from heavylift.job import JobSpec
from heavylift.registry import Registry
from heavylift.settings import Settings
from heavylift.store.connection import Target
from heavylift.worker.worker import Worker
from tests.servers import Server
from tests.worker import handlers

ECHO = JobSpec("echo", {"value": 7}, queue="light")


@pytest.fixture(scope="module")
def mutual() -> Iterator[Server]:
    """Asks its clients for a certificate."""
    with Server(tls=True, config={"tls-auth-clients": "yes"}) as server:
        yield server


@pytest.fixture
def stranger(tmp_path: Path) -> Path:
    """A certificate that has nothing to do with the server's."""
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=x"
    subprocess.run(
        [*command.split(), "-keyout", tmp_path / "x.key", "-out", tmp_path / "x.pem"], check=True, capture_output=True
    )
    return tmp_path / "x.pem"


def settings(server: Server, root: Path, **said: Any) -> Settings:
    values = {"tls_ca": str(server.certificate), **said}
    return Settings.load(env={}, redis_url=server.url.partition("?")[0], root=str(root), **values)


def with_certificate(server: Server) -> dict[str, str]:
    return {"tls_cert": str(server.certificate), "tls_key": str(server.folder / "key")}


def test_clients_worker_and_command_line_speak_tls_in_both_directions(
    mutual: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # `Server.client` would need the certificate; a server of this module's own needs no reset.
    said = settings(mutual, tmp_path, **with_certificate(mutual), slots=0)
    worker = Worker(said, Registry([handlers.echo]), modules=["tests.worker.handlers"])
    worker.start()
    try:
        with Client(settings=said) as client:
            job = client.enqueue(ECHO)
            assert job.result(10) == 7

        async def asynchronously() -> Any:
            async with AsyncClient(settings=said) as client:
                return await (await client.enqueue(ECHO)).result(10)

        assert asyncio.run(asynchronously()) == 7
        env = {**os.environ, "HEAVYLIFT_TLS_CA": said.tls_ca or "", "HEAVYLIFT_REDIS_URL": said.redis_url or ""}
        env |= {"HEAVYLIFT_TLS_CERT": said.tls_cert or "", "HEAVYLIFT_TLS_KEY": said.tls_key or ""}
        shown = subprocess.run(
            [sys.executable, "-m", "heavylift", "job", job.id, "--json"],
            capture_output=True, text=True, check=True, env=env, cwd=tmp_path,
        )  # fmt: skip
        assert '"completed"' in shown.stdout
    finally:
        worker.stop()


def refused(said: Settings) -> list[str]:
    """What both clients say."""
    words = []
    with Client(settings=said, patience=5.0) as client, pytest.raises(PermissionMissing) as sync:
        client.queues()
    words.append(str(sync.value))

    async def asynchronously() -> None:
        async with AsyncClient(settings=said, patience=5.0) as client:
            await client.queues()

    with pytest.raises(PermissionMissing) as loop:
        asyncio.run(asynchronously())
    return [*words, str(loop.value)]


def test_a_wrong_ca_is_named_with_the_remedy(mutual: Server, stranger: Path, tmp_path: Path) -> None:
    for said in refused(settings(mutual, tmp_path, tls_ca=str(stranger))):
        assert str(stranger) in said
        assert "HEAVYLIFT_TLS_CA" in said


def test_without_a_ca_the_systems_are_named(mutual: Server, tmp_path: Path) -> None:
    for said in refused(settings(mutual, tmp_path, tls_ca=None)):
        assert "the system's CAs" in said


def test_a_client_without_a_certificate_is_told_to_give_one(mutual: Server, tmp_path: Path) -> None:
    for said in refused(settings(mutual, tmp_path)):
        assert "HEAVYLIFT_TLS_CERT" in said


def test_a_server_that_hangs_up_on_a_stranger_is_asked_why(mutual: Server, tmp_path: Path) -> None:
    """Its alert may come too late for the greeting, which fails as it is written."""
    said = Target.from_settings(settings(mutual, tmp_path))._last_words()
    assert "certificate" in said.lower()


def test_a_client_with_a_certificate_that_is_not_trusted_is_told_which(
    mutual: Server, stranger: Path, tmp_path: Path
) -> None:
    given = {"tls_cert": str(stranger), "tls_key": str(stranger.with_suffix(".key"))}
    for said in refused(settings(mutual, tmp_path, **given)):
        assert str(stranger) in said


def test_the_host_must_be_the_one_that_the_certificate_names_unless_that_is_lifted(
    mutual: Server, tmp_path: Path
) -> None:
    url = f"rediss://localhost:{mutual.port}"
    given = {"tls_ca": str(mutual.certificate), **with_certificate(mutual)}
    checked = Settings.load(env={}, redis_url=url, root=str(tmp_path), tls_check_hostname=True, **given)
    for said in refused(checked):
        assert "localhost" in said
    lifted = Settings.load(env={}, redis_url=url, root=str(tmp_path), tls_check_hostname=False, **given)
    with Client(settings=lifted) as client:
        client.queues()


def test_a_file_that_is_not_there_and_a_url_without_tls_are_refused_at_the_door(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match=r"tls_ca.*No such file"):
        Target.from_settings(Settings.load(env={}, redis_url="rediss://h", root=str(tmp_path), tls_ca="no.pem"))
    with pytest.raises(InvalidArgument, match="rediss://"):
        Target.from_settings(Settings.load(env={}, redis_url="redis://h", root=str(tmp_path), tls_ca="no.pem"))
