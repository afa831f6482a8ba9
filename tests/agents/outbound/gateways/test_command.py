"""Commands: what they get, what their exit codes mean, and what they can never do."""

from __future__ import annotations

import asyncio
import os
import pwd
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import uvloop
from tests.agents.outbound.gateways.conftest import CONTENT, Place, message, recipient, said

from estafeta.agents.outbound.gateways.command import CommandGateway, owner_of
from estafeta.agents.outbound.gateways.files import MisconfiguredGateway
from estafeta.agents.outbound.gateways.settings import CommandLimits, GatewayKind, GatewaySettings, LineEnds
from estafeta.mail.address import Address, ForwardPath
from estafeta.store.ids import IdSource
from estafeta.store.records import QueuedMessage, QueuedRecipient

DELIVERED = ("delivered", "250 2.0.0 delivered to the command of gateway lists")
WAITS_FOR_THE_OPERATOR = ("deferred", "451 4.3.5 mail cannot be delivered here until the operator has seen to it")

LOOPS: list[Callable[[], asyncio.AbstractEventLoop]] = [asyncio.new_event_loop, uvloop.new_event_loop]


@pytest.fixture(params=LOOPS, ids=["asyncio", "uvloop"])
def new_loop(request: pytest.FixtureRequest) -> Callable[[], asyncio.AbstractEventLoop]:
    """The loops that the server runs on."""
    new: Callable[[], asyncio.AbstractEventLoop] = request.param
    return new


class Script:
    """A shell script in a folder of its user's, as a gateway's command."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.folder = place.folder
        self.new_loop: Callable[[], asyncio.AbstractEventLoop] = asyncio.new_event_loop

    def settings(self, text: str, *arguments: str) -> GatewaySettings:
        """The script sees its folder as `$0`'s; what it writes there the test can read."""
        path = self.folder / "script"
        path.write_text(f'#!/bin/sh\ncd "$(dirname "$0")" || exit 99\n{text}\n')
        path.chmod(0o755)
        return GatewaySettings(
            "lists", GatewayKind.COMMAND, command=(str(path), *arguments), user=self.place.user, timeout=60
        )

    def deliver(
        self,
        settings: GatewaySettings,
        *recipients: QueuedRecipient,
        of: QueuedMessage | None = None,
        content: bytes = CONTENT,
    ) -> list[tuple[str, str]]:
        """What became of each recipient; all are of one message."""
        asked = recipients or (recipient(of=of),)
        with asyncio.Runner(loop_factory=self.new_loop) as runner:
            outcomes = runner.run(CommandGateway(settings).deliver(asked[0].message, asked, content))
        assert len(outcomes) == len(asked)
        return [said(outcome) for outcome in outcomes]

    def run(self, text: str, *arguments: str) -> tuple[str, str]:
        """Deliver to one recipient."""
        (outcome,) = self.deliver(self.settings(text, *arguments))
        return outcome

    def read(self, name: str) -> str:
        """What it wrote."""
        return (self.folder / name).read_text()


@pytest.fixture
def script(place: Place) -> Script:
    return Script(place)


