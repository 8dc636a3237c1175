import os
import re
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis

from streams.embedded import services as start


@pytest.fixture(scope="session")
def services():
    with start(os.environ.get("STREAMSCORE_BROKER"), os.environ.get("STREAMSCORE_REDIS"), quiet=True) as started:
        yield started


SECURITY = (Path(__file__).parents[2] / "docs" / "security.md").read_text()
PASSWORD = "opens-the-door-7"  # noqa: S105 - of servers that live as long as the tests


@pytest.fixture(scope="session")
def documented():
    """Return the line of docs/security.md that makes a user, as a command, and the password in it."""

    def command(user):
        line = re.search(rf"^ACL SETUSER {user} .*$", SECURITY, re.MULTILINE)
        return line[0].replace("<password>", PASSWORD).split()

    return command


@contextmanager
def _logged_in(user, services, documented):
    """Settings of who has the rights that docs/security.md gives to this user, and no more."""
    with redis.Redis.from_url(services.redis, decode_responses=True) as plain:
        assert plain.execute_command(*documented(user)) in (True, "OK")
        yield {"STREAMSCORE_REDIS_USER": user, "STREAMSCORE_REDIS_PASSWORD": PASSWORD}
        plain.execute_command("ACL", "DELUSER", user)


@pytest.fixture(scope="session")
def operator(services, documented):
    with _logged_in("operator", services, documented) as settings:
        yield settings


@pytest.fixture(scope="session")
def reader(services, documented):
    with _logged_in("reader", services, documented) as settings:
        yield settings
