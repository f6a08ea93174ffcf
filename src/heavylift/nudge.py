"""A flag that a thread can wait for together with sockets."""

from __future__ import annotations

import os


class Nudge:
    """A flag that can be waited for with `select`. `set` is cheap when it is set already."""

    def __init__(self) -> None:
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._reader, False)
        os.set_blocking(self._writer, False)
        self._set = False

    def fileno(self) -> int:
        """The descriptor to wait on."""
        return self._reader

    def set(self) -> None:
        """Wake the waiting thread. From any thread."""
        if not self._set:
            self._set = True
            try:
                os.write(self._writer, b"\0")
            except OSError:
                pass  # full: it is awake anyway; closed: nobody waits any more

    def clear(self) -> None:
        """Forget it. By the waiting thread, before it looks at what may have changed.

        Empty the pipe first, then lower the flag: the other way round, a `set` in between would have its
        byte swallowed and leave the flag up, and no later one would be heard.
        """
        try:
            os.read(self._reader, 4096)
        except BlockingIOError:
            pass
        self._set = False

    def close(self) -> None:
        """Give the descriptors back."""
        os.close(self._reader)
        os.close(self._writer)
