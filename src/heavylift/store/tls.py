"""TLS: the files of both sides, and what is said when one does not trust the other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from redis.connection import SSLConnection

from heavylift.errors import InvalidArgument
from heavylift.settings import Settings

_FILES = {"ssl_ca_certs": "tls_ca", "ssl_certfile": "tls_cert", "ssl_keyfile": "tls_key"}
"""The settings that name files, by what redis-py calls them."""

_NOT_TRUSTED = "CERTIFICATE_VERIFY_FAILED"
_NOT_KNOWN = ("CERTIFICATE_REQUIRED", "UNKNOWN_CA", "BAD_CERTIFICATE", "HANDSHAKE_FAILURE")


def tls_options(settings: Settings, options: Mapping[str, Any]) -> dict[str, Any]:
    """What the settings say of TLS, as redis-py takes it. The URL may say it as well; the settings win.

    Raises:
        InvalidArgument: they speak of TLS and the URL does not.
    """
    said = {option: str(settings.root / path) for option, name in _FILES.items() if (path := getattr(settings, name))}
    if not said and settings.tls_check_hostname:
        return {}
    if options.get("connection_class") is not SSLConnection:
        name = next((name for name in _FILES.values() if getattr(settings, name)), "tls_check_hostname")
        raise InvalidArgument(name, getattr(settings, name), "is for TLS: give redis_url as rediss://")
    return said if settings.tls_check_hostname else {**said, "ssl_check_hostname": False}


def check_files(options: Mapping[str, Any]) -> None:
    """Read what is to be read later.

    Raises:
        InvalidArgument: a file cannot be read; names it.
    """
    for option, name in _FILES.items():
        if path := options.get(option):
            try:
                with open(path, "rb"):
                    pass
            except OSError as wrong:
                raise InvalidArgument(name, path, f"cannot be read: {wrong.strerror}") from None


def distrust(options: Mapping[str, Any], said: str) -> str | None:
    """What is wrong between two sides that do not accept each other's certificate, with the remedy; None if nothing."""
    said_loudly = said.upper().replace(" ", "_")
    if _NOT_TRUSTED in said_loudly:
        by = options.get("ssl_ca_certs") or "the system's CAs"
        return f"its certificate is refused by {by}: give the CA that signed it as tls_ca (HEAVYLIFT_TLS_CA): {said}"
    if any(word in said_loudly for word in _NOT_KNOWN):
        shown = options.get("ssl_certfile")
        how = f"it refuses the client's certificate {shown}" if shown else "it asks for a client's certificate"
        return f"{how}: give one that it trusts as tls_cert and tls_key (HEAVYLIFT_TLS_CERT, _KEY): {said}"
    return None
