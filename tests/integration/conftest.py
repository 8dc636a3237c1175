import os

import pytest

from streams.embedded import services as start


@pytest.fixture(scope="session")
def services():
    with start(os.environ.get("STREAMSCORE_BROKER"), os.environ.get("STREAMSCORE_REDIS"), quiet=True) as started:
        yield started
