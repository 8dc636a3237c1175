"""Leagues learn after judging, and come back from signed bytes with the same future."""

import fractions
import hashlib
import hmac
import json
import pickle
import pickletools

import numpy as np
import pytest
import river
import zstandard

from models.league import snapshot
from models.league.league import League, amount_league, binary_league
from models.league.learners import classifier
from models.league.snapshot import SnapshotRefused, freeze, thaw, weigh

KEY = b"a key of these tests"
NAMES = ["recency", "spend_90", "age"]
MAKERS = [
    lambda: binary_league("churn", 0.2, rule="recency"),
    lambda: amount_league("value", 20.0, persists="spend_90"),
]


def feed(league: League, seed: int, count: int = 150) -> list[float]:
    draw, scores = np.random.default_rng(seed), []
    for row in draw.exponential(30.0, size=(count, 3)).tolist():
        x = dict(zip(NAMES, row, strict=True))
        y = float(draw.random() < 0.3) * (1.0 if league.kind == "binary" else row[1])
        scores.append(league.score_one(x))
        league.mature(x, y, scores[-1], 1.7e9 + len(scores) * 3_600.0)
    return scores


@pytest.mark.parametrize("make", MAKERS)
def test_a_restored_league_has_the_same_future(make):
    original = make()
    feed(original, seed=1)
    restored = League.restore(thaw(freeze(original.state(), KEY), KEY))
    assert restored.report() == original.report()
    assert feed(restored, seed=2) == feed(original, seed=2)
    assert restored.report() == original.report()
    assert restored.compiled(NAMES) == original.compiled(NAMES) != None  # noqa: E711 - chained
    assert restored.version == "300"


@pytest.mark.parametrize("make", MAKERS)
def test_the_report_has_its_names(make):
    league = make()
    feed(league, seed=1)
    told = league.report()
    assert told["examples"] == 150
    assert 0 < told["positives"] < 150
    metrics = set(told["served"])
    assert set(told["models"][told["champion"]]) == metrics | {"microseconds_per_example"}
    assert all(set(baseline) == metrics for baseline in told["baselines"].values())
    assert len(told["baselines"]) == 2


def test_each_is_tested_before_it_is_taught():
    league = binary_league("churn", 0.2)
    league.mature({"recency": 1.0}, 1.0, None, 0.0)
    assert league.report()["baselines"]["base_rate"]["brier"] == pytest.approx(0.8**2)
    assert league.report()["served"]["brier"] is None


def test_scores_asked_at_the_decision_are_the_ones_judged():
    league = binary_league("churn", 0.2)
    asked = league.ask({"recency": 1.0})
    for _ in range(200):
        league.mature({"recency": 1.0}, 1.0, None, 0.0, asked=asked)
    assert league.report()["baselines"]["base_rate"]["brier"] == pytest.approx(0.8**2)


@pytest.mark.parametrize("make", MAKERS)
def test_no_class_of_ours_is_in_a_snapshot(make):
    league = make()
    feed(league, seed=1)
    signed = freeze(league.state(), KEY)[32:]
    body = zstandard.ZstdDecompressor().decompress(signed[4 + int.from_bytes(signed[:4], "big") :])
    words = [argument for _, argument, _ in pickletools.genops(body) if isinstance(argument, str)]
    assert any(word.startswith("river.") for word in words)
    assert not any(word.startswith(("models.", "schemas.", "streams.")) for word in words)


@pytest.mark.parametrize("thing", [classifier(), {"deep": [fractions.Fraction(1, 2)]}, print, eval])
def test_what_could_not_be_opened_is_not_frozen(thing):
    with pytest.raises(SnapshotRefused, match="may not be in a snapshot"):
        freeze(thing, KEY)


@pytest.mark.parametrize("place", [0, 31, 33, 40, 70, -1])
def test_a_changed_byte_is_refused(place):
    body = bytearray(freeze({"a": 1}, KEY))
    body[place] ^= 1
    with pytest.raises(SnapshotRefused, match="signature"):
        thaw(bytes(body), KEY)


def test_every_cut_is_refused():
    body = freeze({"a": 1}, KEY)
    for end in range(len(body)):
        with pytest.raises(SnapshotRefused, match="signature"):
            thaw(body[:end], KEY)


def test_another_key_is_refused_and_an_empty_one_is_an_error():
    with pytest.raises(SnapshotRefused, match="another key"):
        thaw(freeze({}, KEY), b"other")
    with pytest.raises(ValueError, match="needs a key"):
        freeze({}, b"")


def test_a_snapshot_of_before_they_were_compressed_is_opened():
    header = json.dumps({"format": 1, "river": river.__version__}).encode()
    signed = len(header).to_bytes(4, "big") + header + pickle.dumps({"a": [1.5]}, protocol=4)
    assert thaw(hmac.new(KEY, signed, hashlib.sha256).digest() + signed, KEY) == {"a": [1.5]}


def test_a_snapshot_is_smaller_than_what_it_weighs():
    state = {name: [0.25] * 8 for name in map(str, range(1_000))}
    assert 3 * len(freeze(state, KEY)) < weigh(state)


def test_another_river_is_refused_by_name(monkeypatch):
    body = freeze({}, KEY)
    monkeypatch.setattr(river, "__version__", "99.0")
    with pytest.raises(SnapshotRefused, match=r"this is 99\.0: learn again"):
        thaw(body, KEY)


def test_a_foreign_name_is_refused_even_if_signed(monkeypatch):
    class Loose(snapshot._Pickler):
        def reducer_override(self, obj):
            return NotImplemented

    monkeypatch.setattr(snapshot, "_Pickler", Loose)
    with pytest.raises(SnapshotRefused, match="fractions"):
        thaw(freeze(fractions.Fraction(1, 2), KEY), KEY)
