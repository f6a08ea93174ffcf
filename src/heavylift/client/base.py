"""What `Client` and `AsyncClient` share: settings, where Redis is, and the plans. Nothing is opened here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import cast

from heavylift.client.announcing import Announcer
from heavylift.client.effects import Effects
from heavylift.client.flows import Flows
from heavylift.client.limiting import Limiting
from heavylift.client.linking import Linking
from heavylift.client.operations import Operations
from heavylift.client.overview import Overview
from heavylift.client.producing import Producing
from heavylift.client.repairing import Repairing
from heavylift.client.scheduling import Scheduling
from heavylift.client.steering import Steering
from heavylift.locate import Place
from heavylift.middleware import Middleware, checked, load
from heavylift.options import Durable
from heavylift.request import Requests
from heavylift.settings import Settings
from heavylift.store.jobs import Jobs

PATIENCE = 5.0
"""Seconds a call is tried again while Redis cannot be reached."""


class Base:
    """The parts of a client.

    Attributes:
        settings: what it was made with.
        place: where Redis is.
        middleware: what it was given; None for what the settings name.
        plans: what it can do with jobs and queues; `putting`, `flows`, `limiting`, `scheduling`, `repairing`,
            `effects`, `overview` and `steering` have the rest.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        settings: Settings | None = None,
        patience: float = PATIENCE,
        middleware: Sequence[Middleware] | None = None,
    ) -> None:
        if settings is None:
            settings = Settings.load(redis_url=url)
        elif url is not None:
            settings = replace(settings, redis_url=url)
        self.settings = settings
        self.place = Place(settings)
        self.plans = Operations(
            Jobs(settings.prefix, self.place.scripts()), patience, settings.poll, settings.max_payload
        )
        durable = cast(Durable, settings.durable)
        requests, wait = Requests(settings.max_payload), settings.command_timeout / 2
        self.middleware = middleware
        self.putting = Producing(
            self.plans, requests, Linking(self.plans), durable, wait, self._announcer(), own_server=self.place.embedded
        )
        self.flows = Flows(self.plans)
        self.limiting = Limiting(self.plans)
        self.repairing = Repairing(self.plans)
        self.overview = Overview(self.plans)
        self.steering = Steering(self.plans, self.overview)
        self.scheduling = Scheduling(self.plans, requests)
        self.effects = Effects(self.plans)

    def _announcer(self) -> Announcer | None:
        """What tells middleware of jobs; None where there is none, so that it costs nothing."""
        if self.middleware is not None:
            given = checked(self.middleware)
            return Announcer(lambda: given) if given else None
        named = self.settings.middleware
        return Announcer(partial(load, named, self.settings.root)) if named else None
