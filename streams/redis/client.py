"""Clients of Redis, and its errors as ours."""

import asyncio
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

import msgspec
import redis
import redis.asyncio
import redis.exceptions
from redis.backoff import NoBackoff
from redis.retry import Retry

from streams.errors import Misconfigured, Unavailable
from streams.settings import Settings

_AWAY: Final = re.compile("(?:^|: -)(OOM|READONLY|LOADING|NOREPLICAS|MISCONF|MASTERDOWN|BUSY|TRYAGAIN|CLUSTERDOWN) ")
"""What passes by itself, as the error begins; from inside a script of Redis 6 after `: -`."""
_PASSES: Final = (
    redis.exceptions.OutOfMemoryError,
    redis.exceptions.ReadOnlyError,
    redis.exceptions.MasterDownError,
    redis.exceptions.ClusterDownError,
    redis.exceptions.TryAgainError,
)
"""Of these redis-py keeps the class alone, not the word."""
TIMEOUT: Final = 5.0
_IDENTITY: Final = ("run_id", "master_replid")


class Server:
    """Which server a client speaks with. `epoch` grows when another one answers, or the same after a restart.

    It may then have forgotten its last writes: who remembers them must start anew from what it has.
    """

    def __init__(self) -> None:
        self.identity: tuple[str, ...] | None = None
        self.epoch = 0

    async def greet(self, connection: Any) -> None:
        """Look who answers, on every new connection, before anything else is sent on it.

        Raises
        ------
        redis.ConnectionError
            It is another one than before. What was about to be sent was meant for that one.
        """
        await connection.on_connect()
        await connection.send_command("INFO")
        try:
            info = dict(line.split(":", 1) for line in _text(await connection.read_response()).split() if ":" in line)
        except redis.exceptions.NoPermissionError:
            raise Misconfigured("the user of Redis must be allowed to ask for INFO (+info)") from None
        identity = tuple(info.get(name, "") for name in _IDENTITY)
        known, self.identity = self.identity, identity
        if known not in (None, identity):
            self.epoch += 1
            raise redis.ConnectionError("it was restarted, or another server answers: start anew from what it has")


NO_URL = (
    "STREAMSCORE_REDIS is no URL of a Redis, such as redis://host:6379/0 or rediss://host:6380/0. A password in it "
    "must have / # ? and @ written as %2F %23 %3F and %40; STREAMSCORE_REDIS_PASSWORD takes one as it is"
)
"""Says nothing of what was given: a parser's own words may repeat a part of the password."""


def login(settings: Settings) -> dict[str, Any]:
    """Return what a client is told beside the URL. Raises `Misconfigured`."""
    secured = settings.given("redis").startswith("rediss://")
    if settings.redis_ca is not None and not secured:
        raise Misconfigured("STREAMSCORE_REDIS_CA is for a URL that begins with rediss://")
    if settings.redis_ca is not None and not settings.redis_ca.is_file():
        raise Misconfigured(f"STREAMSCORE_REDIS_CA: there is no file {settings.redis_ca}")
    told: dict[str, Any] = {}
    if settings.redis_ca is not None:
        told["ssl_ca_certs"] = str(settings.redis_ca)
    if settings.redis_user is not None:
        told["username"] = settings.redis_user
    if settings.redis_password is not None:
        told["password"] = settings.redis_password.get_secret_value()
    return told


def reader(settings: Settings, *, text: bool = False) -> redis.Redis:
    """Make a client for a command that looks something up; `text` answers str. Raises `Misconfigured`."""
    try:
        return redis.Redis.from_url(settings.given("redis"), decode_responses=text, **login(settings))
    except ValueError:
        raise Misconfigured(NO_URL) from None


def hashes(client: redis.Redis, keys: Mapping[str, str], fields: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Read some fields of hashes with JSON values at once, by name; what a hash does not have is absent."""
    pipe = client.pipeline(transaction=False)  # readers have no right to more
    for key in keys.values():
        pipe.hmget(key, list(fields))
    return {
        name: {field: msgspec.json.decode(text) for field, text in zip(fields, found, strict=True) if text is not None}
        for name, found in zip(keys, pipe.execute(), strict=True)
    }


def connect(url: str, server: Server | None = None, **told: Any) -> redis.asyncio.Redis:
    """Make a client that never repeats a command by itself: a repeated commit would be fenced by its own head.

    `told` is what `login` returns.
    """
    try:
        return redis.asyncio.Redis.from_url(
            url,
            retry=Retry(NoBackoff(), 0),
            socket_timeout=TIMEOUT,
            socket_connect_timeout=TIMEOUT,
            redis_connect_func=(server or Server()).greet,
            **told,
        )
    except ValueError:
        raise Misconfigured(NO_URL) from None


@contextmanager
def redis_errors() -> Iterator[None]:
    """Turn what may pass into `Unavailable`. Anything else stays what it is."""
    try:
        yield
    except redis.exceptions.AuthenticationError as error:
        raise Misconfigured(f"redis: {error}; see STREAMSCORE_REDIS_USER and STREAMSCORE_REDIS_PASSWORD") from error
    except redis.exceptions.NoPermissionError as error:
        raise Misconfigured(f"redis: {error}; docs/security.md has what a user must be allowed") from error
    except (redis.ConnectionError, redis.TimeoutError, OSError) as error:
        raise Unavailable(f"redis: {error}") from error
    except redis.ResponseError as error:
        if isinstance(error, _PASSES) or _AWAY.search(str(error)):
            raise Unavailable(f"redis: {error}") from error
        if str(error).startswith("ACL failure"):
            raise Misconfigured(f"redis: {error}; docs/security.md has what a user must be allowed") from error
        if "DB index" in str(error):
            raise Misconfigured(f"redis: {error}; STREAMSCORE_REDIS names another database than there is") from error
        if str(error).startswith("WRONGTYPE"):
            raise Misconfigured(f"redis: {error}; give one of the two another prefix") from error
        raise


async def reach(client: redis.asyncio.Redis, seconds: float) -> str | None:
    """Ask whether Redis answers.

    Returns
    -------
    str or None
        Why there was no answer within `seconds`, in words; None if there was one.
    """
    try:
        await asyncio.wait_for(client.ping(), seconds)
    except TimeoutError:
        return f"redis does not answer within {seconds:g} s"
    except (redis.RedisError, OSError) as error:
        return f"redis cannot be reached ({error})"
    return None


async def check_settings(client: redis.asyncio.Redis) -> list[str]:
    """Look at how durable this Redis is.

    Returns
    -------
    list
        What does not hold, in words.

    Raises
    ------
    Misconfigured
        Its eviction policy would lose places.
    """
    with redis_errors():
        try:
            found = await client.config_get("maxmemory-policy", "appendonly", "appendfsync")
        except redis.ResponseError as error:
            if "unknown command" in str(error) or "NOPERM" in str(error):
                return ["Redis does not tell its settings: see that it never evicts and syncs every write"]
            raise
    settings = {_text(name): _text(value) for name, value in found.items()}
    if settings.get("maxmemory-policy", "noeviction") != "noeviction":
        raise Misconfigured(
            f"Redis evicts keys (maxmemory-policy {settings['maxmemory-policy']}), and would evict places of shards "
            "with them: set maxmemory-policy noeviction"
        )
    if settings.get("appendonly") != "yes":
        return ["Redis keeps nothing on disk (appendonly no): what it forgets is read again from Kafka"]
    if settings.get("appendfsync") != "always":
        return ["Redis may forget its last second in a power cut (appendfsync is not always)"]
    return []


def _text(value: bytes | str | None) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
