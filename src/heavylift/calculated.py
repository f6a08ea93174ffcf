"""Options of a job that are made from its arguments, by a function on `@handler`: `unique=lambda account: account`.

The function takes those arguments it names, as keywords; what the job was not given has the handler's default. The
producer calls it, so the result goes with the job, into keys of Redis and before everybody's eyes. Of a function that
takes a secret, it is therefore a hash that goes.
"""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from heavylift.errors import HandlerError, InvalidJob
from heavylift.parameters import Parameter, place_of

_NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


def check_function_of_arguments(option: str, fn: Callable[..., Any], parameters: Sequence[Parameter]) -> None:
    """Refuse a function that asks for what the handler does not take.

    Raises:
        HandlerError: names the parameter.
    """
    known = {parameter.name for parameter in parameters}
    for name, wanted in inspect.signature(fn).parameters.items():
        if wanted.kind not in _NAMED:
            raise HandlerError(option, place_of(fn), f"name the arguments it takes; {name} is not one name")
        if name not in known and wanted.default is inspect.Parameter.empty:
            takes = ", ".join(sorted(known)) or "nothing"
            raise HandlerError(option, place_of(fn), f"wants {name}, and the handler takes {takes}")


def calculated(
    option: str,
    fn: Callable[..., Any],
    parameters: Sequence[Parameter],
    given: Mapping[str, Any],
    secret: Sequence[str] = (),
) -> str:
    """What the function says of these arguments; a hash of it if one of those it takes is a secret, or holds one.

    Args:
        option: what it makes.
        fn: the function.
        parameters: of the handler.
        given: the job's arguments.
        secret: paths of those that are secret.

    Raises:
        InvalidJob: it says nothing, or no string; or it raised. What it raised is not quoted where it takes a secret.
    """
    values = {parameter.name: parameter.default for parameter in parameters} | dict(given)
    taken = {name: values[name] for name in inspect.signature(fn).parameters if name in values}
    hidden = any(path.partition(".")[0] in taken for path in secret)
    said, wrong = _called(fn, taken)
    if wrong is not None:
        remedy = f"the function of the handler failed ({type(wrong).__name__})"
        raise InvalidJob(option, place_of(fn), remedy) from (None if hidden else wrong)
    if not isinstance(said, str) or not said:
        raise InvalidJob(
            option, type(said).__name__, f"the function {place_of(fn)} must give a string that is not empty"
        )
    return hashed(option, said) if hidden else said


def _called(fn: Callable[..., Any], taken: Mapping[str, Any]) -> tuple[Any, Exception | None]:
    """What it returned, or what it raised: given back, so that no other exception has it as its context."""
    try:
        return fn(**taken), None
    except Exception as wrong:
        return None, wrong


def hashed(option: str, said: str) -> str:
    """What stands for a value that is not to be seen: 32 hexadecimal characters, the same wherever it is made.

    Not of one handler: those of a group share its keys.
    """
    return hashlib.sha256(b"\0".join((option.encode(), said.encode(errors="surrogatepass")))).hexdigest()[:32]
