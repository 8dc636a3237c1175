"""An agent's background work, which must not die in silence."""

from collections.abc import Callable, Coroutine
from typing import Any


async def guarded(
    fail: Callable[[BaseException], None], work: Callable[..., Coroutine[Any, Any, None]], *args: Any
) -> None:
    """Run; an error that nobody expected acknowledges nothing: the worker stops loudly.

    Parameters
    ----------
    fail
        Called with that error.
    work
        Called with `args` once this runs, so that a task which is cancelled before leaves no coroutine behind.
    """
    try:
        await work(*args)
    except Exception as error:  # noqa: BLE001 - whatever it is
        fail(error)
