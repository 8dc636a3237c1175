"""Which versions a worker scores with: what is published, or what the setting `models` names."""

import asyncio
import secrets

import pytest

from models.serving_set import ServingSet
from schemas.serving import LinearModel, encode_model
from streams.errors import Misconfigured
from streams.redis.client import connect
from streams.redis.keys import Keys
from streams.redis.models import ModelFeed
from streams.settings import load_settings


def model(version):
    return LinearModel(
        task="churn",
        version=version,
        features=("orders",),
        mean=(0.0,),
        scale=(1.0,),
        clip=3.0,
        weights=(float(version),),
        intercept=0.0,
        link="logit",
    )


async def feed(services, pins, published, kept):
    keys = Keys(f"test-{secrets.token_hex(6)}-")
    client = connect(services.redis)
    try:
        await client.set(keys.model("churn"), encode_model(model(published)))
        await client.hset(keys.models, "churn", published)
        for version in kept:
            await client.set(keys.model_version("churn", version), encode_model(model(version)))
        found = ModelFeed(client, keys, ServingSet(), load_settings(models=pins).pins)
        await found.look()
        await client.set(keys.model("churn"), encode_model(model("99")))
        await client.hset(keys.models, "churn", "99")
        await found.look()
        return found.current
    finally:
        await client.aclose()


@pytest.mark.parametrize(("pins", "version"), [("live", "99"), ("churn=5", "5"), ("churn=7", "7")])
def test_what_is_pinned_serves_whatever_is_published_later(services, pins, version):
    serving = asyncio.run(feed(services, pins, published="7", kept=["5"]))
    assert serving.churn == model(version)
    assert serving.value is None


@pytest.mark.parametrize("pins", ["churn=6", "shoes=5"])
def test_a_version_that_is_not_there_stops_the_worker(services, pins):
    with pytest.raises(Misconfigured, match="STREAMSCORE_MODELS"):
        asyncio.run(feed(services, pins, published="7", kept=["5"]))


@pytest.mark.parametrize("pins", ["", "alive", "churn", "churn=", "churn=1,,value=2"])
def test_a_setting_that_names_nothing_is_refused(pins):
    with pytest.raises(Misconfigured, match="MODELS"):
        load_settings(models=pins)
