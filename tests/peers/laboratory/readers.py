"""How programs of others read a notification: mutt for people, and parsers that lists and senders of mail use."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import shutil
import struct
import subprocess
import sys
import termios
from contextlib import suppress
from pathlib import Path

import pytest
from tests.peers.conftest import program
from tests.peers.running import wait_for

_SETTINGS = """\
set folder="{folder}" spoolfile="{folder}/mbox" mbox_type=mbox message_cachedir="" header_cache=""
set print=yes print_decode=yes print_command="cat >{folder}/printed"
set confirmappend=no confirmcreate=no quit=yes move=no mark_old=no wait_key=no beep=no charset=utf-8
"""
_KEYS = "<print-message><view-attachments><refresh><exit><quit>"
_CONTROLS = re.compile(r"\x1b(?:\[[0-9;?]*[A-Za-z]|[()].|[=>])")

_BOUNCE_PARSER = """
use Mail::DeliveryStatus::BounceParser;
my $read = Mail::DeliveryStatus::BounceParser->new(join "", <STDIN>);
print "$_\\n" for map { join " ", map { defined $_ ? $_ : "-" } $_->get("email"), $_->get("std_reason") } $read->reports;
"""
_FLUFL = """
import sys, email, flufl.bounce
temporary, permanent = flufl.bounce.all_failures(email.message_from_binary_file(sys.stdin.buffer))
for kind, found in (("temporary", temporary), ("permanent", permanent)):
    for address in sorted(found):
        print(address.decode(), kind)
"""


def printed_by_mutt(message: bytes, folder: Path) -> tuple[str, str]:
    """The message as mutt prints it, and what its list of attachments says; both for a terminal of 150 columns."""
    mbox = b"From MAILER-DAEMON Sun Nov 22 12:00:00 2026\n" + message.replace(b"\r\n", b"\n") + b"\n"
    (folder / "mbox").write_bytes(mbox)
    (folder / "muttrc").write_text(_SETTINGS.format(folder=folder))
    master, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 150, 0, 0))
    process = subprocess.Popen(
        [program("mutt", "mutt"), "-n", "-F", folder / "muttrc", "-e", f'push "{_KEYS}"', "-f", folder / "mbox"],
        stdin=terminal, stdout=terminal, stderr=terminal, start_new_session=True, cwd=folder,
        env={"HOME": str(folder), "PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "TERM": "xterm"},
    )  # fmt: skip
    os.close(terminal)
    shown = bytearray()

    def has_ended() -> bool:
        with suppress(OSError):  # nothing to read, or nobody left who writes
            shown.extend(os.read(master, 65536))
        return process.poll() is not None

    try:
        os.set_blocking(master, False)
        wait_for(has_ended, "mutt's end", seconds=20)
    finally:
        process.kill()
        process.wait()
        os.close(master)
    screen = _CONTROLS.sub("\n", shown.decode("utf-8", "replace"))
    assert process.returncode == 0, screen[-3000:]
    return (folder / "printed").read_text("utf-8"), screen


def read_by_bounce_parser(message: bytes) -> list[str]:
    """Address and reason of each recipient, by Perl's Mail::DeliveryStatus::BounceParser."""
    module = "Mail::DeliveryStatus::BounceParser"
    perl = [program("perl", "perl"), f"-M{module}"]
    return _lines([*perl, "-e", _BOUNCE_PARSER], [*perl, "-e", "1"], message, "libmail-deliverystatus-bounceparser-perl")


def read_by_flufl(message: bytes) -> list[str]:
    """Address and kind of each failure, by flufl.bounce, which Mailman uses; Debian's own Python has it."""
    python = shutil.which("python3", path="/usr/bin") or sys.executable
    return _lines([python, "-c", _FLUFL], [python, "-c", "import flufl.bounce"], message, "python3-flufl.bounce")


def _lines(command: list[str], trial: list[str], message: bytes, package: str) -> list[str]:
    """What a parser prints; without it the test is skipped, in CI it fails."""
    environment = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"}
    if subprocess.run(trial, capture_output=True, env=environment).returncode != 0:
        told = f"a parser is missing: install Debian's package {package}"
        if os.environ.get("CI"):
            pytest.fail(told)
        pytest.skip(told)
    done = subprocess.run(command, input=message, capture_output=True, timeout=30, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout.decode().splitlines()
