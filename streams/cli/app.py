"""The command itself, and what its parts share: where they print, how they end."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NoReturn

import typer
from rich.text import Text

from streams.errors import Misconfigured
from streams.reporting.plain import Plain

HELP = """Score customers live.

Exit codes: 0 done, 1 not found or refused input, 2 wrong usage or settings, 3 a service is away.
"""
app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=HELP)
NAMED: Final = 5
"""Names said of what there is, where another was asked for."""
WIDE = 120
"""Columns of what is written to a file or pipe: there is no terminal to fit, and names should stay whole."""
out = Plain(width=None if sys.stdout.isatty() or "COLUMNS" in os.environ else WIDE)
err = Plain(stderr=True)


def end(code: int, message: str) -> NoReturn:
    """Say in one line why, and end with a code."""
    err.print(Text("streamscore:", "red"), message, highlight=False, soft_wrap=True)
    sys.exit(code)


def some(names: Sequence[str]) -> str:
    """Say a few names that there are.

    >>> some(["tea", "jam"]), some([])
    ('; there are, for example: tea, jam', '')
    """
    return f"; there are, for example: {', '.join(names)}" if names else ""


def existing(paths: list[Path]) -> list[Path]:
    """Return the paths. Raises `Misconfigured` where one is no file."""
    for path in paths:
        if not path.is_file():
            raise Misconfigured(f"there is no file {path}")
    return paths


def writable(path: Path | None, option: str) -> None:
    """Look whether a file can be written before the work is done. Raises `Misconfigured`."""
    if path is None:
        return
    if not path.parent.is_dir():
        raise Misconfigured(f"{option}: there is no folder {path.parent}")
    if path.is_dir() or not os.access(path if path.exists() else path.parent, os.W_OK):
        raise Misconfigured(f"{option}: {path} cannot be written")


def show_refused(refused: list[str]) -> None:
    """Print the first refused lines, and end with 1 if there was one."""
    for line in refused[:20]:
        err.print(line, highlight=False, soft_wrap=True)
    if refused:
        raise typer.Exit(1)
