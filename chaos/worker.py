"""A worker as users start it, but for what `CHAOS_PLAN` does to it first. The product has no hooks for this."""

from __future__ import annotations

import ctypes
import os
import signal
import sys

from chaos.inject import Plan, apply

PR_SET_PDEATHSIG = 1


def main() -> None:
    """Apply the plan, and run the command line. It ends with whoever started it, however that ends (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))  # while it still starts; the worker has a handler of its own
    apply(Plan.from_json(os.environ.get("CHAOS_PLAN", "{}")))
    from streams.cli import main as run

    sys.argv = ["streamscore", *sys.argv[1:]]
    run()


if __name__ == "__main__":
    main()
