"""Webhooks: `deliver` tells another system, signed, and again until it has heard.

The receiver checks `Heavylift-Signature: t=<seconds>,v1=<hex>`: an HMAC-SHA256, keyed with the shared secret, of
`<seconds>.` and the body. The secret is read from the environment of the worker and stands in no job. `Idempotency-Key`
is the same for every attempt of a job, so that the receiver can tell a repetition. Where a webhook may go, `_receivers`
says: to public addresses, and to what `HEAVYLIFT_WEBHOOK_ALLOW` names. No proxy is used, and no redirection followed.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
import time
from typing import Annotated, Any, TypedDict

import httpx
import msgspec
from msgspec import Meta

from handlers._receivers import Receiver, resolve, shown
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
        Reject: no URL that may be called, or the receiver refuses for good (an answer of 300 to 499).
        Retry: the receiver asks to be called later.
    """
    receiver = await resolve(url)
    if payload is None:
        payload = [
            {"job": one.id, "state": one.state or "gone", "result": one.result if one.completed else None}
            for one in await ctx.parents
        ]
    body = msgspec.json.encode(payload)
    headers = {"Content-Type": "application/json", "User-Agent": "heavylift", "Idempotency-Key": ctx.job.id}
    headers["Host"] = receiver.header
    if key := os.environ.get(secret):
        headers["Heavylift-Signature"] = sign(body, key, int(time.time()))
    began = time.monotonic()
    async with httpx.AsyncClient(timeout=TIMEOUT, follow_redirects=False, trust_env=False) as client:
        answer = await _post(client, receiver, body, headers)
    said = answer.text[:SAID]
    if answer.status_code in AGAIN or answer.status_code >= 500:
        raise Retry(_wait(answer), f"{shown(url)} answered {answer.status_code}: {said}")
    if answer.status_code >= 300:
        raise Reject(f"{shown(url)} answered {answer.status_code}: {said}")
    return Delivered(status=answer.status_code, said=said, seconds=round(time.monotonic() - began, 3))


def sign(body: bytes, key: str, at: int) -> str:
    """The signature of a body sent at this time (seconds since 1970)."""
    made = hmac.new(key.encode(), str(at).encode() + b"." + body, hashlib.sha256).hexdigest()
    return f"t={at},v1={made}"


async def _post(client: httpx.AsyncClient, receiver: Receiver, body: bytes, headers: dict[str, str]) -> httpx.Response:
    *others, last = receiver.urls
    sni = {"sni_hostname": receiver.host}
    for url in others:
        with contextlib.suppress(httpx.ConnectError, httpx.ConnectTimeout):  # nothing was sent: the next address may do
            return await client.post(url, content=body, headers=headers, extensions=sni)
    return await client.post(last, content=body, headers=headers, extensions=sni)


def _wait(answer: httpx.Response) -> float | None:
    """Seconds the receiver asks for; None leaves it to the handler's backoff."""
    said = answer.headers.get("Retry-After", "")
    return min(float(said), LONGEST_WAIT) if said.isdecimal() else None
