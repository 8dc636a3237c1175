"""Child processes that end with their parent, however it ends."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

OWN: Final = (
    "Or use services of your own: set STREAMSCORE_BROKER (host:port) and STREAMSCORE_REDIS (redis://host:port/0)."
)

_WATCHDOG: Final = """
import os, shutil, signal, sys
folder = sys.argv[1]
pids = []
for line in sys.stdin:      # ends when the parent does, however that happens
    pids.append(int(line))
for pid in pids:
    try:
        os.killpg(pid, signal.SIGKILL)
    except OSError:
        pass
if folder:
    shutil.rmtree(folder, ignore_errors=True)
"""


class ServicesUnavailable(Exception):
    """The embedded services cannot be had here."""

    def __init__(self, what: str) -> None:
        super().__init__(f"{what}\n{OWN}")


class Group:
    """Processes started together; a watchdog knows them all."""

    def __init__(self, watchdog: IO[str]) -> None:
        self._watchdog = watchdog
        self.children: list[subprocess.Popen[bytes]] = []

    def start(self, command: list[str], log: Path, env: dict[str, str] | None = None) -> subprocess.Popen[bytes]:
        """Start a child in a session of its own, so that Ctrl-C reaches us first."""
        with log.open("ab") as output:
            child = subprocess.Popen(  # noqa: S603 - our own command
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True, env=env
            )
        self._watchdog.write(f"{child.pid}\n")
        self._watchdog.flush()
        self.children.append(child)
        return child

    def stop(self) -> None:
        """End all, the newest first: asked, then killed."""
        for child in reversed(self.children):
            _signal(child, signal.SIGTERM)
        deadline = time.monotonic() + 10
        for child in reversed(self.children):
            try:
                child.wait(max(deadline - time.monotonic(), 0.1))
            except subprocess.TimeoutExpired:
                _signal(child, signal.SIGKILL)
                child.wait()


def _signal(child: subprocess.Popen[bytes], number: signal.Signals) -> None:
    try:
        os.killpg(child.pid, number)
    except ProcessLookupError:
        pass


@contextmanager
def watch(folder: Path | None) -> Iterator[Group]:
    """Give a group whose processes end with this block; `folder` is removed if this process is killed."""
    watchdog = subprocess.Popen(  # noqa: S603 - our own command
        [sys.executable, "-c", _WATCHDOG, str(folder or "")], stdin=subprocess.PIPE, text=True, start_new_session=True
    )
    assert watchdog.stdin is not None  # noqa: S101 - a pipe was asked for
    group = Group(watchdog.stdin)
    try:
        yield group
    finally:
        group.stop()
        watchdog.stdin.close()
        watchdog.wait()


def free_port() -> int:
    """Return a port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def await_ready(child: subprocess.Popen[bytes], log: Path, answers: Callable[[], bool], seconds: float) -> None:
    """Wait until a service answers.

    Raises
    ------
    ServicesUnavailable
        It ended, or did not answer in time; with the end of its log.
    """
    deadline = time.monotonic() + seconds
    while not answers():
        if child.poll() is not None or time.monotonic() > deadline:
            said = "ended" if child.poll() is not None else f"did not answer within {seconds:.0f} s"
            tail = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
            raise ServicesUnavailable(f"{log.stem} {said}:\n{tail}")
        time.sleep(0.05)
