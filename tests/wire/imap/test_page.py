"""The page of IMAP has the commands and capabilities of the engine's tables.

`ESTAFETA_WRITE_DOCS=1 pytest tests/wire/imap/test_page.py` writes the page's tables anew.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from estafeta.wire.imap.capabilities import CAPABILITIES, Capability
from estafeta.wire.imap.commands import COMMANDS
from estafeta.wire.imap.session import Offer, Session, State

PAGE = Path(__file__).parents[3] / "docs" / "imap.md"
EVERYTHING = Offer(("PLAIN",), login=True, starttls=True, compress=True, append_limit=1, message_limit=1)
NOTHING = Offer(login=False, compress=False)
STATES = (State.NOT_AUTHENTICATED, State.AUTHENTICATED, State.SELECTED)


def commands_table() -> str:
    """A row for each command, a column for each state."""
    rows = ["| command | " + " | ".join(STATES) + " | capability |", "|---|" + "---|" * (len(STATES) + 1)]
    for command in COMMANDS:
        cells = ["•" if state in command.states else "" for state in STATES]
        capability = f"`{command.capability}`" if command.capability else ""
        rows.append("|" + "".join(f" {cell} |" if cell else " |" for cell in (command.name, *cells, capability)))
    return "\n".join(rows)


def is_said(capability: Capability, offer: Offer, state: State) -> bool:
    """Whether the capability is offered there."""
    session = Session(offer)
    session.state = state
    return bool(capability.words(session))


def when(capability: Capability) -> str:
    """Where it is offered, in words."""
    if capability.name == "LOGINDISABLED":
        return "before login, where no password may be sent"
    before, after = (is_said(capability, EVERYTHING, state) for state in STATES[:2])
    text = "always" if before and after else "before login" if before else "after login"
    state = State.NOT_AUTHENTICATED if before else State.AUTHENTICATED
    return text if is_said(capability, NOTHING, state) else f"{text}, where the settings and the connection let it"


def capabilities_table() -> str:
    """A row for each capability."""
    rows = ["| capability | RFC | offered |", "|---|---|---|"]
    for each in CAPABILITIES:
        rows.append(
            f"| `{each.name}` | [{each.rfc}](https://www.rfc-editor.org/rfc/rfc{each.rfc}.html) | {when(each)} |"
        )
    return "\n".join(rows)


TABLES = {"commands": commands_table, "capabilities": capabilities_table}


@pytest.mark.parametrize("name", TABLES)
def test_the_page_says_what_the_engine_does(name: str) -> None:
    page = PAGE.read_text("utf-8")
    start, stop = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    before, begin, rest = page.partition(start)
    _, end, after = rest.partition(stop)
    assert begin and end
    wanted = f"{before}{start}\n\n{TABLES[name]()}\n\n{stop}{after}"
    if os.environ.get("ESTAFETA_WRITE_DOCS"):
        PAGE.write_text(wanted, "utf-8")
        page = wanted
    assert page == wanted, "ESTAFETA_WRITE_DOCS=1 pytest tests/wire/imap/test_page.py writes the tables anew"


def test_the_words_of_the_page_about_when_hold() -> None:
    by_name = {each.name: each for each in CAPABILITIES}
    assert is_said(by_name["LOGINDISABLED"], NOTHING, State.NOT_AUTHENTICATED)
    assert not is_said(by_name["LOGINDISABLED"], EVERYTHING, State.NOT_AUTHENTICATED)
    assert not is_said(by_name["LOGINDISABLED"], NOTHING, State.AUTHENTICATED)
    unlimited = replace(EVERYTHING, message_limit=None)
    assert not is_said(by_name["MESSAGELIMIT="], unlimited, State.AUTHENTICATED)
