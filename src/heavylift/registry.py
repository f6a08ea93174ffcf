"""The handlers a process knows, and the rules of their jobs. Passed in, never global.

`load` imports the modules of the project's `handlers/` folder and those named, and keeps the handlers it finds in
them. Worker, slots' processes and command line each load their own.
"""

from __future__ import annotations

import importlib
import pkgutil
import sys
import traceback
from collections.abc import Iterable, Mapping, Sequence
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import module_from_spec
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Any

from heavylift.decide import Policy
from heavylift.declaration import LaneName
from heavylift.duration import said_seconds
from heavylift.errors import HandlerError
from heavylift.handler import Handler
from heavylift.job import Envelope
from heavylift.limits import Limit
from heavylift.options import LONGEST_RUN
from heavylift.schedule import Declared

FOLDER = "handlers"
"""The folder of a project that is loaded by itself, and the package its modules are imported as."""


class Registry:
    """Handlers by name. Immutable.

    Attributes:
        handlers: all of them, in the order of their names.
        lanes: which lane serves which queue, for the handlers' own queues.
        limits: what the handlers of a queue declare for each of their groups, and for its keys; where they limit
            nothing, it says that.
        schedules: those that the handlers of a queue declare.
    """

    def __init__(self, handlers: Iterable[Handler[..., Any]] = ()) -> None:
        """Refuses two handlers of one name, a queue that two lanes would have to serve, and limits at odds.

        Raises:
            HandlerError: names both places.
        """
        known: dict[str, Handler[..., Any]] = {}
        for handler in handlers:
            other = known.setdefault(handler.name, handler)
            if other is not handler:
                remedy = f"is the name of two handlers: {_place(other)} and {_place(handler)}; give one of them a name="
                raise HandlerError("name", handler.name, remedy)
        self._known = known
        self.handlers = tuple(known[name] for name in sorted(known))
        self.lanes: Mapping[str, LaneName] = MappingProxyType(_lanes(self.handlers))
        self.limits: Mapping[str, tuple[Limit, ...]] = MappingProxyType(
            {queue: _limits([handler for handler in self.handlers if handler.queue == queue]) for queue in self.lanes}
        )
        self.schedules: Mapping[str, tuple[Declared, ...]] = MappingProxyType(
            {
                queue: _schedules([handler for handler in self.handlers if handler.queue == queue])
                for queue in self.lanes
            }
        )

    @classmethod
    def load(cls, root: Path, modules: Sequence[str] = ()) -> Registry:
        """Import the `handlers/` folder of a project, if there is one, and the named modules.

        Args:
            root: the project's root; put on the module path if it has the folder or modules are named.
            modules: dotted names.

        Raises:
            HandlerError: a module cannot be imported (the cause is chained), or two handlers are at odds.
        """
        folder = root / FOLDER
        names: list[str] = []
        if str(root) not in sys.path and (folder.is_dir() or modules):
            sys.path.insert(0, str(root))
        importlib.invalidate_caches()
        if folder.is_dir():
            _open_package(folder)
            names = [f"{FOLDER}.{m.name}" for m in pkgutil.iter_modules([str(folder)]) if not m.name.startswith("_")]
        loaded = [_import(name, folder) for name in sorted(names)]
        loaded += [_import(name, None) for name in modules]
        return cls(dict.fromkeys(value for module in loaded for value in _handlers_in(module)))

    def get(self, name: str) -> Handler[..., Any] | None:
        """The handler of this name, if there is one."""
        return self._known.get(name)

    def policy(self, envelope: Envelope) -> Policy:
        """How often and when a job is tried again: what it says itself, else its handler, else the default."""
        handler = self._known.get(envelope.handler)
        default = Policy()
        retries = _first(envelope.retries, handler and handler.options.retries, default.retries)
        backoff = _first(envelope.backoff, handler and handler.backoff, default.backoff)
        return Policy(retries=retries, backoff=backoff)

    def timeout(self, envelope: Envelope) -> float | None:
        """Seconds an attempt of a job may take; None for ever."""
        handler = self._known.get(envelope.handler)
        timeout: float | None = _first(envelope.timeout, handler and said_seconds("timeout", handler.options.timeout))
        return None if timeout is None else _run(timeout)

    def grace(self, envelope: Envelope, default: float) -> float:
        """Seconds between asking an attempt of a job to stop and ending it."""
        handler = self._known.get(envelope.handler)
        grace: float = _first(envelope.grace, handler and said_seconds("grace", handler.options.grace), default)
        return _run(grace)


def _run(seconds: float) -> float:
    """Within what a clock can take: other producers write what they like."""
    return min(max(seconds, 0.0), LONGEST_RUN)


def _first(*values: Any) -> Any:
    for value in values:  # several times a job: a generator would take three times as long
        if value is not None:
            return value
    return None


