"""What is said of a URL of Redis that cannot be read."""

import pytest

from streams.errors import Misconfigured
from streams.redis.client import connect, reader
from streams.settings import load_settings


@pytest.mark.parametrize(
    "url",
    [
        "redis://:S3cretPart/Rest@localhost:6379/0",
        "redis://:S3cretPart#Rest@localhost:6379/0",
        "redis://:S3cretPart?Rest@localhost:6379/0",
        "redis://user:S3cretPart@[::1/0",
        "S3cretPart",
    ],
)
def test_an_error_about_the_url_repeats_nothing_of_it(url):
    with pytest.raises(Misconfigured, match="STREAMSCORE_REDIS") as of_reader:
        reader(load_settings(redis=url))
    with pytest.raises(Misconfigured, match="%2F") as of_worker:
        connect(url)
    for raised in (of_reader, of_worker):
        assert "S3cretPart" not in str(raised.value)
        assert raised.value.__cause__ is None
