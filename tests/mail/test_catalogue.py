"""The catalogue of replies: what holds for all of them, and the page that is written from it."""

from __future__ import annotations

import ast
import os
import re
from pathlib import Path

import pytest

from estafeta.mail.catalogue import ENTRIES, GROUPS, recipients, syntax
from estafeta.mail.catalogue.entry import Entry, places_of
from estafeta.mail.reply import Reply
from estafeta.mail.wording import MAX_LINE, plain

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "replies.md"
BEGIN, END = "<!-- replies: begin -->", "<!-- replies: end -->"


def entries() -> list[Entry]:
    """By code, and by name."""
    return sorted(ENTRIES.values(), key=lambda entry: (entry.code, entry.key))


def test_names_are_there_once_and_are_words() -> None:
    assert len(ENTRIES) == sum(len(group.entries) for group in GROUPS)
    assert all(re.fullmatch(r"[a-z0-9]+(?:-[a-z0-9]+)*", key) for key in ENTRIES)


@pytest.mark.rfc("3463 §3.1", "The class of each status code is the first digit of its reply code.")
@pytest.mark.rfc("2034 §4", "Replies of 2yz, 4yz and 5yz have a status code, except the greetings; 3yz have none.")
def test_each_status_code_fits_its_reply_code() -> None:
    for entry in entries():
        if entry.status is None:
            assert entry.code in (334, 354) or entry.key in ("greeting", "hello"), entry.key
        else:
            assert entry.status.klass == entry.code // 100, entry.key


@pytest.mark.rfc("5321 §4.2", "Reply codes are of the classes and categories that SMTP has.")
def test_reply_codes_are_those_of_the_standards() -> None:
    for entry in entries():
        assert entry.code // 100 in (2, 3, 4, 5) and entry.code // 10 % 10 <= 5, entry.key


def test_spanish_has_no_places_that_english_lacks_and_as_many_lines() -> None:
    for entry in entries():
        assert set(places_of(entry.spanish)) <= set(entry.places), entry.key
        assert entry.spanish.count("\n") == entry.english.count("\n"), entry.key
        assert entry.is_data or entry.key == "greeting" or entry.spanish != entry.english, entry.key


@pytest.mark.rfc("5321 §4.5.3.1.5", "No line of a reply has more than 512 octets, in either language.")
def test_each_line_fits_whatever_is_filled_in() -> None:
    for entry in entries():
        if entry.key == "challenge":  # RFC 4954 §4 allows 12288 octets
            continue
        values = {name: "x" * entry.most(name) for name in entry.places}
        for text in (entry.english, plain(entry.spanish)):
            lines = tuple(text.format_map(values).split("\n"))
            octets = Reply(entry.code, entry.status, lines).encode()
            assert octets.isascii(), entry.key
            assert max(map(len, octets.splitlines(keepends=True))) <= MAX_LINE, entry.key


def test_a_reply_knows_its_name_and_is_equal_to_one_without() -> None:
    assert recipients.UNKNOWN.key == "recipient-unknown"
    assert Reply.of(550, "no such mailbox here", "5.1.1") == recipients.UNKNOWN
    made = syntax.PARAMETER_UNKNOWN.with_(keyword="FOO")
    assert made.key == "parameter-unknown" and made.values == {"keyword": "FOO"}
    assert made.encode() == b"555 5.5.4 parameter FOO is not known\r\n"


def test_what_is_too_long_for_a_line_is_cut() -> None:
    made = syntax.PARAMETER_UNKNOWN.with_(keyword="x" * 2000)
    assert len(made.encode()) <= MAX_LINE and b"xxx" in made.encode()


def test_a_value_cannot_bring_a_place_of_its_own() -> None:
    assert syntax.BAD_SENDER.with_(reason="{keyword} {0} %s").text == "{keyword} {0} %s"


# Whoever makes a reply of his own outside of the catalogue must say why here.
MAKERS = {
    "agents/logging_in.py": "a note in the journal: nothing can be said when the TLS handshake has failed",
    "agents/ondemand.py": "a note in the journal: the customer's server is gone",
    "agents/outbound": "what became of mail that leaves, said to nobody but its sender",
    "cli": "shown to the operator",
    "client": "what a server says to us",
    "mail/known_replies.py": "what servers of others say",
    "mail/reply.py": "its home",
    "mail/wording.py": "replies of the catalogue in other words",
    "mail/catalogue/entry.py": "the catalogue itself",
    "routing/hosts.py": "what became of mail that leaves",
    "routing/security.py": "what became of mail that leaves",
    "server": "the library: a program's own server",
    "wire/smtp/guide.py": "lines behind a reply of the catalogue",
    "wire/smtp/replies.py": "what a server says to us",
    "wire/smtp/server.py": "lines behind a reply of the catalogue",
}


def test_what_our_server_says_comes_from_the_catalogue() -> None:
    source = ROOT / "src" / "estafeta"
    for path in sorted(source.rglob("*.py")):
        name = path.relative_to(source).as_posix()
        if any(name == maker or name.startswith(f"{maker}/") for maker in MAKERS):
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call):
                called = ast.unparse(node.func)
                assert called not in ("Reply", "Reply.of"), f"{name}:{node.lineno} makes a reply of its own"


def cell(text: str) -> str:
    return text.replace("\n", "<br>").replace("|", "\\|").replace("<", "&lt;").replace("&lt;br>", "<br>")


def rendered() -> str:
    lines = ["| code | status | name | English | Spanish | when | standard |", "|---|---|---|---|---|---|---|"]
    for entry in entries():
        spanish = "as English" if entry.is_data or entry.spanish == entry.english else cell(entry.spanish)
        status = str(entry.status) if entry.status else ""
        row = (
            str(entry.code),
            status,
            f"`{entry.key}`",
            cell(entry.english),
            spanish,
            cell(entry.when),
            entry.standard,
        )
        lines.append("| " + " | ".join(row) + " |")
    return "\n".join(lines).replace("|  |", "| |")


def test_the_page_of_replies_is_current() -> None:
    page = PAGE.read_text("utf-8")
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    assert begin and end
    wanted = f"{before}{BEGIN}\n\n{rendered()}\n\n{END}{after}"
    if os.environ.get("ESTAFETA_WRITE_DOCS"):
        PAGE.write_text(wanted, "utf-8")
        page = wanted
    assert page == wanted, "ESTAFETA_WRITE_DOCS=1 pytest tests/mail/test_catalogue.py writes the table anew"
