"""A worker as users start it, but for what `CHAOS_PLAN` does to it first. The product has no hooks for this."""

from __future__ import annotations

import os
import sys

from chaos.inject import Plan, apply


def main() -> None:
    """Apply the plan, and run the command line."""
    apply(Plan.from_json(os.environ.get("CHAOS_PLAN", "{}")))
    from streams.cli import main as run

    sys.argv = ["streamscore", *sys.argv[1:]]
    run()


if __name__ == "__main__":
    main()
