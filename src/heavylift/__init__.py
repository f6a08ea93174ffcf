"""heavylift: background jobs that do heavy work.

The public names. They are resolved when first used, so that each process loads what it needs and no more: one that
only enqueues never loads `multiprocessing`, and a slot's process never loads `redis`. Type checkers read the same
list in `__init__.pyi`.
"""

from importlib import import_module

# Bound at once, because the module of this name would take its place as soon as anything imported that module.
from heavylift.handler import handler as handler

_HOMES = {
    "batch": "flow",
    "chain": "flow",
    "group": "flow",
    "AsyncClient": "client",
    "AsyncFlow": "client",
    "AsyncJob": "client",
    "Backoff": "options",
    "Client": "client",
    "Context": "context",
    "Cron": "timetable",
    "EffectHeld": "errors",
    "Every": "timetable",
    "Flow": "client",
    "HandlerError": "errors",
    "HeavyliftError": "errors",
    "InDoubt": "errors",
    "InvalidJob": "errors",
    "Job": "client",
    "JobCancelled": "errors",
    "JobFailed": "errors",
    "JobOptions": "options",
    "JobSpec": "job",
    "Middleware": "middleware",
    "Limit": "limits",
    "NotDurable": "errors",
    "Progress": "job",
    "QueueLimits": "limits",
    "Rate": "limits",
    "Reject": "errors",
    "ResultTimeout": "errors",
    "Retention": "retention",
    "Retry": "errors",
    "Schedule": "schedule",
    "ScheduleChanging": "errors",
    "ScheduleNotFound": "errors",
    "ScheduleRecord": "schedule",
    "Secret": "redaction",
    "Settings": "settings",
    "Setup": "setup",
    "State": "states",
    "Stop": "errors",
    "Unique": "unique",
    "UniqueHeld": "errors",
    "Why": "why",
    "WorkerNotFound": "errors",
    "WorkerSilent": "errors",
}

__all__ = sorted(["handler", *_HOMES])  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> object:
    if name == "__version__":
        return import_module("importlib.metadata").version("heavylift")
    if name not in _HOMES:
        raise AttributeError(f"module 'heavylift' has no attribute {name!r}")
    value = getattr(import_module(f"heavylift.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES, "__version__"})
