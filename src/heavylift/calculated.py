"""Options of a job that are made from its arguments, by a function on `@handler`: `unique=lambda account: account`.

The function takes those arguments it names, as keywords; what the job was not given has the handler's default. The
producer calls it, so the result goes with the job.
"""

from __future__ import annotations

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


def calculated(option: str, fn: Callable[..., Any], parameters: Sequence[Parameter], given: Mapping[str, Any]) -> str:
    """What the function says of these arguments.

    Raises:
        InvalidJob: it says nothing, or no string; or it raised.
    """
    values = {parameter.name: parameter.default for parameter in parameters} | dict(given)
    wanted = inspect.signature(fn).parameters
    try:
        said = fn(**{name: values[name] for name in wanted if name in values})
    except Exception as wrong:
        raise InvalidJob(
            option, place_of(fn), f"the function of the handler failed ({type(wrong).__name__})"
        ) from wrong
    if not isinstance(said, str) or not said:
        raise InvalidJob(
            option, type(said).__name__, f"the function {place_of(fn)} must give a string that is not empty"
        )
    return said
