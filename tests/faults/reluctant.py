"""A module that the worker imports without trouble, and its slots as they are told: by files in the worker's folder.

`slow`      an import that takes a minute: in the worker too, if that file says `everywhere`
`broken`    one that fails
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from heavylift import Context, Setup, handler
from tests.faults.ledger import note

_HERE = Path.cwd()
_IN_A_SLOT = "heavylift.lanes.preload" in sys.modules and "heavylift.worker.worker" not in sys.modules


def _told(what: str) -> bool:
    file = _HERE / what
    return file.exists() and (_IN_A_SLOT or file.read_text() == "everywhere")


if _told("slow"):
    (_HERE / "importing").touch()
    time.sleep(60)
if _told("broken"):
    raise RuntimeError("this module cannot be imported in a slot")


def _load() -> str:
    with (_HERE / "loads").open("a") as book:
        book.write(f"{os.getpid()}\n")
    if (_HERE / "deadly").exists():
        os._exit(3)
    return "loaded"


model = Setup(_load)


@handler(lane="cpu", queue="heavy")
def plain(ctx: Context, ledger: str) -> None:
    note(ledger, ctx, "start")
    note(ledger, ctx, "finish")


@handler(lane="cpu", queue="heavy", setup=model, retries=3, backoff=[0.5])
def needs_a_model(ctx: Context, ledger: str) -> str:
    note(ledger, ctx, "start")
    note(ledger, ctx, "finish")
    return model.value
