"""Where Redis is: the one that is configured, or the project's own, which is started when somebody asks for it."""

from __future__ import annotations

from dataclasses import replace

from heavylift.errors import Unavailable
from heavylift.settings import Settings
from heavylift.store.scripts import Scripts
from heavylift.store.target import Target


class Place:
    """Where Redis is, for one set of settings. Safe to use from any thread.

    Attributes:
        embedded: no Redis is configured, so it is the project's own.
    """

    def __init__(self, settings: Settings) -> None:
        self.embedded = settings.redis_url is None
        self._settings = settings
        self._target = None if self.embedded else Target.from_settings(settings)
        self._own_url: str | None = None

    def find(self) -> Target:
        """What to connect to. Ask again after a lost connection: the project's own server may have to be started.

        Raises:
            ServerUnsupported: there is no server for this platform.
            Unavailable: it does not start.
        """
        if self._target is not None:
            return self._target
        from heavylift import embedded  # here, so that whoever has a Redis never loads it

        try:
            self._own_url = embedded.ensure(self._settings.root)
        except Unavailable:
            raise
        except OSError as wrong:  # descriptors or processes are short
            raise Unavailable(f"the embedded server cannot be asked for: {wrong}") from wrong
        return Target.from_settings(replace(self._settings, redis_url=self._own_url))

    def leave(self) -> None:
        """Stop the project's own server, if it was used and nobody uses it any more. Close your connections first."""
        if self._own_url is not None:
            from heavylift import embedded

            embedded.leave(self._own_url)

    def scripts(self) -> Scripts:
        """The verbs as this kind of server needs them. Does not connect."""
        return Scripts(single_node=not self._settings.cluster)
