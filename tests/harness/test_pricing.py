"""What attempts may spend: who costs money, which limit holds, what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from open_re_bench.errors import InfrastructureError, UserError
from open_re_bench.harness.pricing import ModelPrice, estimated_cost, is_paid, limits, read_prices
from open_re_bench.harness.spending import Spending, Spent

PRICES = {"openai/gpt-5": ModelPrice(input=1.25, output=10.0), "openai/small": ModelPrice(input=0.15, output=0.6)}
HOUR = 3600.0


@pytest.mark.parametrize(
    ("model", "paid"),
    [
        ("openai/gpt-5", True),
        ("openai-api/cloud/x", True),
        ("openai-api/home-server/x", False),
        ("mockllm/model", False),
        ("replay/optimize_kernel/cpu", False),
        ("none/none", False),
        ("", False),
        ("ollama/llama3", False),
        ("vllm/org/model", False),
    ],
)
def test_who_costs_money(model: str, paid: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything does but mocks, recordings and servers of one's own; a public address is no such server."""
    monkeypatch.setenv("HOME_SERVER_BASE_URL", "http://192.168.1.7:8000/v1")
    monkeypatch.setenv("CLOUD_BASE_URL", "https://models.example.org/v1")
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    assert is_paid(model) is paid


def test_paid_models_have_a_limit_by_default() -> None:
    """Where the price is known an attempt gets a limit in dollars that grows with its budget, and says so."""
    kept = limits(["openai/gpt-5"], PRICES, 2 * HOUR, None, None)
    assert kept.max_cost == 40.0
    assert kept.remark is not None
    assert "$40.00" in kept.remark
    assert limits(["mockllm/model", "ollama/x"], {}, HOUR, None, None).max_cost is None


def test_given_limits_are_kept() -> None:
    """A limit that the user gave is the only one."""
    assert limits(["openai/gpt-5"], PRICES, HOUR, 3.0, None).max_cost == 3.0
    kept = limits(["openai/unheard-of"], {}, HOUR, None, 1_000_000)
    assert (kept.max_cost, kept.max_tokens) == (None, 1_000_000)


@pytest.mark.parametrize(
    ("models", "max_cost", "said"),
    [
        (["openai/unheard-of"], None, "nothing limits its use"),
        (["openai/unheard-of"], 5.0, "--max-cost cannot be kept"),
        (["openai/gpt-5", "openai/unheard-of"], None, "openai/unheard-of"),
    ],
)
def test_unknown_prices_demand_a_limit(models: list[str], max_cost: float | None, said: str) -> None:
    """A model (the coder too) that costs nobody knows what is refused in one line that names the way out."""
    with pytest.raises(UserError, match=said) as refused:
        limits(models, PRICES, HOUR, max_cost, None)
    assert "--max-tokens" in str(refused.value.mend)


def test_prices_are_read_as_inspect_writes_them(tmp_path: Path) -> None:
    """Inspect's own file of prices works; anything else is one clear line."""
    file = tmp_path / "prices.yaml"
    file.write_text("openai/gpt-5: {input: 1.25, output: 10, input_cache_write: 0, input_cache_read: 0.125}\n")
    price = read_prices(file)["openai/gpt-5"]
    assert price.input_cache_read == 0.125
    # 29 M tokens in and 499 k out per 8 hours
    assert estimated_cost(price, 8 * HOUR) == pytest.approx(29 * 1.25 + 0.499 * 10)
    for text in ("openai/gpt-5: 3", "- x", "openai/gpt-5: {input: -1, output: 1}", "{"):
        file.write_text(text)
        with pytest.raises(UserError, match="holds no prices"):
            read_prices(file)
    with pytest.raises(UserError, match="holds no prices"):
        read_prices(tmp_path / "missing.yaml")


def test_spending_counts_over_crashes(tmp_path: Path) -> None:
    """A resumed attempt goes on from what earlier harnesses spent: a limit cannot be had twice."""
    file, here = tmp_path / "spending.json", Spent()
    first = Spending(file, lambda: here)
    here = Spent(tokens=700, cost_usd=0.7)
    assert first.excess(1.0, 1000) is None
    here = Spent()
    second = Spending(file, lambda: here)
    assert second.total() == Spent(tokens=700, cost_usd=0.7)
    here = Spent(tokens=200, cost_usd=0.31)
    assert second.excess(None, 1000) is None
    used, limit, said = second.excess(1.0, None) or (0, 0, "")
    assert (used, limit) == (pytest.approx(1.01), 1.0)
    assert "$1.01 of $1.00" in said
    here = Spent(tokens=300, cost_usd=0.0)
    assert second.excess(None, 1000) is not None


@pytest.mark.parametrize("content", ["", '{"tokens": 7', "[]", '{"tokens": -1}', '{"cost_usd": NaN}', "\xff"])
def test_unreadable_spending_is_not_nothing(tmp_path: Path, content: str) -> None:
    """A file of spending that is damaged ends in one line that names it: taken for $0 it would lift the limits."""
    file = tmp_path / "spending.json"
    file.write_text(content, encoding="latin-1")
    with pytest.raises(InfrastructureError, match=r"spending\.json: .* cannot be read; restore it") as error:
        Spending(file, Spent)
    assert "\n" not in str(error.value)


def test_a_disk_that_refuses_spending_ends_no_attempt(tmp_path: Path) -> None:
    """Where spending cannot be written the attempt goes on, its limits hold, and it is written once it can be."""
    folder = tmp_path / "attempt"
    spending = Spending(folder / "spending.json", lambda: Spent(tokens=700, cost_usd=0.7))
    assert spending.excess(None, 1000) is None  # the folder is not there: refused, whoever runs this test
    assert spending.excess(None, 700) is not None
    folder.mkdir()
    spending.total()
    assert Spending(folder / "spending.json", Spent).total() == Spent(tokens=700, cost_usd=0.7)
