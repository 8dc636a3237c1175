"""The `streamscore` command. Each module here is a group of its commands; importing it adds them."""

from streams.cli import (  # noqa: F401 - each adds its commands
    backtest,
    brand,
    customer,
    dead_letters,
    demo,
    forget,
    market,
    models,
    quality,
    replay,
    run,
)
from streams.cli.app import app, end
from streams.errors import Flood, Misconfigured, Unavailable


def main() -> None:
    """Run the command; an error that has a remedy is one line, not a traceback."""
    try:
        app()
    except Misconfigured as error:
        end(2, str(error))
    except Unavailable as error:
        end(3, str(error))
    except Flood as error:
        end(1, str(error))
