"""A progress bar: for people at a terminal, and silent elsewhere."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from streams.cli.app import err

Tell = Callable[[int, int | None, str], None]
"""Of how far it is, of what in all (None: unknown), and the words before the bar."""


@contextmanager
def bar() -> Iterator[Tell]:
    """Show a bar on standard error, if that is a terminal."""
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=err, disable=not err.is_terminal) as shown:
        task = shown.add_task("", total=None)
        yield lambda done, total, words: shown.update(task, completed=done, total=total, description=words)
