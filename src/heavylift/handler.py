"""`@handler`: makes a function one that jobs can ask for.

A handler stays callable as the function it was, so a unit test calls it: `resize("a.jpg", 800)`. What it gains is
`resize.job(...)`, which makes a request that type checkers check against the function's own signature. To keep that
precise there are two classes, for functions that take a `Context` first and for those that do not: the context is no
argument of the job, but it is one of the function.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any, Concatenate, Generic, NoReturn, ParamSpec, Protocol, TypeVar, Unpack, cast, overload

from msgspec.structs import replace

from heavylift.calculated import calculated
from heavylift.context import Context
from heavylift.declaration import Declaration, HandlerOptions, read_declaration
from heavylift.job import JobSpec
from heavylift.options import JobOptions

P = ParamSpec("P")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)
Out_co = TypeVar("Out_co", covariant=True)

ELSEWHERE = frozenset({"apply_async", "defer", "delay", "enqueue", "kick", "kiq", "send", "send_with_options"})
"""What other libraries call it on a task to put it into a queue."""


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Handler(Declaration, Generic[P, R_co]):
    """A function that jobs can ask for. Made by `@handler`; its attributes are those of `Declaration`."""

    def __post_init__(self) -> None:
        """Look like the function: documentation tools and `inspect.signature` then show the right thing."""
        names = ("__module__", "__name__", "__qualname__", "__doc__")
        self.__dict__.update({name: getattr(self.function, name) for name in names}, __wrapped__=self.function)

    @property
    def fn(self) -> Callable[..., Any]:
        """The function itself."""
        return self.function

    @property
    def summary(self) -> str:
        """The first line of its docstring."""
        return (self.function.__doc__ or "").strip().partition("\n")[0]

    def job(self, *args: P.args, **kwargs: P.kwargs) -> JobSpec[R_co]:
        """A request to run this, to be given to `enqueue`.

        Raises:
            InvalidJob: the arguments do not fit the signature; names the argument and what was expected.
        """
        given, encoded = self.arguments.encode(args, kwargs)
        options = self._of_arguments(given) if self.calculated else self.carried
        return JobSpec(self.name, given, self.queue, options, encoded, self.returns)

    def _of_arguments(self, given: Mapping[str, Any]) -> JobOptions:
        made: dict[str, Any] = {
            name: calculated(name, fn, self.parameters, given, self.options.secret)
            for name, fn in self.calculated.items()
        }
        if self.carried.unique and "unique" in made:
            made["unique"] = replace(self.carried.unique, by=made["unique"])
        return replace(self.carried, **made)

    def retryable(self, error: BaseException) -> bool:
        """True if `retry_on` and `give_up_on` allow another try after this exception."""
        return not isinstance(error, self.give_up_on) and (not self.retry_on or isinstance(error, self.retry_on))

    def __repr__(self) -> str:
        return f"<handler {self.name!r} of {self.place}, {self.lane} lane, queue {self.queue!r}>"


def _no_attribute(self: Handler[..., Any], name: str) -> NoReturn:
    """Say how jobs are enqueued here to whoever knows it from elsewhere."""
    if name in ELSEWHERE:
        raise AttributeError(f"a handler has no {name!r}: client.enqueue({self.name}.job(...)) enqueues a job")
    raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}", name=name, obj=self)


# Not in the class, where checkers would take any name for an attribute: they find out by themselves.
setattr(Handler, "__getattr__", _no_attribute)  # noqa: B010


class PlainHandler(Handler[P, R_co], Generic[P, R_co, Out_co]):
    """A handler whose function takes the job's arguments and nothing else."""

    @property
    def fn(self) -> Callable[P, Out_co]:
        """The function itself."""
        return self.function

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Out_co:
        """Call the function, here and now; no job is made."""
        return cast(Out_co, self.function(*args, **kwargs))


class ContextHandler(Handler[P, R_co], Generic[P, R_co, Out_co]):
    """A handler whose function takes a `Context` before the job's arguments."""

    @property
    def fn(self) -> Callable[Concatenate[Context, P], Out_co]:
        """The function itself."""
        return self.function

    def __call__(self, ctx: Context, /, *args: P.args, **kwargs: P.kwargs) -> Out_co:
        """Call the function, here and now; no job is made. `Context()` does in a unit test."""
        return cast(Out_co, self.function(ctx, *args, **kwargs))


class Declare(Protocol):
    """What `@handler(...)` with options returns: makes a handler of a function."""

    @overload
    def __call__(  # type: ignore[overload-overlap]
        self, fn: Callable[Concatenate[Context, P], Coroutine[Any, Any, R]], /
    ) -> ContextHandler[P, R, Coroutine[Any, Any, R]]: ...
    @overload
    def __call__(self, fn: Callable[Concatenate[Context, P], R], /) -> ContextHandler[P, R, R]: ...
    @overload
    def __call__(self, fn: Callable[P, Coroutine[Any, Any, R]], /) -> PlainHandler[P, R, Coroutine[Any, Any, R]]: ...
    @overload
    def __call__(self, fn: Callable[P, R], /) -> PlainHandler[P, R, R]: ...


@overload
def handler(  # type: ignore[overload-overlap]
    fn: Callable[Concatenate[Context, P], Coroutine[Any, Any, R]], /
) -> ContextHandler[P, R, Coroutine[Any, Any, R]]: ...
@overload
def handler(fn: Callable[Concatenate[Context, P], R], /) -> ContextHandler[P, R, R]: ...
@overload
def handler(fn: Callable[P, Coroutine[Any, Any, R]], /) -> PlainHandler[P, R, Coroutine[Any, Any, R]]: ...
@overload
def handler(fn: Callable[P, R], /) -> PlainHandler[P, R, R]: ...
@overload
def handler(**options: Unpack[HandlerOptions]) -> Declare: ...


def handler(fn: Any = None, /, **options: Any) -> Any:
    """Declare a function as a handler: `@handler`, or `@handler(lane="cpu", timeout=60)`; see `HandlerOptions`.

    Raises:
        HandlerError: an option or the function's signature will not do; says which and what to do.
    """
    names = sys._getframe(1).f_locals  # an annotation may name a class of the function that declares the handler
    if fn is not None:
        return declare(fn, {}, names)
    return lambda fn: declare(fn, options, names)


def declare(fn: Any, options: Mapping[str, Any], names: Mapping[str, Any]) -> Handler[..., Any]:
    """Make a handler of a function; see `handler` and `read_declaration`."""
    said = read_declaration(fn, options, names)
    kind = ContextHandler if said.wants_context else PlainHandler
    return kind(**vars(said))