@pytest.mark.rfc("5321 §3.7", "A command gets the message on its standard input.")
def test_the_message_comes_on_standard_input(script: Script, new_loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    script.new_loop = new_loop
    assert script.run("cat >got; cat /dev/stdin >again") == DELIVERED
    got = (script.folder / "got").read_bytes()
    assert got == b"Return-Path: <ana@example.net>\n" + CONTENT.replace(b"\r\n", b"\n")
    assert script.read("again") == script.read("got")
    kept = replace(script.settings("cat >got"), line_ends=LineEnds.CRLF)
    assert script.deliver(kept, of=message("")) == [DELIVERED]
    assert (script.folder / "got").read_bytes() == b"Return-Path: <>\r\n" + CONTENT


def test_arguments_are_the_envelope_and_no_shell_reads_them(script: Script) -> None:
    settings = script.settings(
        'printf "%s\\n" "$@" >arguments',
        *("-f", "{sender}", "--size={size}", "{queue_id}", "{sasl_username}", "{envid}", "$(touch pwned) `id` ; *"),
        *("{{}}", "--", "{recipient}", "{original_recipient}", "{mailbox}", "{user}", "{extension}", "{domain}"),
    )
    sent = message(account="ana@example.net", envid="job 7")
    to = recipient('"a b+$(id)"@example.org', of=sent, original="old@example.org")
    assert script.deliver(settings, to) == [DELIVERED]
    size = len(CONTENT.replace(b"\r\n", b"\n")) + len("Return-Path: <ana@example.net>\n")
    assert script.read("arguments").splitlines() == [
        *("-f", "ana@example.net", f"--size={size}", IdSource.text(sent.message_id), "ana@example.net", "job 7"),
        *("$(touch pwned) `id` ; *", "{}", "--", '"a b+$(id)"@example.org', "old@example.org", "a b+$(id)"),
        *("a b", "$(id)", "example.org"),
    ]
    assert not (script.folder / "pwned").exists()


def test_the_environment_is_small_and_its_values_mean_nothing_to_a_shell(
    script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET", "of the server")
    settings = script.settings("env >environment")
    assert script.deliver(settings, recipient('"a$(id)+news"@example.org')) == [DELIVERED]
    found = dict(line.split("=", 1) for line in script.read("environment").splitlines())
    for name in ("PWD", "OLDPWD", "SHLVL", "_"):  # the shell's own
        found.pop(name, None)
    owner = pwd.getpwuid(script.place.uid)
    assert found == {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "HOME": owner.pw_dir,
        "LOGNAME": owner.pw_name,
        "SENDER": "ana@example.net",
        "RECIPIENT": "_a__id_+news_@example.org",
        "USER": "a__id_",
        "EXTENSION": "news",
        "DOMAIN": "example.org",
    }


@pytest.mark.rfc("3463 §2", "A command's exit code is told as a status of class 2, 4 or 5.")
@pytest.mark.parametrize(
    ("code", "fate", "reply"),
    [
        (1, "failed", "554 5.3.0 the gateway's command ended with exit code 1"),
        (64, "failed", "554 5.3.0 command line usage error"),
        (65, "failed", "554 5.6.0 data format error"),
        (67, "failed", "550 5.1.1 user unknown"),
        (69, "failed", "554 5.3.0 service unavailable"),
        (71, "deferred", "451 4.3.0 system error"),
        (73, "deferred", "451 4.2.0 cannot create output file"),
        (74, "deferred", "451 4.3.0 input/output error"),
        (75, "deferred", "451 4.3.0 temporary failure"),
        (77, "failed", "554 5.7.0 permission denied"),
        (78, "deferred", "451 4.3.5 local configuration error"),
    ],
)
def test_an_exit_code_is_an_answer(script: Script, code: int, fate: str, reply: str) -> None:
    assert script.run(f"exit {code}") == (fate, reply)


@pytest.mark.parametrize(
    ("output", "code", "fate", "reply"),
    [
        ("no list of this name\\nsecond line\\n", 67, "failed", "550 5.1.1 no list of this name"),
        ("\\n\\n  busy \\n", 75, "deferred", "451 4.3.0 busy"),
        ("4.2.2 over quota\\n", 1, "deferred", "451 4.2.2 over quota"),
        ("5.7.1 members only\\n", 75, "failed", "554 5.7.1 members only"),
        ("5.1.1\\n", 75, "failed", "550 5.1.1 temporary failure"),
        ("5.1.1x\\n", 70, "failed", "554 5.3.0 5.1.1x"),
        ("a\\033[31mb\\000c\\377\\n", 70, "failed", "554 5.3.0 a[31mbc\N{REPLACEMENT CHARACTER}"),
    ],
)
def test_the_first_line_of_output_explains_a_failure(
    script: Script, output: str, code: int, fate: str, reply: str
) -> None:
    assert script.run(f"printf '{output}' >&2; exit {code}") == (fate, reply)


def test_a_long_explanation_is_cut(script: Script) -> None:
    fate, reply = script.run("printf '%05000d' 0; exit 70")
    assert fate == "failed" and reply.startswith("554 5.3.0 0000") and len(reply) < 512


def test_much_output_is_taken_but_not_kept(script: Script, new_loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    script.new_loop = new_loop
    assert script.run("echo first; head -c 3000000 /dev/zero; exit 69") == ("failed", "554 5.3.0 first")
    assert script.run("head -c 3000000 /dev/zero") == DELIVERED


def test_a_command_need_not_read_the_message(script: Script) -> None:
    assert script.deliver(script.settings("exit 0"), content=b"x" * 5_000_000) == [DELIVERED]


def test_a_command_is_not_waited_for_longer_than_it_runs(script: Script) -> None:
    # What it leaves running in the background has its output still open.
    assert script.run("sleep 30 & echo $! >pid; echo done; exit 69") == ("failed", "554 5.3.0 done")
    os.kill(int(script.read("pid")), signal.SIGKILL)


def test_what_takes_too_long_is_killed_with_all_that_it_started(
    script: Script, new_loop: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    script.new_loop = new_loop
    settings = replace(script.settings("trap '' TERM; sleep 60 & echo $! >pid; echo $$ >self; wait"), timeout=0.5)
    assert script.deliver(settings) == [("deferred", "451 4.3.0 the gateway's command did not come to its end in time")]
    assert all(is_gone(int(script.read(name))) for name in ("pid", "self"))


def test_a_run_that_is_cancelled_is_killed(script: Script, new_loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    os.mkfifo(script.folder / "started", 0o666)
    (script.folder / "started").chmod(0o666)
    settings = script.settings("echo $$ >started; sleep 60")

    async def cancel_when_started() -> int:
        run = asyncio.create_task(CommandGateway(settings).deliver(message(), [recipient()], CONTENT))
        pid = int(await asyncio.to_thread((script.folder / "started").read_text))
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run
        return pid

    with asyncio.Runner(loop_factory=new_loop) as runner:
        assert is_gone(runner.run(cancel_when_started()))


def is_gone(pid: int) -> bool:
    """Whether a process is no more, or only waits for its parent to see it."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return True


def test_a_command_that_is_killed_is_tried_again(script: Script) -> None:
    assert script.run("kill -9 $$") == ("deferred", "451 4.3.0 the gateway's command was ended by signal 9")


def test_limits_hold(script: Script) -> None:
    limits = CommandLimits(cpu_seconds=5, memory=512 * 1024 * 1024, file_size=4096, open_files=20)
    settings = replace(
        script.settings("for x in t v f n c; do ulimit -$x; done >limits; umask >>limits; head -c 8192 /dev/zero >big"),
        limits=limits,
        umask=0o027,
    )
    ((fate, reply),) = script.deliver(settings)
    assert script.read("limits").split() == ["5", str(512 * 1024), "8", "20", "0", "0027"]
    assert (fate, reply) != DELIVERED
    assert (script.folder / "big").stat().st_size == 4096


def test_a_limit_of_zero_is_none(script: Script) -> None:
    settings = replace(script.settings("ulimit -t >limit"), limits=CommandLimits(cpu_seconds=0))
    assert script.deliver(settings) == [DELIVERED]
    assert script.read("limit") == "unlimited\n"


def test_a_run_has_a_session_of_its_own_and_no_file_of_the_server(script: Script) -> None:
    reading_end, writing_end = os.pipe()
    os.set_inheritable(writing_end, True)
    of_the_server = os.readlink(f"/proc/self/fd/{writing_end}")
    try:
        assert script.run("cut -d' ' -f1,5,6 /proc/$$/stat >session; exec ls -l /proc/self/fd >files") == DELIVERED
    finally:
        os.close(reading_end)
        os.close(writing_end)
    pid, group, session = script.read("session").split()
    assert pid == group == session
    # Standard input, output and errors, and the folder that ls reads.
    assert script.read("files").count(" -> ") == 4
    assert of_the_server not in script.read("files")


def test_several_recipients_are_several_runs_unless_the_settings_let_them_share(script: Script) -> None:
    settings = script.settings('echo "$RECIPIENT $*" >>runs', "{recipient}")
    three = [recipient(f"{name}@example.org", number=number) for number, name in enumerate("abc")]
    assert script.deliver(settings, *three) == [DELIVERED] * 3
    assert sorted(script.read("runs").splitlines()) == [f"{name}@example.org {name}@example.org" for name in "abc"]
    (script.folder / "runs").unlink()
    assert script.deliver(replace(settings, recipients_per_run=2, concurrency=1), *three) == [DELIVERED] * 3
    assert script.read("runs").splitlines() == [" a@example.org b@example.org", "c@example.org c@example.org"]


def test_no_more_run_at_a_time_than_the_settings_say(script: Script) -> None:
    settings = replace(script.settings("mkdir running || exit 70; rmdir running"), concurrency=1)
    many = [recipient(number=number) for number in range(5)]
    assert script.deliver(settings, *many) == [DELIVERED] * 5


def test_an_address_that_would_be_an_option_is_refused_alone(script: Script) -> None:
    refused = ("failed", "553 5.1.0 an address that begins with a hyphen is not taken here")
    hostile = replace(recipient(number=2), forward_path=ForwardPath(Address("-oQ/tmp", "example.org")))
    assert script.deliver(script.settings("", "{recipient}"), hostile, recipient()) == [refused, DELIVERED]
    assert script.deliver(script.settings("", "--", "{recipient}"), hostile) == [DELIVERED]
    sender = message("-bp@example.net")
    assert script.deliver(script.settings("", "{sender}", "{recipient}"), of=sender) == [refused]


def test_a_command_that_is_not_there_waits_for_the_operator(script: Script) -> None:
    missing = replace(script.settings(""), command=("/nonexistent/take",))
    assert script.deliver(missing) == [
        ("deferred", "451 4.3.5 the gateway's command cannot be run (no such file or directory)")
    ]


def test_a_command_of_roots_runs_as_the_user_with_the_users_groups(script: Script, as_root: None) -> None:
    assert script.run("id -u >ids; id -ru >>ids; id -g >>ids; id -G >>ids; touch mine") == DELIVERED
    owner = pwd.getpwuid(script.place.uid)
    groups = os.getgrouplist(owner.pw_name, owner.pw_gid)
    assert script.read("ids").split("\n")[:4] == [
        *map(str, (owner.pw_uid, owner.pw_uid, owner.pw_gid)),
        " ".join(map(str, groups)),
    ]
    assert (script.folder / "mine").stat().st_uid == script.place.uid


@pytest.mark.parametrize("user", ["", "root", "no-such-user"])
def test_a_command_never_runs_as_root(script: Script, as_root: None, user: str) -> None:
    settings = replace(script.settings("touch ran"), user=user)
    assert script.deliver(settings) == [WAITS_FOR_THE_OPERATOR]
    assert not (script.folder / "ran").exists()


def test_only_root_runs_commands_of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: pwd.getpwnam("daemon").pw_uid)
    assert owner_of("").name == owner_of("daemon").name == "daemon"
    with pytest.raises(MisconfiguredGateway):
        owner_of("nobody")