def _place(handler: Handler[..., Any]) -> str:
    return f"{handler.function.__module__}.{handler.place}"


def _lanes(handlers: Iterable[Handler[..., Any]]) -> dict[str, LaneName]:
    first: dict[str, Handler[..., Any]] = {}
    for handler in handlers:
        other = first.setdefault(handler.queue, handler)
        if other.lane != handler.lane:
            remedy = (
                f"is served by one lane, but {_place(other)} is of the {other.lane} lane and {_place(handler)} "
                f"of the {handler.lane} lane; give one of them another queue="
            )
            raise HandlerError("queue", handler.queue, remedy)
    return {queue: handler.lane for queue, handler in first.items()}


def _limits(handlers: Sequence[Handler[..., Any]]) -> tuple[Limit, ...]:
    """The limits of one queue's groups and their keys, as its handlers declare them."""
    said: dict[tuple[str | None, bool], tuple[Limit, Handler[..., Any]]] = {}
    for handler in handlers:
        for limit in handler.limits:
            known, other = said.setdefault((limit.group, limit.per_key), (limit, handler))
            if known != limit:
                remedy = (
                    f"has one limit, but {_place(other)} says {known} and {_place(handler)} says {limit}; "
                    "say the same in both, or in one of them only"
                )
                raise HandlerError("group", limit.group, remedy)
    for handler in handlers:
        for group in filter(None, (handler.name, handler.options.group)):
            for per_key in (False, True):
                said.setdefault((group, per_key), (Limit(group, per_key, declared=True), handler))
    return tuple(limit for limit, _ in said.values())


def _schedules(handlers: Sequence[Handler[..., Any]]) -> tuple[Declared, ...]:
    """The schedules of one queue, as its handlers declare them."""
    said: dict[str, tuple[Declared, Handler[..., Any]]] = {}
    for handler in handlers:
        for schedule in handler.schedules:
            known, other = said.setdefault(schedule.name, (schedule, handler))
            if known is not schedule:
                remedy = (
                    f"is the name of two schedules, of {_place(other)} and of {_place(handler)}; "
                    "give one of them Schedule(name=)"
                )
                raise HandlerError("schedule", schedule.name, remedy)
    return tuple(schedule for schedule, _ in said.values())


def _handlers_in(module: ModuleType) -> list[Handler[..., Any]]:
    return [value for value in vars(module).values() if isinstance(value, Handler)]


def _open_package(folder: Path) -> None:
    """Make the folder the package `handlers`, with or without an `__init__.py`.

    Not left to the module path: there, a folder without `__init__.py` gives way to any package of this name that has
    one, wherever it stands.
    """
    known = sys.modules.get(FOLDER)
    if known is not None:
        if folder.resolve() not in [Path(entry).resolve() for entry in getattr(known, "__path__", ())]:
            remedy = f"is hidden by another package of this name, {known!r}: load one project in a process"
            raise HandlerError(FOLDER, str(folder), remedy)
        return
    init = folder / "__init__.py"
    loader = SourceFileLoader(FOLDER, str(init)) if init.is_file() else None
    spec = ModuleSpec(FOLDER, loader, origin=str(init) if loader else None, is_package=True)
    spec.submodule_search_locations = [str(folder)]
    spec.has_location = loader is not None
    package = sys.modules[FOLDER] = module_from_spec(spec)
    if loader is not None:
        try:
            loader.exec_module(package)
        except (Exception, SystemExit) as wrong:
            del sys.modules[FOLDER]
            raise HandlerError("module", str(init), f"cannot be imported: {_cause(wrong)}") from wrong


def _import(name: str, folder: Path | None) -> ModuleType:
    """Import one module, of the folder if there is one."""
    where = name if folder is None else str(folder / f"{name.rpartition('.')[2]}.py")
    try:
        return importlib.import_module(name)
    except HandlerError as wrong:
        raise HandlerError("module", where, f"declares a handler that will not do: {wrong}") from wrong
    except (Exception, SystemExit) as wrong:
        raise HandlerError("module", where, f"cannot be imported: {_cause(wrong)}") from wrong


def _cause(wrong: BaseException) -> str:
    """The exception on one line, with the place it came from."""
    said = traceback.format_exception_only(type(wrong), wrong)[-1].strip()
    if isinstance(wrong, SyntaxError) and wrong.filename:
        return f"{type(wrong).__name__}: {wrong.msg} (line {wrong.lineno} of {wrong.filename})"
    ours = (f for f in traceback.extract_tb(wrong.__traceback__) if not f.filename.startswith("<frozen"))
    frames = [f for f in ours if f.filename != importlib.__file__]
    last = frames[-1] if frames else None
    return f"{said} (line {last.lineno} of {last.filename})" if last else said
