"""Writing on terminals: only where a user is, and wants it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.agents.live.accounting import DEAD_PROCESS, LoggedIn, entry

from estafeta.agents.live.terminals import Terminals, person
from estafeta.mail.readable import readable
from estafeta.mail.screen import screenful


@pytest.fixture
def ana(tmp_path: Path) -> Iterator[LoggedIn]:
    logged_in = LoggedIn(tmp_path)
    yield logged_in
    logged_in.hang_up()


@pytest.mark.rfc("821 §3.4", "A message appears on the terminal of a user who is logged in and accepts messages.")
def test_a_message_appears_on_the_terminal(ana: LoggedIn) -> None:
    terminals = ana.terminals()
    assert terminals.of("ana") == [ana.line]
    assert terminals.write("ana", "hola\n| ñ\n") == [ana.line]
    assert ana.seen() == "\r\nhola\r\n| ñ\r\n".encode()


@pytest.mark.rfc("821 §3.4", "A user may refuse messages on the terminal.")
def test_who_refuses_messages_is_left_alone(ana: LoggedIn) -> None:
    ana.accept(False)
    assert ana.terminals().of("ana") == [] and ana.terminals().write("ana", "hola\n") == []
    assert ana.seen() == b""


def test_a_terminal_without_utf8_gets_ascii(tmp_path: Path) -> None:
    old = LoggedIn(tmp_path, is_utf8=False)
    try:
        # The octets of UTF-8 that such a terminal would obey: 0x9b begins an escape sequence.
        assert old.terminals().write("ana", "\u06db[2J ñ\n") == [old.line]
        assert old.seen() == b"\r\n?[2J ?\r\n"
    finally:
        old.hang_up()


@pytest.mark.parametrize("is_utf8", [True, False])
def test_whatever_a_stranger_writes_the_terminal_gets_only_what_prints(tmp_path: Path, is_utf8: bool) -> None:
    logged_in = LoggedIn(tmp_path, is_utf8=is_utf8)

    @settings(max_examples=60, deadline=None)
    @given(
        st.text(max_size=80), st.binary(max_size=300), st.sampled_from(["utf-8", "iso-8859-1", "iso-2022-jp", "gbk"])
    )
    def check(sender: str, body: bytes, charset: str) -> None:
        content = f"Subject: x\r\nContent-Type: text/plain; charset={charset}\r\n\r\n".encode() + body
        text = screenful(sender, readable(content), lines=5, columns=40).text()
        assert logged_in.terminals().write("ana", text) == [logged_in.line]
        seen = logged_in.seen().decode("utf-8" if is_utf8 else "ascii").replace("\r\n", "")
        assert seen.isprintable()

    try:
        check()
    finally:
        logged_in.hang_up()


def test_nobody_else_is_written_to(ana: LoggedIn) -> None:
    assert ana.terminals(luis=os.getuid()).of("luis") == []
    assert ana.terminals().of("nobody") == []
    # The accounting file is stale: the terminal has another owner by now.
    assert ana.terminals(ana=os.getuid() + 1).write("ana", "hola\n") == []
    assert ana.seen() == b""


@pytest.mark.parametrize("line", ["../etc/passwd", "null", "pts/../null", "pts/999999", "tty/../null", "", "pts/3\n"])
def test_what_is_no_terminal_is_not_opened(ana: LoggedIn, line: str) -> None:
    ana.write_accounts(entry("ana", line))
    assert ana.terminals().of("ana") == []


def test_what_only_looks_like_a_terminal_is_not_written_to(ana: LoggedIn, tmp_path: Path) -> None:
    file = tmp_path / "dev" / "ttyS0"
    file.parent.mkdir()
    file.write_bytes(b"")
    file.chmod(0o620)
    ana.write_accounts(entry("ana", "ttyS0"))
    terminals = Terminals(utmp=ana.utmp, devices=file.parent, user_id={"ana": os.getuid()}.get)
    assert terminals.write("ana", "hola\n") == []
    assert file.read_bytes() == b""


def test_the_accounting_file_is_read_as_it_comes(ana: LoggedIn) -> None:
    ana.write_accounts(entry("ana", ana.line, DEAD_PROCESS))
    assert ana.terminals().of("ana") == []
    ana.write_accounts(b"\xff" * len(entry("", "")), entry("ana", ana.line), entry("ana", ana.line), b"\x07" * 100)
    assert ana.terminals().of("ana") == [ana.line]
    ana.utmp.unlink()
    assert ana.terminals().of("ana") == []


def test_a_terminal_that_takes_not_all_has_not_taken_it(ana: LoggedIn) -> None:
    ana.stop_output()
    assert ana.terminals().write("ana", "x" * 100_000 + "\n") == []


@pytest.mark.parametrize("name", ["root", "daemon", "", "../ana", "Ana", "a" * 40, "no-such-user-here"])
def test_only_people_have_terminals(name: str) -> None:
    assert person(name) is None
