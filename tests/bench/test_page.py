"""What is made of results: medians, ratios, the page around the markers, and a run that is continued."""

from __future__ import annotations

from pathlib import Path

import pytest
from bench.aims import table
from bench.page import between, tables
from bench.plots import bars
from bench.results import Result, Results
from bench.statistics import Summary, left_out, ratio, summaries

CASE = "1 KiB, 50 sessions, kept connections"


def result(peer: str, rate: float, number: int = 0, *, cpu: float = 100.0) -> Result:
    return Result("accept", CASE, peer, number, {"rate": rate, "cpu_us": cpu})


RESULTS = [
    result("Estafeta", 4000, 0, cpu=200),
    result("Estafeta", 5000, 1, cpu=200),
    result("Estafeta", 9000, 2, cpu=200),
    result("Postfix", 1000, cpu=1000),
    result("OpenSMTPD", 8000),
    Result("accept", CASE, "Exim", 0, failed="it is not there"),
]


def test_the_median_of_the_rounds_counts_and_the_spread_is_shown() -> None:
    found = summaries(RESULTS, "accept", "rate")[CASE]
    assert found["Estafeta"] == Summary(5000, 4000, 9000, 3)
    assert found["Estafeta"].spread == 0.5
    assert left_out(RESULTS, "accept") == {"Exim": ["it is not there"]}


def test_the_ratio_is_to_the_best_that_is_durable() -> None:
    found = summaries(RESULTS, "accept", "rate")[CASE]
    assert ratio("Estafeta", found, ["Estafeta", "Postfix"], is_more_better=True) == (5.0, "Postfix")
    assert ratio("Estafeta", found, ["Estafeta"], is_more_better=True) is None
    assert ratio("Postfix", found, ["Estafeta", "Postfix"], is_more_better=False) == (5.0, "Estafeta")


def test_the_page_has_the_figures_the_reasons_and_the_aims() -> None:
    page = "\n".join(tables(RESULTS))
    assert "5,000 ± 50%" in page and "5.0 (Postfix)" in page
    assert "OpenSMTPD (no sync)" in page
    assert "- Exim: it is not there." in page
    assert f"| accept: {CASE} | 5.0 × | 5 × | 1/5.0 | 1/5 | Postfix |" in table(RESULTS, ["Estafeta", "Postfix"])


def test_what_stands_around_the_markers_stays() -> None:
    text = "before\n<!-- figures -->\nold\n<!-- /figures -->\nafter\n"
    once = between(text, "figures", ["new"])
    assert once == "before\n<!-- figures -->\n\nnew\n\n<!-- /figures -->\nafter\n"
    assert between(once, "figures", ["new"]) == once
    with pytest.raises(ValueError, match="ratios"):
        between(text, "ratios", [])


def test_a_plot_names_cases_and_servers() -> None:
    picture = bars("Accept", "messages/s", summaries(RESULTS, "accept", "rate"), ["Estafeta", "Postfix"])
    assert picture.startswith("<svg ") and "Postfix" in picture and CASE in picture


def test_a_run_that_was_broken_off_is_continued(tmp_path: Path) -> None:
    path = tmp_path / "kept" / "results.jsonl"
    results = Results(path, is_continued=False)
    results.add(result("Estafeta", 1.0))
    with path.open("a") as file:
        file.write('{"scenario": "acc')  # cut in the midst of a line
    again = Results(path, is_continued=True)
    assert again.all == [result("Estafeta", 1.0)]
    assert again.has("accept", CASE, "Estafeta", 0) and not again.has("accept", CASE, "Estafeta", 1)
    assert Results(path, is_continued=False).all == []
