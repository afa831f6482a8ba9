"""What the tests with faults have seen: a line each, shown, and written to docs/faults.md when asked."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

FULL = os.environ.get("ESTAFETA_FAULTS") == "full"
"""The long forms are run."""
PAGE = Path(__file__).parents[2] / "docs" / "faults.md"
BEGIN, END = "<!-- table -->", "<!-- end of table -->"


@dataclass
class Figures:
    """The lines of one run."""

    lines: list[tuple[str, str, int]] = field(default_factory=list)

    def choose(self, *, short: int, full: int) -> int:
        """How many rounds or seconds."""
        return full if FULL else short

    def add(self, fault: str, seen: str, *, lost: int) -> None:
        """One fault, the load that was held, and how many messages were lost or wrong."""
        print(f"\n{fault}: {seen}; lost: {lost}")
        self.lines.append((fault, seen, lost))

    def write(self) -> None:
        """Put the lines into the page's table; faults that were not tried in this run keep theirs."""
        text = PAGE.read_text("utf-8")
        before, rest = text.split(BEGIN)
        table, after = rest.split(END)
        rows = dict(row.split(" | ", 1) for row in table.strip().splitlines()[2:])
        rows |= {f"| {fault}": f"{seen} | {lost} |" for fault, seen, lost in self.lines}
        lines = [
            "| fault | load held | lost |",
            "|---|---|---|",
            *(f"{fault} | {rest}" for fault, rest in rows.items()),
        ]
        PAGE.write_text(f"{before}{BEGIN}\n" + "\n".join(lines) + f"\n{END}{after}", "utf-8")
