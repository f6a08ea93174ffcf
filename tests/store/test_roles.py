"""Each role can do what it is there for with the rights that `heavylift acl` prints, and nothing beyond.

In a Cluster too. That the roles together have the whole vocabulary is seen in `tests/contract`.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from heavylift.client import Client
from heavylift.decide import Settlement
from heavylift.errors import PermissionMissing
from heavylift.flow import chain
from heavylift.inspector import Inspector
from heavylift.job import AttemptRecord, JobSpec, State
from heavylift.registry import Registry
from heavylift.settings import Settings
from heavylift.store.channel import Channel
from heavylift.store.connection import Connection, Target
from heavylift.store.jobs import Jobs, NewJob, SettleItem
from heavylift.store.roles import ROLES, rules
from heavylift.store.scripts import Scripts
from heavylift.worker.worker import Worker
from tests.servers import Server, redis_binary
from tests.waiting import wait_until
from tests.worker import handlers

JOBS = Jobs("heavylift")


@dataclass
class Where:
    """A server, or a Cluster of three primaries."""

    url: str
    nodes: list[Server]
    cluster: bool

    def settings(self, url: str = "", **said: Any) -> Settings:
        return Settings.load(env={}, redis_url=url or self.url, cluster=self.cluster, **said)

    def connection(self, url: str = "") -> Connection:
        return Connection(Target.from_settings(self.settings(url)), name="test")

    def dump(self) -> dict[bytes, bytes]:
        """All that is in it."""
        found = {}
        for node in self.nodes:
            with node.client() as client:
                found |= {key: client.dump(key) for key in client.scan_iter()}
        return found


@pytest.fixture(params=["redis", "valkey", pytest.param("cluster", marks=pytest.mark.cluster)])
def where(request: pytest.FixtureRequest) -> Where:
    if request.param == "cluster":
        cluster = request.getfixturevalue("cluster")
        return Where(cluster.url, cluster.nodes, True)
    server = request.getfixturevalue(f"{request.param}_server")
    return Where(server.url, [server], False)


@pytest.fixture
def as_role(where: Where) -> Iterator[Callable[..., str]]:
    """`as_role("reader")` makes a user of that role and gives its URL."""
    users: list[str] = []

    def make(role: str, *without: str, **named: Any) -> str:
        given = [rule for rule in rules(role, "heavylift", cluster=where.cluster, **named) if rule not in without]
        for node in where.nodes:
            node.command("ACL", "SETUSER", role, "reset", "on", ">pw", *given)
        users.append(role)
        return where.url.replace("://", f"://{role}:pw@")

    yield make
    for user in users:
        for node in where.nodes:
            node.command("ACL", "DELUSER", user)


@pytest.fixture
def as_client(where: Where, as_role: Callable[..., str]) -> Iterator[Callable[..., Client]]:
    made: list[Client] = []

    def make(role: str, *without: str, **named: Any) -> Client:
        url = as_role(role, *without, **named)
        made.append(Client(settings=where.settings(url, poll=0.2), patience=0.5))
        return made[-1]

    yield make
    for client in made:
        client.close()


def small(**args: Any) -> JobSpec[Any]:
    return JobSpec("echo", args or {"value": 1}, queue="light")


def test_every_verb_belongs_to_a_role() -> None:
    """Say in `store/roles.py` who calls a new verb."""
    assert {verb for role in ROLES.values() for verb in role.verbs} == set(Scripts().verbs)


def test_a_producer_a_worker_and_a_reader_do_their_part_with_their_rights_alone(
    where: Where, as_role: Callable[..., str], as_client: Callable[..., Client], tmp_path: Path
) -> None:
    producer, reader = as_client("producer"), as_client("reader", queues=["light", "heavy"])
    url = as_role("worker")
    settings = where.settings(url, root=str(tmp_path), lock=2.0, sweep=0.2, slots=1)
    registry = Registry([handlers.echo, handlers.spin, handlers.fails])
    worker = Worker(settings, registry, modules=["tests.worker.handlers"])
    worker.start()
    try:
        inspector = Inspector(reader)
        channel = Channel(reader.place.find(), name="test")
        channel.psubscribe([JOBS.keys("light").event_pattern()])
        wait_until("listening is confirmed", lambda: channel.read() or channel.confirmed)
        flow = producer.enqueue_flow(chain(small(), small(value=7)))
        many = producer.enqueue_many([small(value=n) for n in range(5)], unique=True)
        assert [job.result(10) for job in many] == [0, 1, 2, 3, 4]
        assert [job.result(10) for job in flow.jobs] == [1, 7]
        assert producer.enqueue(JobSpec("spin", {"seconds": 0.0}, queue="heavy")).result(10) == 0.0
        failed = producer.enqueue(JobSpec("fails", {"message": "no"}, queue="light"), retries=0)
        with pytest.raises(Exception, match="no"):
            failed.result(10)
        assert wait_until("its end is heard", lambda: any(b"exhausted" in message for _, message in channel.read()))
        channel.close()
        status = inspector.status()
        assert {queue.name for queue in status.queues} == {"light", "heavy"}
        assert [found.id for found in status.workers] == [worker.id]
        assert inspector.failed()[0].id == failed.id
        assert inspector.job(failed.id).reason == "exhausted"
    finally:
        worker.stop()


def test_an_operator_repairs(as_client: Callable[..., Client]) -> None:
    operator, producer = as_client("operator"), as_client("producer")
    job = producer.enqueue(small(), delay=60)
    operator.pause("light")
    assert operator.resume("light")
    assert operator.cancel(job.id) == "cancelled"
    assert Inspector(operator).status().queues[0].counts.cancelled == 1
    assert operator.replay(queue="light") == operator.purge_failed("light") == 0


def test_an_operator_gives_a_flow_another_life_with_its_links(where: Where, as_client: Callable[..., Client]) -> None:
    operator, producer = as_client("operator"), as_client("producer")
    flow = producer.enqueue_flow(chain(small(), small()))
    parent, child = flow.jobs
    assert operator.flow(flow.id).cancel() == operator.flow(flow.id).retry() == 2
    with closing(where.connection()) as connection:
        children = f"heavylift:{{light}}:children:{parent.id}"
        assert connection.command("ZSCORE", children, f"light {child.id}", key=children) in (b"1", 1.0)


CLAIM = JOBS.claim("q", "w", 1, 1, 30_000, 1000)
SETTLE = JOBS.settle(
    "q", "w", 2, [SettleItem("a", "w.1", Settlement(State.COMPLETED), AttemptRecord(1, "w", 1, 2, "completed"))]
)
ENQUEUE = JOBS.enqueue("q", [NewJob("a", b"{}", "h")], "n")
BEYOND = {
    "producer": [CLAIM, SETTLE, JOBS.cancel("q", "a"), JOBS.remove("q", "a"), JOBS.workers()],
    "reader": [ENQUEUE, CLAIM, SETTLE, JOBS.cancel("q", "a"), JOBS.pause("q"), JOBS.register_queue("r")],
    "worker": [JOBS.replay("q", ["a"], "n"), JOBS.revive("q", ["a"]), JOBS.workers()],
    "operator": [CLAIM, SETTLE],
}


@pytest.mark.parametrize("role", ROLES)
def test_a_role_does_nothing_beyond_and_what_it_tries_leaves_no_trace(
    role: str, where: Where, as_role: Callable[..., str]
) -> None:
    with closing(where.connection(as_role(role))) as link, closing(where.connection()) as own:
        own.ask(ENQUEUE)
        before = where.dump()
        refused = link.round_trip(BEYOND[role])
        assert [type(answer) for answer in refused] == [PermissionMissing] * len(refused)
        assert all("heavylift acl" in str(answer) for answer in refused)
        assert where.dump() == before
        for command in (("GET", "other:key"), ("SET", "x", "y"), ("KEYS", "*"), ("FLUSHALL",), ("CONFIG", "GET", "*")):
            with pytest.raises(PermissionMissing):
                link.command(*command, key=command[1] if len(command) > 1 else "")
        with pytest.raises(PermissionMissing):
            link.command("CLUSTER", "RESET")


@pytest.mark.parametrize(
    ("without", "named"),
    [("+publish", "PUBLISH"), ("&heavylift:{*}:job:*", "heavylift:{q}:job:x"), ("~heavylift:{*}:job:*", "{q}:job:x")],
)
def test_a_right_that_is_missing_is_named_before_anything_is_done(
    without: str, named: str, where: Where, as_role: Callable[..., str]
) -> None:
    with closing(where.connection(as_role("producer", without))) as link:
        with pytest.raises(PermissionMissing, match="enqueue") as refused:
            link.ask(ENQUEUE)
        assert named in str(refused.value)
        assert where.dump() == {}


def test_whoever_may_do_everything_is_asked_once_per_connection(server: Server) -> None:
    link = Connection(Target.from_url(server.url), name="test")
    link.ask(ENQUEUE)
    server.command("CONFIG", "RESETSTAT")
    link.ask(ENQUEUE)
    link.ask(JOBS.enqueue("r", [NewJob("b", b"{}", "h")], "n"))
    assert server.command("INFO", "commandstats")["cmdstat_evalsha"]["calls"] == 2
    link.close()


@pytest.mark.parametrize("durable", ["fast", "fsync", "replicated"])
def test_the_command_prints_lines_that_redis_takes(where: Where, durable: str, tmp_path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "heavylift", "acl", "--prefix", "shop", "--durable", durable],
        capture_output=True, text=True, check=True, cwd=tmp_path,
        env={**os.environ, "HEAVYLIFT_CLUSTER": str(where.cluster).lower(), "HEAVYLIFT_REDIS_URL": where.url},
    )  # fmt: skip
    lines = [shlex.split(line) for line in ran.stdout.splitlines()]
    assert [line[2] for line in lines] == [f"shop-{role}" for role in ROLES]
    assert all(("+cluster|slots" in line) == where.cluster for line in lines)
    if durable == "fsync" and where.nodes[0].binary == redis_binary():
        lines = lines[1:]  # Redis 7.0 knows no WAITAOF
    for line in lines:
        for node in where.nodes:
            node.command(*line)
            node.command("ACL", "DELUSER", line[2])
