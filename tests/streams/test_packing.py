"""States are stored with what a shard's customers have in common left out."""

import os
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.state import CustomerState, Remembered, Taste, encode_remembered
from streams.redis import packing as module
from streams.redis.packing import PIECE, SAMPLES, SHARED_BY, Packing, learn


def bodies(count, seed=1):
    draw = random.Random(seed)
    for number in range(count):
        state = CustomerState(seen_at=1.7e9 + draw.random() * 1e7, orders=draw.randrange(9))
        state.channels = {name: draw.randrange(1, 9) for name in draw.sample(["store", "web", "app"], 2)}
        for category in draw.sample(["sports", "kitchen", "garden", "toys"], 3):
            state.brands[category] = Taste(2, dict.fromkeys(draw.sample(["Alder", "Birch", "Cedar"], 2), 1))
        state.attributes = {"country": draw.choice(["DE", "FR"]), "note": f"only {number:04d} knows {draw.random()}"}
        yield f"c{number}", encode_remembered(Remembered(state))


SHOP = list(bodies(SAMPLES))
WORDS = learn([body for _, body in SHOP])


def test_what_is_packed_comes_back_and_takes_less():
    packing = Packing(WORDS)
    others = list(bodies(300, seed=2))
    stored = packing.pack(others)
    assert [Packing(WORDS).unpack(body) for body in stored[1::2]] == [body for _, body in others]
    assert sum(map(len, stored[1::2])) < 0.6 * sum(len(body) for _, body in others)


@given(st.binary(max_size=2_000))
def test_any_body_comes_back(tail):
    body = b"\x92" + tail
    name, stored = Packing(WORDS).pack([("a", body)])
    assert (name, Packing(WORDS).unpack(stored)) == ("a", body)
    assert Packing().unpack(body) == body


def test_a_dictionary_is_learned_once_and_told_until_it_is_saved(monkeypatch):
    monkeypatch.setattr(module, "LEARN_AFTER", 700)
    packing = Packing()
    plain = packing.pack(SHOP)
    assert plain[1::2] == [body for _, body in SHOP]
    assert packing.unsaved is None
    packing.pack(SHOP)
    words = packing.unsaved
    assert words == WORDS
    again = packing.pack(SHOP)
    assert packing.unsaved is words
    with pytest.raises(ValueError, match="no dictionary"):
        Packing().unpack(again[1])
    assert Packing(words).unpack(again[1]) == SHOP[0][1]


def test_it_holds_nothing_that_few_customers_have():
    assert b"Alder" in WORDS
    assert b"note" in WORDS
    samples = [body for _, body in SHOP]
    for number in range(SAMPLES):
        assert f" {number:04d} knows".encode() not in WORDS
    seen = [sum(WORDS[place : place + PIECE] in body for body in samples) for place in range(len(WORDS) - PIECE)]
    told = [count for count in seen if count]
    rare = sum(count < SHARED_BY for count in told)
    assert rare < 0.05 * len(told)  # where two shared pieces meet


def test_without_anything_in_common_nothing_is_learned():
    assert learn([os.urandom(200) for _ in range(SAMPLES)]) == b""
