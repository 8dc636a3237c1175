"""Settings are checked at the start: what would end in the middle of the work is refused."""

import pytest

from streams.errors import Misconfigured
from streams.settings import load_settings

WRONG = {
    "broker": ["127.0.0.1:notaport", "a:1,b:x", "host", "host:0"],
    "lateness_seconds": ["inf", "nan", "-1"],
    "sales_lateness_seconds": ["inf"],
    "draw_days": ["inf", "1e-9", "0"],
    "window_days": ["inf", "nan"],
    "response_days": ["1e300"],
    "max_jump_days": ["inf"],
    "idle_after_seconds": ["inf"],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in WRONG.items() for value in values])
def test_what_cannot_be_worked_with_is_refused_by_name_and_without_its_value(name, value, monkeypatch):
    monkeypatch.setenv(f"STREAMSCORE_{name.upper()}", value)
    with pytest.raises(Misconfigured) as refused:
        load_settings()
    assert f"STREAMSCORE_{name.upper()}" in str(refused.value)
    assert f"{value!r}" not in str(refused.value)


@pytest.mark.parametrize("names", ["localhost:9092", "a.example:9092, b.example:9093", "[::1]:9092"])
def test_brokers_are_named_by_host_and_port(names):
    assert load_settings(broker=names).broker == names
