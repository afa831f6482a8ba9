"""The page for those who come from elsewhere: its code runs, on both sides, and each name on it exists."""

from __future__ import annotations

import ast
import inspect
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from email.message import EmailMessage
from importlib import import_module
from pathlib import Path

import aiosmtplib
import pytest
from aiosmtpd import controller, handlers, lmtp, main, smtp

import estafeta
from estafeta import Collector, Handler, Server, ServerLimits, ServerTls
from estafeta.client import ClientOptions
from estafeta.net.authority import Issued, issue

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "migration.md").read_text("utf-8")
BLOCKS = re.findall(
    r"### ([^\n]+)\n\n\*\*(\w+)\*\*\n\n```python\n(.*?)```\n\n\*\*Estafeta\*\*\n\n```python\n(.*?)```", PAGE, re.DOTALL
)
LETTER = (
    "from email.message import EmailMessage\n"
    "letter = EmailMessage()\n"
    "letter['From'] = 'Ana <ana@example.org>'\n"
    "letter['To'] = 'luis@example.net'\n"
    "letter.set_content('Hello.')\n"
)


@pytest.fixture(scope="module")
def issued(tmp_path_factory: pytest.TempPathFactory) -> Issued:
    return issue(Path(tmp_path_factory.mktemp("tls")), ["localhost"])


@pytest.fixture
def inbox() -> Collector:
    return Collector()


@pytest.fixture
def names(issued: Issued, inbox: Collector, tmp_path: Path) -> Iterator[dict[str, object]]:
    """What the code takes for granted: a server that wants TLS and a login, a port that is free."""
    tls = ServerTls(issued.certificate, issued.key)
    server = Server(inbox, tls=tls, require_tls=True, require_login=True, passwords={"ana": "secret"})
    with server.in_thread() as running:
        yield {
            "HOST": "localhost",
            "PORT": running.port,
            "CERTIFICATE": str(issued.certificate),
            "KEY": str(issued.key),
            "CA_FILE": str(issued.authority),
            "SOCKET": str(tmp_path / "lmtp"),
        }


def with_port(names: dict[str, object], code: str) -> dict[str, object]:
    """A server of the page's own gets a port of its own."""
    if "HOST" in code:
        return names
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return names | {"PORT": free.getsockname()[1]}


def test_the_page_has_code_on_both_sides() -> None:
    assert len(BLOCKS) == 11
    assert len(re.findall(r"\n```python\n", PAGE)) == 2 * len(BLOCKS)


@pytest.mark.parametrize(("title", "ours"), [(title, ours) for title, _, _, ours in BLOCKS])
def test_our_side_runs(title: str, ours: str, names: dict[str, object], inbox: Collector) -> None:
    letter = EmailMessage()
    letter["From"] = "Ana <ana@example.org>"
    letter["To"] = "luis@example.net"
    letter.set_content("Hello.")
    namespace = with_port(names, ours) | {"letter": letter, "__name__": "page"}
    exec(compile(ours, f"docs/migration.md: {title}", "exec"), namespace)
    assert len(inbox.messages) == {"One message": 1, "A connection": 2, "Without an event loop": 1}.get(title, 0)


