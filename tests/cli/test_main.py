from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from estafeta import __version__
from estafeta.cli.options import size
from estafeta.cli.output import octets, printable

if TYPE_CHECKING:
    from .conftest import Operator

RUN = [sys.executable, "-c", "from estafeta.cli.main import main; main()"]


def test_help_and_version_name_the_product(operator: Operator) -> None:
    assert operator.done("--version") == f"Estafeta {__version__}\n"
    assert "trace" in operator.done("--help")


def test_a_simple_command_imports_nothing_heavy() -> None:
    source = (
        "import sys; import estafeta.cli.main as m\n"
        "try: m.estafeta(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'asyncio', 'pydantic', 'rich', 'structlog', 'cryptography', 'apsw', 'ssl'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", source], check=True, env=_environment(), stdout=subprocess.DEVNULL)


def test_the_store_is_opened_without_the_models_of_the_settings(office: Operator) -> None:
    source = (
        "import sys; import estafeta.cli.main as m\n"
        "try: m.estafeta(['account', 'list'])\n"
        "except SystemExit as e: assert e.code == 0\n"
        "heavy = {'pydantic', 'cryptography', 'estafeta.net.tls', 'estafeta.net.stream'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    environment = _environment() | {"ESTAFETA_CONFIG": str(office.config)}
    subprocess.run([sys.executable, "-c", source], check=True, env=environment, stdout=subprocess.DEVNULL)


@pytest.mark.parametrize(
    "arguments",
    [
        ("accounts",),
        ("account", "add"),
        ("account", "add", "ana"),
        ("account", "list", "--colour"),
        ("account", "add", "ana@example.org", "--quota", "much"),
        ("account", "quota", "ana@example.org"),
        ("account", "add", "ana@example.org", "--no-password", "--generate"),
        ("domain", "add", "not a domain"),
        ("domain", "catch-all", "example.org"),
        ("queue", "show", "one"),
        ("send",),
        ("send", "--text", "hello", "--server", "a b"),
        ("mailbox", "read", "ana", "0"),
    ],
)
def test_a_wrong_command_line_gets_one_line_and_exit_code_2(operator: Operator, arguments: tuple[str, ...]) -> None:
    result = operator.run(*arguments)
    assert result.exit_code == 2
    assert result.stderr.startswith("estafeta: ") and result.stderr.count("\n") == 1
    assert result.stdout == ""


def test_a_missing_settings_file_is_one_line(operator: Operator) -> None:
    operator.config.unlink()
    assert "cannot be read" in operator.refused("account", "list")


def test_a_missing_store_is_one_line_that_says_how_to_make_it(operator: Operator) -> None:
    assert "`estafeta domain add NAME` makes it" in operator.refused("account", "list")
    assert not (operator.folder / "data").exists()


def test_a_damaged_store_is_one_line(office: Operator) -> None:
    (office.folder / "data" / "estafeta.sqlite3").write_bytes(b"this is no database " * 500)
    for left in (office.folder / "data").glob("estafeta.sqlite3-*"):
        left.unlink()
    assert "data" in office.refused("account", "list")


def test_an_unexpected_exception_is_one_line_and_shown_when_asked_for(
    office: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocked = {"ESTAFETA_CONFIG": str(office.config)} | _environment()
    source = (
        "from estafeta.store import accounts\n"
        "def broken(tx): raise RuntimeError('of a kind\\nnobody thought of')\n"
        "accounts.list_all = broken\n"
        "from estafeta.cli.main import estafeta; estafeta(['account', 'list'])"
    )
    done = subprocess.run([sys.executable, "-c", source], env=blocked, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("estafeta: this should not have happened: RuntimeError: of a kind nobody thought of.")
    assert done.stderr.count("\n") == 1
    blocked["ESTAFETA_TRACEBACK"] = "1"
    done = subprocess.run([sys.executable, "-c", source], env=blocked, capture_output=True, text=True, check=False)
    assert "Traceback" in done.stderr


def test_a_reader_that_has_gone_is_no_fault_of_ours(office: Operator) -> None:
    environment = _environment() | {"ESTAFETA_CONFIG": str(office.config)}
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [*RUN, "account", "list"], stdout=writing, stderr=subprocess.PIPE, env=environment, check=False
    )
    os.close(writing)
    assert done.returncode == 1 and done.stderr == b""


def test_a_question_that_is_not_answered_leaves_things_as_they_are(office: Operator) -> None:
    result = office.run("account", "remove", "ana@example.org", input="n\n")
    assert result.exit_code == 130
    assert [each["address"] for each in office.json("account", "list")] == ["ana@example.org", "luis@example.org"]


def test_control_characters_are_shown_and_not_obeyed() -> None:
    assert printable("a\x1b[31mb\x9bc\u202ed") == "a\\x1b[31mb\\x9bc\\x202ed"
    assert printable("a\tb\n¡ñ✉") == "a\tb\n¡ñ✉"


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("0", 0),
        ("1048576", 2**20),
        ("1K", 1024),
        ("500M", 500 * 2**20),
        ("2 GiB", 2**31),
        ("3gb", 3 * 2**30),
        ("7B", 7),
    ],
)
def test_sizes_are_read_with_and_without_units(text: str, number: int) -> None:
    assert size(text) == number


def test_sizes_are_told_in_fitting_units() -> None:
    assert [octets(each) for each in (0, 1023, 1024, 3 * 2**20, 5 * 2**40)] == [
        "0 B",
        "1023 B",
        "1.0 KiB",
        "3.0 MiB",
        "5.0 TiB",
    ]


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2] / "src")}
