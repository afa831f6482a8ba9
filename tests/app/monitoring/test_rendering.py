"""A line of the log says what happened to whom, and nothing that a stranger or a mistake would have it say."""

from __future__ import annotations

import json

import pytest

from estafeta.app.monitoring.rendering import (
    MAX_VALUE,
    REDACTED,
    about,
    json_line,
    redacted,
    text_line,
    text_rendered,
    timestamp_of,
    without_secrets,
)
from estafeta.mail.address import Address
from estafeta.net.narrator import speak_of
from estafeta.store.ids import IdSource

NUMBER = 123_456_789_012_345
WHEN = timestamp_of(1_800_000_000.25)


def test_text_and_json_say_the_same() -> None:
    facts = {
        "message": NUMBER,
        "session": IdSource.text(NUMBER),
        "account": Address.parse("ana@example.org"),
        "recipients": [Address.parse("ben@example.net"), Address.parse("eva@example.net")],
        "size": 1234,
        "seconds": 0.123456,
        "is_known": True,
    }
    identifier = IdSource.text(NUMBER)
    assert text_line(WHEN, "info", "message accepted", facts) == (
        "2027-01-15T08:00:00.250000Z [info    ] message accepted "
        f"message={identifier} session={identifier} account=ana@example.org "
        "recipients=ben@example.net,eva@example.net size=1234 seconds=0.1235 is_known=True"
    )
    assert json.loads(json_line(WHEN, "info", "message accepted", facts)) == {
        "timestamp": "2027-01-15T08:00:00.250000Z",
        "level": "info",
        "event": "message accepted",
        "message": identifier,
        "session": identifier,
        "account": "ana@example.org",
        "recipients": ["ben@example.net", "eva@example.net"],
        "size": 1234,
        "seconds": 0.1235,
        "is_known": True,
    }


@pytest.mark.parametrize(
    "said",
    [
        "250 ok peer=192.0.2.1",
        "line\r\n2027-01-15T08:00:00Z [error   ] made up",
        "\x1b]0;title\x07\x1b[2J",
        'with "quotes"',
        "nul\x00",
        "separator\u2028next",
        "right\u202eto left",
        "\udcff\udc80",
    ],
)
def test_what_strangers_say_stays_one_value_of_one_line(said: str) -> None:
    line = text_line(WHEN, "info", "refused", {"reply": said, "peer": "198.51.100.7:25"})
    assert line.isprintable()
    assert line.count(" peer=198.51.100.7:25") == 1 and line.endswith(" peer=198.51.100.7:25")
    quoted = line.removesuffix(" peer=198.51.100.7:25").partition(" reply=")[2]
    assert quoted[0] == quoted[-1] == '"'
    document = json_line(WHEN, "info", "refused", {"reply": said})
    assert document.isprintable() and json.loads(document)["reply"] == said


def test_a_long_value_is_cut_and_a_traceback_is_not() -> None:
    line = json.loads(json_line(WHEN, "error", "failed", {"reply": "x" * 9000, "exception": "y" * 9000}))
    assert len(line["reply"]) == MAX_VALUE + 3
    assert len(line["exception"]) == 9000
    text = text_rendered(None, "", {"timestamp": WHEN, "level": "error", "event": "failed", "exception": "a\nb"})
    assert text.splitlines() == [f"{WHEN} [error   ] failed", "a", "b"]


@pytest.mark.parametrize(
    "text",
    [
        "AUTH PLAIN AGFuYQBzM2NyZXQ=",
        "auth login s3cret",
        "a1 AUTHENTICATE PLAIN s3cret",
        'a1 LOGIN ana "s3cret"',
        "a1 LOGIN ana s3cret",
        'a1 LOGIN "ana b" s3cret',
        "PASS s3cret",
        "Authorization: Bearer s3cret",
        "n,,\x01auth=Bearer s3cret\x01\x01",
        "password=s3cret",
        "'password': 's3cret'",
        '{"access_token": "s3cret"}',
        "client_secret = s3cret",
    ],
)
def test_what_looks_like_a_credential_is_taken_out(text: str) -> None:
    found = without_secrets(f"it failed at {text}")
    assert "s3cret" not in found and "AGFuYQBzM2NyZXQ" not in found
    assert REDACTED in found and found.startswith("it failed at ")


@pytest.mark.parametrize("text", ["the wrong password", "a login failed", "PASS", "token: it has expired", "no secret"])
def test_words_about_credentials_stay(text: str) -> None:
    assert without_secrets(text) == text


def test_values_under_secret_names_are_not_written() -> None:
    event = redacted(None, "", {"event": "x", "password": "s3cret", "response": b"s3cret", "reason": "PASS s3cret"})
    assert event == {"event": "x", "password": REDACTED, "response": REDACTED, "reason": f"PASS {REDACTED}"}


def test_a_line_is_about_whom_its_task_speaks_of() -> None:
    class Session:
        def log_facts(self) -> dict[str, object]:
            return {"session": "s", "peer": "192.0.2.1:4711"}

    speak_of(Session())
    try:
        assert about(None, "", {"event": "x", "peer": "said"}) == {"event": "x", "peer": "said", "session": "s"}
    finally:
        speak_of(None)
    assert about(None, "", {"event": "x"}) == {"event": "x"}
