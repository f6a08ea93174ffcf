"""Where webhooks may go: to the public internet, and to what `HEAVYLIFT_WEBHOOK_ALLOW` names.

A URL may come from anybody, and a worker stands where it can reach what others cannot: databases, the metadata of a
cloud, itself. So a receiver's name is resolved once, every address it has is looked at, and these are called: a
name that leads elsewhere a moment later changes nothing.
"""

from __future__ import annotations

import asyncio
import os
import re
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TypeAlias

import httpx

from heavylift import Reject

ALLOW = "HEAVYLIFT_WEBHOOK_ALLOW"
"""Names the setting: hosts, addresses and networks that may be called though they are not public, commas between."""

Address: TypeAlias = IPv4Address | IPv6Address

PORTS = {"http": 80, "https": 443}

_HOST = re.compile(rb"[\w.:-]+")
_NAT64 = IPv6Network("64:ff9b::/96")


@dataclass(frozen=True, slots=True)
class Receiver:
    """Who is called.

    Attributes:
        urls: with an address in place of the name, one for each that the name has; to be tried in turn.
        host: the name, for the certificate; `header`: the same as HTTP has it, with the port if that is not the usual.
    """

    urls: tuple[httpx.URL, ...]
    host: str
    header: str


async def resolve(text: str) -> Receiver:
    """The receiver a URL names.

    Raises:
        Reject: it is no http or https URL, or leads to where no webhook may go.
        OSError: its name cannot be resolved.
    """
    url = _parsed(text)
    host = url.raw_host.decode("ascii")
    found = await asyncio.get_running_loop().getaddrinfo(host, url.port or PORTS[url.scheme], type=socket.SOCK_STREAM)
    addresses = list(dict.fromkeys(ip_address(one[4][0]) for one in found))
    allowed = _allowed()
    for address in addresses:
        if host not in allowed and not _is_public(address) and not _is_among(address, allowed):
            raise Reject(f"{shown(text)} leads to {address}, which is not public; {ALLOW} can allow it")
    return Receiver(tuple(url.copy_with(host=str(address)) for address in addresses), host, url.netloc.decode("ascii"))


def _parsed(text: str) -> httpx.URL:
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL:
        url = httpx.URL("")
    if url.scheme not in PORTS or not _HOST.fullmatch(url.raw_host):
        raise Reject(f"{shown(text)!r} is no http or https URL")
    return url


def shown(url: str) -> str:
    """A URL without what may be secret in it."""
    head, _, rest = url.partition("://")
    return f"{head}://{rest.partition('?')[0].rpartition('@')[2]}" if rest else url.partition("?")[0]


def _allowed() -> list[str]:
    return [one.strip().lower() for one in os.environ.get(ALLOW, "").split(",") if one.strip()]


def _is_among(address: Address, allowed: list[str]) -> bool:
    for one in allowed:
        try:
            if address in ip_network(one, strict=False):
                return True
        except ValueError:
            continue  # the name of a host
    return False


def _is_public(address: Address) -> bool:
    """Whether it is, and so are the addresses that are written into it."""
    return all(one.is_global and not one.is_multicast for one in _meant(address))


def _meant(address: Address) -> Iterator[Address]:
    if isinstance(address, IPv4Address):
        yield address
    elif address.ipv4_mapped:
        yield address.ipv4_mapped
    else:
        yield address
        if address.sixtofour:
            yield address.sixtofour
        if address.teredo:
            yield address.teredo[1]
        if address in _NAT64:
            yield IPv4Address(int(address) & 0xFFFFFFFF)
