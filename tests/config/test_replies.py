"""Texts of an operator's own for replies: which are taken, and what is said of those that are not."""

from __future__ import annotations

from pathlib import Path

import pytest

from estafeta.config.faults import SettingsError
from estafeta.config.reading import read
from estafeta.mail.catalogue import connections, recipients, syntax
from estafeta.mail.wording import Language, Wording


def settings_file(folder: Path, text: str) -> Path:
    file = folder / "estafeta.toml"
    file.write_text(text, "utf-8")
    return file


def fault(folder: Path, key: str, text: str) -> str:
    with pytest.raises(SettingsError) as raised:
        read(settings_file(folder, f'[replies]\n{key} = "{text}"\n'))
    [found] = raised.value.faults
    assert found.key == f"replies.{key}" and found.line == 2
    return f"{found.problem}. {found.remedy}"


def test_texts_are_read_and_used(tmp_path: Path) -> None:
    settings = read(settings_file(tmp_path, '[replies]\nrecipient-unknown = "nobody here"\n'))
    wording = Wording.of_settings(settings.smtp.language, settings.replies)
    assert wording is not None
    assert wording.of(recipients.UNKNOWN).encode() == b"550 5.1.1 nobody here\r\n"
    assert wording.of(recipients.DISABLED) is recipients.DISABLED


def test_nothing_is_made_where_nothing_is_set(tmp_path: Path) -> None:
    settings = read(settings_file(tmp_path, ""))
    assert Wording.of_settings(settings.smtp.language, settings.replies) is None


@pytest.mark.rfc("6531 §3.7", "Replies are ASCII: Spanish is said without its accents.")
def test_spanish_is_said_without_its_accents(tmp_path: Path) -> None:
    settings = read(settings_file(tmp_path, '[smtp]\nlanguage = "es"\n\n[replies]\nok = "vale"\n'))
    assert settings.smtp.language is Language.SPANISH
    wording = Wording(settings.smtp.language, settings.replies)
    assert wording.of(recipients.TRY_LATER).encode() == b"451 4.3.0 error local, intentelo mas tarde\r\n"
    made = syntax.PARAMETER_UNKNOWN.with_(keyword="FOO")
    assert wording.of(made).encode() == b"555 5.5.4 el parametro FOO no se conoce\r\n"
    assert wording.of(connections.OK).encode() == b"250 2.0.0 vale\r\n"


def test_a_word_that_is_no_reply_is_told_with_the_near_ones(tmp_path: Path) -> None:
    told = fault(tmp_path, "recipient-unknwn", "no")
    assert told.startswith("is not a reply. Did you mean recipient-unknown")
    assert fault(tmp_path, "xyzzy", "no") == "is not a reply. See the page of replies."


@pytest.mark.parametrize(
    ("key", "text", "told"),
    [
        ("recipient-unknown", "no {keyword}", "has a place {keyword} that the reply does not have"),
        ("recipient-unknown", "no {", "has braces that hold no name. This reply has no places"),
        (
            "parameter-unknown",
            "no {word}",
            "has a place {word} that the reply does not have. This reply has {keyword}.",
        ),
        ("parameter-unknown", "no {keyword!r}", "has braces that hold no name. This reply has {keyword}."),
        ("parameter-unknown", "no {keyword:>99}", "has braces that hold no name. This reply has {keyword}."),
        ("parameter-unknown", "no {keyword.__class__}", "has braces that hold no name. This reply has {keyword}."),
        ("parameter-unknown", "no {}", "has braces that hold no name. This reply has {keyword}."),
        ("recipient-unknown", "x" * 600, "is too long by 100 characters"),
        ("has-moved", "x" * 200 + "{address}", "is too long by 20 characters"),
        ("recipient-unknown", "", "is not a line of printable ASCII"),
        ("recipient-unknown", "no\\r\\n250 yes", "is not a line of printable ASCII"),
        ("recipient-unknown", "ningún buzón", "is not a line of printable ASCII"),
        ("greeting", "welcome to {hostname}", "does not begin with {hostname}"),
        ("hello", "{hostname}-x", "does not begin with {hostname}"),
        ("challenge", "say it", "cannot be worded: programs read it"),
    ],
)
def test_texts_that_cannot_be_are_told(tmp_path: Path, key: str, text: str, told: str) -> None:
    assert fault(tmp_path, key, text).startswith(told)
