"""Commands that take one dataclass instead of a long list of parameters."""

from collections.abc import Callable
from inspect import signature
from typing import Any, Protocol, TypeVar, cast, get_type_hints

Options = TypeVar("Options")


class _CommandFunction(Protocol):
    __signature__: object

    def __call__(self, **values: Any) -> None: ...


def takes_options(
    options_type: type[Options],
) -> Callable[[Callable[[Options], None]], Callable[..., None]]:
    """Decorate a function of one options dataclass, so that typer sees each field as a parameter.

    Args:
        options_type: the dataclass; its fields are annotated as typer's parameters are.
    """

    def decorate(run: Callable[[Options], None]) -> Callable[..., None]:
        def command(**values: Any) -> None:
            run(options_type(**values))

        command.__name__, command.__doc__ = run.__name__, run.__doc__
        command.__annotations__ = get_type_hints(options_type, include_extras=True)
        cast(_CommandFunction, command).__signature__ = signature(options_type)
        return command

    return decorate
