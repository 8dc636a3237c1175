"""streams -> models -> schemas, and no I/O and no clock below streams."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BELOW = {"schemas": {"schemas"}, "models": {"schemas", "models"}, "streams": {"schemas", "models", "streams"}}
FORBIDDEN = {
    "time",
    "socket",
    "redis",
    "kafka",
    "aiokafka",
    "faust",
    "asyncio",
    "subprocess",
    "random",
    "os",
    "pathlib",
}
CLOCKS = {"now", "utcnow", "today", "time", "monotonic", "perf_counter"}


def imported(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.split(".")[0]


@pytest.mark.parametrize("package", BELOW)
def test_imports_go_one_way(package):
    files = list((ROOT / package).rglob("*.py"))
    assert files
    for file in files:
        names = set(imported(ast.parse(file.read_text())))
        assert names & set(BELOW) <= BELOW[package], file
        if package != "streams":
            assert not names & FORBIDDEN, file


@pytest.mark.parametrize("package", ["schemas", "models"])
def test_nothing_below_streams_asks_a_clock(package):
    for file in (ROOT / package).rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                owner = node.func.value.id if isinstance(node.func.value, ast.Name) else ""
                assert not (node.func.attr in CLOCKS and owner in {"datetime", "date", "time"}), file


def test_one_module_says_how_clients_reach_kafka():
    files = [file for file in (ROOT / "streams").rglob("*.py") if file.name != "security.py"]
    told = [
        file.name for file in files if "bootstrap_servers=" in (text := file.read_text()) or "bootstrap.servers" in text
    ]
    assert not told, "a client made without TLS and login"
