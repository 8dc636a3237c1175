"""States are stored with what a shard's customers have in common left out."""

import asyncio
import os
import random
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.state import CustomerState, Offer, Remembered, Taste, decode_remembered, encode_remembered
from streams.redis import packing as module
from streams.redis.packing import PIECE, SAMPLES, SHARED_BY, Packing, learn, shared


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
KNOWN = {b"head": b"7", b"words": WORDS}


def test_what_is_packed_comes_back_and_takes_less():
    packing = Packing(KNOWN)
    others = list(bodies(300, seed=2))
    stored = packing.pack(others)
    assert [Packing(KNOWN).unpack(body) for body in stored[1::2]] == [body for _, body in others]
    assert sum(map(len, stored[1::2])) < 0.6 * sum(len(body) for _, body in others)


@given(st.binary(max_size=2_000))
def test_any_body_comes_back(tail):
    body = b"\x92" + tail
    name, stored = Packing(KNOWN).pack([("a", body)])
    assert (name, Packing(KNOWN).unpack(stored)) == ("a", body)
    assert Packing().unpack(body) == body


def saved(packing, fields=None):
    """What the shard's hash holds after a commit."""
    if packing.is_due:
        asyncio.run(packing.learn())
    name_and_words, packing.unsaved = packing.unsaved, []
    return (fields or {}) | {name.encode(): words for name, words in zip(*[iter(name_and_words)] * 2, strict=True)}


def test_a_dictionary_is_learned_when_enough_was_written_and_told_until_it_is_saved(monkeypatch):
    monkeypatch.setattr(module, "LEARN_AFTER", 700)
    packing = Packing()
    assert packing.pack(SHOP)[1::2] == [body for _, body in SHOP]
    assert not packing.is_due
    assert packing.pack(SHOP)[1::2] == [body for _, body in SHOP]
    assert packing.is_due
    asyncio.run(packing.learn())
    assert packing.unsaved == ["words", WORDS]
    again = packing.pack(SHOP)
    assert packing.unsaved == ["words", WORDS]
    with pytest.raises(ValueError, match="dictionary 1"):
        Packing().unpack(again[1])
    assert Packing(KNOWN).unpack(again[1]) == SHOP[0][1]


def changed(seed):
    for name, body in bodies(SAMPLES, seed):
        remembered = decode_remembered(body)
        for number in range(4):
            remembered.state.offers[f"a long name of campaign {number}"] = Offer(1, 1)
        yield name, encode_remembered(remembered)


def test_customers_who_changed_are_learned_again_and_older_states_are_read_as_before(monkeypatch):
    monkeypatch.setattr(module, "LEARN_AFTER", SAMPLES)
    monkeypatch.setattr(module, "MOST", SAMPLES)
    first = Packing()
    first.pack(SHOP)
    fields = saved(first)
    old = first.pack(SHOP)
    for seed in range(3, 3 + module.AGAIN):
        before = first.pack(changed(seed))
    fields = saved(first, fields)
    assert list(fields) == [b"words", b"words:2"]
    after = first.pack(changed(seed))
    assert sum(map(len, after[1::2])) < module.BETTER * sum(map(len, before[1::2]))
    for reader in (first, Packing(fields)):
        assert [reader.unpack(body) for body in old[1::2]] == [body for _, body in SHOP]
        assert [reader.unpack(body) for body in before[1::2]] == [body for _, body in changed(seed)]
        assert [reader.unpack(body) for body in after[1::2]] == [body for _, body in changed(seed)]
    assert Packing(fields).pack(changed(seed)) == after


def test_a_dictionary_that_is_no_better_is_not_kept_and_the_next_is_learned_later(monkeypatch):
    monkeypatch.setattr(module, "LEARN_AFTER", SAMPLES)
    packing = Packing(KNOWN)
    tried = []
    for round_ in range(25):
        packing.pack(SHOP)
        if packing.is_due:
            tried.append(round_)
            assert saved(packing) == {}
    assert tried == [3, 19]
    assert packing.pack(SHOP) == Packing(KNOWN).pack(SHOP)


def test_a_shard_keeps_so_many_dictionaries_and_not_more(monkeypatch):
    monkeypatch.setattr(module, "LEARN_AFTER", SAMPLES)
    monkeypatch.setattr(module, "AGAIN", 1)
    monkeypatch.setattr(module, "KEPT", 1)
    packing = Packing(KNOWN)
    packing.pack(changed(3))
    assert packing.is_due
    assert saved(packing) == {}


def naive_shared(samples):
    """The pieces one by one, in its plainest form."""
    having = {}
    for number, body in enumerate(samples):
        for place in range(len(body) - PIECE + 1):
            having.setdefault(body[place : place + PIECE], set()).add(number)
    found = []
    for body in samples:
        text = b""
        for place in range(len(body) - PIECE + 1):
            piece = body[place : place + PIECE]
            if len(having[piece]) >= SHARED_BY:
                goes_on = place > 0 and len(having[body[place - 1 : place - 1 + PIECE]]) >= SHARED_BY
                text += piece[-1:] if goes_on else (b"\xc1" if text else b"") + piece
        found.append(text)
    return found


@given(st.lists(st.text("ab", max_size=12).map(str.encode), min_size=1, max_size=60))
def test_what_is_shared_agrees_with_looking_piece_by_piece(samples):
    assert shared(samples) == naive_shared(samples)


def test_what_is_shared_by_the_shop_agrees_as_well():
    samples = [body for _, body in SHOP]
    assert shared(samples) == naive_shared(samples)


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


def test_shards_learn_one_after_the_other(monkeypatch):
    """What several take at the same time is memory that the process keeps."""
    at_work, most = [], []

    def slow(samples):
        at_work.append(1)
        most.append(len(at_work))
        time.sleep(0.05)
        at_work.pop()
        return learn(samples)

    monkeypatch.setattr(module, "learn", slow)

    async def run():
        packings = [Packing() for _ in range(3)]
        for packing in packings:
            packing._samples = dict(bodies(600))
        await asyncio.gather(*(packing.learn() for packing in packings))
        return packings

    packings = asyncio.run(run())
    assert most == [1, 1, 1]
    assert all(packing.unsaved for packing in packings)
