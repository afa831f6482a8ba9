"""The page on operations lists every metric and every field of the log that there is, and no other."""

from __future__ import annotations

import os
from pathlib import Path

from estafeta.app.monitoring.catalogue import METRICS, Kind

PAGE = Path(__file__).parents[3] / "docs" / "operations.md"
HEAD = "| metric | kind | labels | what |\n|---|---|---|---|\n"


def table() -> str:
    """The rows as the catalogue has them."""
    rows = []
    for each in METRICS:
        labels = ", ".join(f"`{label}`" for label in each.labels)
        rows.append(f"| `{each.name}` | {each.kind.value} | {labels} | {each.help} |\n")
    return "".join(rows)


def documented_fields() -> set[str]:
    """The names in the first column of the table of fields."""
    rows = PAGE.read_text("utf-8").partition("\n| field | what |\n|---|---|\n")[2].partition("\n\n")[0].splitlines()
    return {name.strip(" `") for row in rows for name in row.split("|")[1].split(",")}


def test_the_page_has_each_metric_as_the_server_tells_it() -> None:
    text = PAGE.read_text("utf-8")
    before, head, rest = text.partition(HEAD)
    assert head
    told = rest.partition("\n\n")[0] + "\n" if not rest.startswith("\n") else ""
    if os.environ.get("ESTAFETA_WRITE_DOCS"):
        PAGE.write_text(before + head + table() + rest[len(told) :], "utf-8")
        told = table()
    assert told == table()


def test_names_follow_the_practice_of_prometheus() -> None:
    assert len({each.name for each in METRICS}) == len(METRICS)
    for each in METRICS:
        assert each.name.startswith("estafeta_")
        assert (each.kind is Kind.COUNTER) == each.name.endswith("_total")
        assert each.help.endswith(".") and each.help[0].isupper() | each.help[0].isdecimal()