@pytest.mark.parametrize(("title", "theirs"), [(title, theirs) for title, _, theirs, _ in BLOCKS])
def test_their_side_runs_too(title: str, theirs: str, names: dict[str, object], inbox: Collector) -> None:
    given = "".join(f"{name} = {value!r}\n" for name, value in with_port(names, theirs).items())
    ran = subprocess.run([sys.executable, "-c", LETTER + given + theirs], capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, ran.stderr
    assert len(inbox.messages) == {"One message": 1, "A connection": 2, "Without an event loop": 1}.get(title, 0)


def found(dotted: str) -> object:
    """What a dotted name stands for; raises when there is no such thing."""
    parts = dotted.split(".")
    for count in range(len(parts), 0, -1):
        try:
            value: object = import_module(".".join(parts[:count]))
        except ModuleNotFoundError:
            continue
        for part in parts[count:]:
            value = getattr(value, part)
        return value
    raise ModuleNotFoundError(dotted)


def section(title: str) -> list[tuple[set[str], str]]:
    """The rows of a section's table: the names on the left, the text on the right."""
    text = PAGE.partition(f"### {title}\n")[2].partition("\n#")[0]
    rows = re.findall(r"^\| (.+?) \| (.+?) \|$", text, re.MULTILINE)
    return [(set(re.findall(r"`([\w.]+)`", left)), right) for left, right in rows if left not in ("there", "---")]


def left(title: str) -> set[str]:
    return {name for names, _ in section(title) for name in names}


def test_each_dotted_name_exists() -> None:
    theirs = set(re.findall(r"`(aiosmtp(?:d|lib)\.[\w.]+)`", PAGE))
    ours = set(re.findall(r"`(estafeta\.[\w.]+)`", PAGE)) - {"estafeta.server"}
    assert len(theirs) > 50 and len(ours) > 20
    for name in theirs | ours:
        assert found(name) is not None


def test_each_public_name_of_theirs_is_on_the_page() -> None:
    modules = (controller, handlers, lmtp, main, smtp)
    public = {f"{module.__name__}.{name}" for module in modules for name in module.__all__} - {
        "aiosmtpd.smtp.__version__"
    }
    assert public <= left("Names of aiosmtpd")
    assert {f"aiosmtplib.{name}" for name in aiosmtplib.__all__} <= left("Names of aiosmtplib")


def test_each_option_of_theirs_is_on_the_page() -> None:
    server = set(inspect.signature(smtp.SMTP.__init__).parameters) - {"self", "handler"}
    assert left("Options of its SMTP class") == server | {"server_hostname", "ssl_context"}
    client = set(inspect.signature(aiosmtplib.send).parameters)
    assert left("Arguments of its send and SMTP") == client
    assert set(inspect.signature(aiosmtplib.SMTP.__init__).parameters) - {"self"} <= client


def test_each_hook_and_method_of_theirs_is_on_the_page() -> None:
    source = inspect.getsource(smtp)
    called = set(re.findall(r"""_call_handler_hook\(['"](\w+)['"]""", source)) | {"STARTTLS", "DATA"}
    assert left("Hooks of its handlers") == {f"handle_{name}" for name in called} | {"handle_exception"}
    methods = {name for name, value in vars(aiosmtplib.SMTP).items() if not name.startswith("_")}
    kept = {"AUTH_METHODS"}
    assert methods - kept == left("Methods of its SMTP class")


def test_each_option_and_method_of_ours_exists() -> None:
    options = set(inspect.signature(Server.__init__).parameters) | set(ServerLimits.__dataclass_fields__)
    known = options | {name for name in dir(Handler) if name.startswith("on_")}
    for title in ("Options of its SMTP class", "Hooks of its handlers"):
        for _, right in section(title):
            words = set(re.findall(r"`(\w+)`", right)) | set(re.findall(r"(\w+)=", right))
            assert words <= known | {"proxy_after", "True"}, right
    arguments = set(ClientOptions.__annotations__) | {"host", "port", "sender", "recipients"}
    values = {"verify", "certificate", "key", "ret", "envid", "requires_tls", "notify", "original"}
    for _, right in section("Arguments of its send and SMTP"):
        words = set(re.findall(r"`(\w+)`", right)) | set(re.findall(r"(\w+)=", right))
        assert words <= arguments | values | {"ClientTimeouts", "True", "None", "False"}, right
    for _, right in section("Methods of its SMTP class"):
        for name in re.findall(r"`([\w.]+)`", right):
            first, _, second = name.partition(".")
            assert hasattr(estafeta.Client, first) or hasattr(estafeta, first) or first in arguments, name
            if second:
                owner = estafeta.SmtpClient if first == "session" else found("estafeta.wire.smtp.replies.Capabilities")
                assert hasattr(owner, second), name


def test_the_options_of_the_command_line_exist() -> None:
    helped = subprocess.run(
        [sys.executable, "-m", "estafeta.server", "--help"],
        env={"PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        timeout=30,
    ).stdout
    theirs = main._parser().format_help()
    for line in PAGE.partition("### Its command line\n")[2].partition("\n## ")[0].splitlines():
        if line.startswith("| `"):
            there, here = line.strip("| ").split(" | ")
            assert set(re.findall(r"--[\w-]+", there)) <= set(re.findall(r"--[\w-]+", theirs))
            assert set(re.findall(r"--[\w-]+", here)) <= set(re.findall(r"--[\w-]+", helped))


def test_our_code_has_types() -> None:
    for title, _, _, ours in BLOCKS:
        for node in ast.walk(ast.parse(ours)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                assert node.returns is not None, title
