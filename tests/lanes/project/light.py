"""The behaviours, declared for the io lane."""

from __future__ import annotations

import behaviours

from heavylift.handler import handler

HANDLERS = [handler(give_up_on=behaviours.Fatal)(fn) for fn in (*behaviours.PLAIN, *behaviours.ASYNC)]
