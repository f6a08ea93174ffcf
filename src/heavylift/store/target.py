"""Where Redis is and how to get in: one server, a Sentinel set or a Cluster; TCP, TLS or a unix socket."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import redis.asyncio.connection as redis_async
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.connection import Connection as Socket
from redis.connection import SSLConnection, UnixDomainSocketConnection, parse_url
from redis.exceptions import AuthenticationError, RedisError
from redis.retry import Retry
from redis.sentinel import MasterNotFoundError, Sentinel

from heavylift.errors import InvalidArgument, PermissionMissing, StoreError, Unavailable
from heavylift.settings import Settings
from heavylift.store.tls import check_files, distrust, tls_options

Address = tuple[str, int]

_ASYNC: dict[Any, Any] = {
    Socket: redis_async.Connection,
    SSLConnection: redis_async.SSLConnection,
    UnixDomainSocketConnection: redis_async.UnixDomainSocketConnection,
}


HASTY = 1.0
"""Seconds that a node of a Cluster is given which was silent before: the queues of the others wait as well."""


@dataclass(frozen=True, slots=True)
class Target:
    """What to connect to. Make it with `from_url` or `from_settings`.

    Attributes:
        options: what redis-py's connection class is given (host, port, path, credentials, database, TLS).
        nodes: addresses named in the URL; several for Sentinels or a Cluster.
        sentinel: name of the set, if the addresses are Sentinels.
        cluster: the addresses are nodes of a Redis Cluster.
        connect_timeout, command_timeout: seconds.
    """

    options: Mapping[str, Any] = field(repr=False)
    nodes: tuple[Address, ...] = ()
    sentinel: str | None = None
    cluster: bool = False
    connect_timeout: float = 5.0
    command_timeout: float = 10.0

    @classmethod
    def from_url(
        cls,
        url: str,
        *,
        sentinel: str | None = None,
        cluster: bool = False,
        connect_timeout: float = 5.0,
        command_timeout: float = 10.0,
    ) -> Target:
        """A target from `redis://`, `rediss://` or `unix://`; several `host:port` may stand with commas between.

        Raises:
            InvalidArgument: the URL cannot be read.
        """
        try:
            parts = urlsplit(url)
            credentials, at, hosts = parts.netloc.rpartition("@")
            nodes = tuple(_address(host) for host in hosts.split(",")) if hosts else ()
            single = urlunsplit(parts._replace(netloc=credentials + at + hosts.split(",")[0])) if nodes else url
            options = dict(parse_url(single))  # type: ignore[no-untyped-call]
        except ValueError as wrong:
            shown = url.rpartition("@")[2]
            raise InvalidArgument("redis_url", shown, f"give redis://, rediss:// or unix:// ({wrong})") from None
        for known_to_us in ("retry_on_timeout", "retry", "max_connections", "decode_responses", "protocol"):
            options.pop(known_to_us, None)
        if options.get("connection_class") is SSLConnection and options.get("ssl_cert_reqs") != "none":
            options.setdefault("ssl_check_hostname", True)  # some versions of redis-py do not by themselves
        return cls(options, nodes, sentinel, cluster, connect_timeout, command_timeout)

    @classmethod
    def from_settings(cls, settings: Settings) -> Target:
        """The target that the settings name.

        Raises:
            InvalidArgument: no URL is set (start the embedded server first), it cannot be read, or the files of TLS
                cannot.
        """
        if settings.redis_url is None:
            raise InvalidArgument("redis_url", None, "give the URL of a Redis server, or of the embedded one")
        found = cls.from_url(
            settings.redis_url,
            sentinel=settings.sentinel,
            cluster=settings.cluster,
            connect_timeout=settings.connect_timeout,
            command_timeout=settings.command_timeout,
        )
        options = {**found.options, **tls_options(settings, found.options)}
        check_files(options)
        return replace(found, options=options)

    def __str__(self) -> str:
        if path := self.options.get("path"):
            return f"unix://{path}"
        where = ",".join(f"{host}:{port}" for host, port in self.nodes) or "localhost:6379"
        return f"{self.sentinel}@{where}" if self.sentinel else where

    def at(self, address: Address) -> Target:
        """The same way in, to one given node."""
        options = {**self.options, "host": address[0], "port": address[1]}
        return replace(self, options=options, nodes=(address,), sentinel=None)

    def hasty(self) -> Target:
        """The same way, with little patience."""
        quick = min(self.connect_timeout, HASTY), min(self.command_timeout, HASTY)
        return replace(self, connect_timeout=quick[0], command_timeout=quick[1])

    def dial(self, name: str) -> Socket:
        """An open, greeted connection of redis-py, with its own retries off. Sentinels are asked each time anew.

        Raises:
            Unavailable: nobody there, or no answer in time.
            PermissionMissing: the credentials are refused.
        """
        try:
            options = {**self.options, **self.primary()} if self.sentinel else dict(self.options)
            kind = options.pop("connection_class", Socket)
            socket = kind(**options, **self.manners(name, Retry(NoBackoff(), 0)))
            socket.connect()
            return socket  # type: ignore[no-any-return]
        except (RedisError, OSError) as wrong:
            raise unreachable(self, wrong, self._last_words() if _hung_up(wrong) else "") from None

    async def dial_async(self, name: str) -> Any:
        """As `dial`, for an event loop."""
        try:
            found = await asyncio.to_thread(self.primary) if self.sentinel else {}
            options = {**self.options, **found}
            kind = _ASYNC[options.pop("connection_class", Socket)]
            socket = kind(**options, **self.manners(name, AsyncRetry(NoBackoff(), 0)))
            await socket.connect()
            return socket
        except (RedisError, OSError) as wrong:
            said = await asyncio.to_thread(self._last_words) if _hung_up(wrong) else ""
            raise unreachable(self, wrong, said) from None

    def manners(self, name: str, retry: Any) -> dict[str, Any]:
        """What every connection is told beside its address."""
        return {
            "client_name": "heavylift:" + name.removeprefix("heavylift:"),
            "socket_connect_timeout": self.connect_timeout,
            "socket_timeout": self.command_timeout,
            "health_check_interval": 0,
            "protocol": 2,
            "retry": retry,
        }

    def primary(self) -> dict[str, Any]:
        """Host and port of the primary, by the Sentinels: asked without credentials first, then with ours."""
        told = {k: v for k, v in self.options.items() if k in ("username", "password") or k.startswith("ssl")}
        manners = {"socket_timeout": self.connect_timeout, "socket_connect_timeout": self.connect_timeout}
        try:
            return self._discover(manners)
        except MasterNotFoundError:
            if not told:
                raise
            return self._discover({**manners, **told})

    def _last_words(self) -> str:
        """What a server says that hangs up before it is greeted: that it has too many clients, or lets no stranger in.

        The greeting fails before its answer is read, so the question is asked once more, without a word of ours.
        """
        try:
            options = {**self.options, **self.primary()} if self.sentinel else dict(self.options)
            kind = options.pop("connection_class", Socket)
            with kind(**options, **self.manners("", Retry(NoBackoff(), 0)))._connect() as wire:
                wire.settimeout(1.0)
                return str(wire.recv(1024).decode("utf-8", "replace")).strip().removeprefix("-")
        except ssl.SSLError as alert:  # so it says that it lets no stranger in
            return str(alert)
        except (RedisError, OSError):
            return ""

    def _discover(self, manners: dict[str, Any]) -> dict[str, Any]:
        sentinels: Any = Sentinel(list(self.nodes), sentinel_kwargs=manners)  # type: ignore[no-untyped-call]
        try:
            host, port = sentinels.discover_master(self.sentinel)
        finally:
            for client in sentinels.sentinels:
                client.close()
        return {"host": host, "port": port}


def unreachable(target: Target, wrong: Exception, said: str = "") -> StoreError:
    """The error to hand out when a connection could not be made; `said` is what the server gave as its reason."""
    if reason := distrust(target.options, str(said or wrong)):
        return PermissionMissing(f"{target}: {reason}")
    if isinstance(wrong, AuthenticationError) or "NOPERM" in str(wrong) or "WRONGPASS" in str(wrong):
        return PermissionMissing(f"{target} refuses the user: {wrong}")
    hint = ""
    if target.options.get("connection_class") is SSLConnection and not target.options.get("ssl_certfile"):
        # a server that asks for a certificate says so and hangs up; the one may overtake the other
        hint = " (if it asks for a client's certificate, give tls_cert and tls_key)"
    return Unavailable(f"{target} cannot be reached: {said or wrong}{hint}")


_HUNG_UP = (BrokenPipeError, ConnectionResetError, ssl.SSLEOFError)


def _hung_up(wrong: BaseException | None) -> bool:
    """The other end closed the connection while it was greeted."""
    while wrong is not None and not isinstance(wrong, _HUNG_UP):
        wrong = wrong.__cause__ or wrong.__context__
    return wrong is not None


def _address(text: str) -> Address:
    if text.startswith("["):
        host, _, port = text[1:].partition("]")
        return host, int(port.lstrip(":") or 6379)
    host, _, port = text.partition(":")
    return host or "localhost", int(port or 6379)
