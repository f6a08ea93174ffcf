"""Webhooks: `deliver` tells another system, signed, and again until it has heard.

The receiver checks `Heavylift-Signature: t=<seconds>,v1=<hex>`: an HMAC-SHA256, keyed with the shared secret, of
`<seconds>.` and the body. The secret is read from the environment of the worker and stands in no job. `Idempotency-Key`
is the same for every attempt of a job, so that the receiver can tell a repetition.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import time
from typing import Annotated, Any, TypedDict
from urllib.parse import urlsplit

import httpx
import msgspec
from msgspec import Meta

from heavylift import Context, Reject, Retry, handler

SECRET = "HEAVYLIFT_WEBHOOK_SECRET"
TIMEOUT = httpx.Timeout(10.0, connect=5.0)
SAID = 500
"""Characters kept of what the receiver said."""

AGAIN = frozenset({408, 425, 429})
"""Answers below 500 that a later attempt may change."""

LONGEST_WAIT = 3600.0
"""Seconds that a receiver's `Retry-After` is heeded for at most."""

Url = Annotated[str, Meta(min_length=1, max_length=2000)]


class Delivered(TypedDict):
    """What `deliver` returns.

    Attributes:
        status: the receiver's answer.
        said: the beginning of its body.
        seconds: how long it took.
    """

    status: int
    said: str
    seconds: float


@handler(queue="webhooks", timeout=30, retries=8)
async def deliver(ctx: Context, url: Url, payload: Any = None, secret: str = SECRET) -> Delivered:
    """Send a POST with JSON to a URL. Connection errors and answers of 500 and above are tried again.

    Example: heavylift enqueue deliver https://example.org/hooks '{"ready": true}'

    Args:
        url: of the receiver, http or https.
        payload: the body; if not given, the results of the jobs that this one waited for.
        secret: name of the environment variable with the shared secret; unsigned if that is not set.

    Raises:
        Reject: no URL that may be called, or the receiver refuses for good (an answer of 400 to 499).
        Retry: the receiver asks to be called later.
    """
    _check(url)
    if payload is None:
        payload = [
            {"job": one.id, "state": one.state or "gone", "result": one.result if one.completed else None}
            for one in await ctx.parents
        ]
    body = msgspec.json.encode(payload)
    headers = {"Content-Type": "application/json", "User-Agent": "heavylift", "Idempotency-Key": ctx.job.id}
    if key := os.environ.get(secret):
        headers["Heavylift-Signature"] = sign(body, key, int(time.time()))
    began = time.monotonic()
    async with httpx.AsyncClient(timeout=TIMEOUT, follow_redirects=False) as client:
        answer = await client.post(url, content=body, headers=headers)
    said = answer.text[:SAID]
    if answer.status_code in AGAIN or answer.status_code >= 500:
        raise Retry(_wait(answer), f"{_shown(url)} answered {answer.status_code}: {said}")
    if answer.status_code >= 300:
        raise Reject(f"{_shown(url)} answered {answer.status_code}: {said}")
    return Delivered(status=answer.status_code, said=said, seconds=round(time.monotonic() - began, 3))


def sign(body: bytes, key: str, at: int) -> str:
    """The signature of a body sent at this time (seconds since 1970)."""
    made = hmac.new(key.encode(), str(at).encode() + b"." + body, hashlib.sha256).hexdigest()
    return f"t={at},v1={made}"


def _check(url: str) -> None:
    try:
        parts = urlsplit(url)
        fine = parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        fine = False
    if not fine:
        raise Reject(f"{_shown(url)!r} is no http or https URL")


def _shown(url: str) -> str:
    """A URL without what may be secret in it."""
    head, _, rest = url.partition("://")
    return f"{head}://{rest.partition('?')[0].rpartition('@')[2]}" if rest else url.partition("?")[0]


def _wait(answer: httpx.Response) -> float | None:
    """Seconds the receiver asks for; None leaves it to the handler's backoff."""
    said = answer.headers.get("Retry-After", "")
    return min(float(said), LONGEST_WAIT) if said.isdecimal() else None
