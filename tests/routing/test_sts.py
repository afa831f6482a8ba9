"""MTA-STS: policies as they are read, and as a real web server on loopback gives them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.net.webserver import WebServer, answer, serving

from estafeta.mail.tls_report import TlsResultKind
from estafeta.net.stream import SocketStream
from estafeta.routing.sts import (
    ABSENT_AFTER,
    FAILED_AFTER,
    MAX_POLICY,
    NO_POLICY,
    REFRESH_AFTER,
    SHORTEST_AGE,
    StsAnswer,
    StsError,
    StsMode,
    StsPolicies,
    StsPolicy,
    policy_id,
)
from estafeta.store.store import Store, open_store

DOMAIN = "example.org"
NAMES = ["mta-sts.example.org"]
DAY = 86_400

POLICY = "version: STSv1\r\nmode: enforce\r\nmx: mx.example.org\r\nmx: *.example.net\r\nmax_age: 604800\r\n"
READ = StsPolicy(StsMode.ENFORCE, ("mx.example.org", "*.example.net"), 604_800)


def zone(identity: str = "1", *, txt: str | None = None) -> str:
    record = f"v=STSv1; id={identity};" if txt is None else txt
    return f'_mta-sts.example.org. 300 TXT "{record}"\nmta-sts.example.org. 300 A 127.0.0.1\n'


# Reading


@pytest.mark.rfc("8461 §3.2", "A policy is read as it is meant.")
@pytest.mark.parametrize(
    "text",
    [
        POLICY,
        POLICY.replace("\r\n", "\n"),
        POLICY.rstrip(),
        POLICY.replace(": ", ":").replace("\r\n", " \t\r\n"),
        "mx: MX.Example.ORG.\nmx: *.EXAMPLE.net\nmax_age: 604800\nmode: enforce\nversion: STSv1\n",
        POLICY + "mode: none\r\nmax_age: 1\r\nversion: other\r\n",
        "\n" + POLICY + "\nx-later.field_1: a value: with colons\n",
        POLICY + "mx: mx.example.org\n",
    ],
)
def test_a_policy_is_read_as_it_is_meant(text: str) -> None:
    assert StsPolicy.parse(text) == READ
    assert StsPolicy.parse("\n".join(READ.lines)) == READ


@pytest.mark.rfc("8461 §3.2", "What is no policy is refused.")
@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "version"),
        (POLICY.replace("STSv1", "STSv2"), "version"),
        (POLICY.replace("STSv1", "stsv1"), "version"),
        (POLICY.replace("enforce", "Enforce"), "mode"),
        (POLICY.replace("mode: enforce\r\n", ""), "mode"),
        (POLICY.replace("604800", "a week"), "max_age"),
        (POLICY.replace("604800", "-1"), "max_age"),
        (POLICY.replace("604800", "60480000000"), "max_age"),
        (POLICY.replace("604800", ""), "max_age"),
        ("version: STSv1\nmode: enforce\nmax_age: 604800\n", "no mx"),
        ("version: STSv1\nmode: testing\nmax_age: 604800\n", "no mx"),
        (POLICY + "mx: \n", "no host"),
        (POLICY + "mx: *\n", "no host"),
        (POLICY + "mx: mx.*.example.org\n", "no host"),
        (POLICY + "mx: **.example.org\n", "no host"),
        (POLICY + "mx: [192.0.2.1]\n", "no host"),
        ("<html><body>Welcome</body></html>", "no field"),
        (POLICY + "no field\n", "no field"),
        (POLICY + ": no name\n", "no field"),
    ],
)
def test_what_is_no_policy_is_refused(text: str, reason: str) -> None:
    with pytest.raises(StsError, match=reason):
        StsPolicy.parse(text)


def test_a_policy_of_mode_none_needs_no_hosts() -> None:
    assert StsPolicy.parse("version: STSv1\nmode: none\nmax_age: 60\n") == StsPolicy(StsMode.NONE, (), 60)


@pytest.mark.rfc("8461 §4.1", "An asterisk stands for one label.")
@pytest.mark.parametrize(
    ("pattern", "host", "fits"),
    [
        ("mx.example.org", "mx.example.org", True),
        ("mx.example.org", "MX.Example.org.", True),
        ("mx.example.org", "a.mx.example.org", False),
        ("mx.example.org", "example.org", False),
        ("*.example.org", "mx.example.org", True),
        ("*.example.org", "example.org", False),
        ("*.example.org", "a.mx.example.org", False),
        ("*.example.org", "mxexample.org", False),
        ("*.example.org", "mx.example.org.evil.example", False),
        ("*.org", "example.org", True),
        ("*.example.org", "*.example.org", True),
        ("mx.example.org", "", False),
    ],
)
def test_an_asterisk_stands_for_one_label(pattern: str, host: str, fits: bool) -> None:
    assert StsPolicy(StsMode.ENFORCE, ("other.example", pattern), 60).allows(host) is fits


def test_a_policy_holds_for_at_least_minutes_and_at_most_a_year() -> None:
    ages = {age: StsPolicy(StsMode.NONE, (), age).holds_for for age in (0, 604_800, 9_999_999_999)}
    assert ages == {0: SHORTEST_AGE, 604_800: 604_800, 9_999_999_999: 31_557_600}


@pytest.mark.rfc("8461 §3.1", "One record alone announces a policy.")
@pytest.mark.parametrize(
    ("records", "found"),
    [
        (("v=STSv1; id=20260101T000000;",), "20260101T000000"),
        (("v=STSv1;id=a",), "a"),
        (("v=STSv1 ; x=y ; id=a ; z=1",), "a"),
        (("v=spf1 -all", "v=STSv1; id=a"), "a"),
        ((), None),
        (("v=STSv1",), None),
        (("v=STSv1;",), None),
        (("v=STSv1; id=;",), None),
        (("v=STSv1; id=a-b",), None),
        (("v=STSv1; id=" + "a" * 33,), None),
        (("V=STSv1; id=a",), None),
        (("v=STSv12; id=a",), None),
        ((" v=STSv1; id=a",), None),
        (("v=STSv1; id=a", "v=STSv1; id=b"), None),
    ],
)
def test_one_record_alone_announces_a_policy(records: tuple[str, ...], found: str | None) -> None:
    assert policy_id(records) == found


# Fetching


@dataclass
class Clock:
    now: float = 1_780_000_000.0

    def __call__(self) -> float:
        return self.now


class Post:
    """A web server with a policy, a store, and the finder between them."""

    def __init__(self, server: WebServer, data: Path, clock: Clock) -> None:
        self.server = server
        self.clock = clock
        self.data = data
        self.store: Store
        self.policies: StsPolicies
        self.start()

    def start(self) -> None:
        self.store = open_store(self.data, clock=self.clock)
        self.policies = StsPolicies(self.server.resolver, self.server.https, self.store, clock=self.clock)

    async def stop(self) -> None:
        await self.policies.close()
        self.store.close()

    async def restart(self) -> None:
        await self.stop()
        self.start()

    @property
    def fetches(self) -> int:
        return len(self.server.requests)

    async def find(self) -> StsAnswer:
        return await self.policies.find(DOMAIN)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path: Path = tmp_path_factory.mktemp("web")
    return path


Begin = Callable[..., Any]


@pytest.fixture
def begin(folder: Path, tmp_path: Path) -> Iterator[Begin]:
    @asynccontextmanager
    async def begun(says: Any = None, names: list[str] = NAMES, text: str | None = None) -> AsyncIterator[Post]:
        given = answer(POLICY) if says is None else says
        async with serving(folder, names, zone() if text is None else text, given) as server:
            post = Post(server, tmp_path / "data", Clock())
            try:
                yield post
            finally:
                await post.stop()

    yield begun


def run(main: Coroutine[Any, Any, None]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(20):
            await main

    asyncio.run(bounded())


def test_a_policy_is_fetched_once_and_remembered(begin: Begin) -> None:
    async def main() -> None:
        async with begin() as post:
            assert await post.find() == StsAnswer(READ)
            assert await post.find() == StsAnswer(READ)
            (request,) = post.server.requests
            assert request.startswith(b"GET /.well-known/mta-sts.txt HTTP/1.1\r\nHost: mta-sts.example.org\r\n")

    run(main())


def test_without_a_record_nothing_is_fetched(begin: Begin) -> None:
    async def main() -> None:
        async with begin() as post:
            assert await post.policies.find("example.com") == NO_POLICY
            post.server.resolver.load(zone(txt="v=STSv1; no id"))
            assert await post.find() == NO_POLICY
            post.server.resolver.failing = ["_mta-sts.example.org"]
            assert await post.find() == StsAnswer(None, is_uncertain=True)
            assert post.fetches == 0

    run(main())


def test_many_who_wait_for_a_policy_share_one_fetch(begin: Begin) -> None:
    async def main() -> None:
        async with begin() as post:
            found = await asyncio.gather(*(post.find() for _ in range(50)))
            assert found == [StsAnswer(READ)] * 50
            assert post.fetches == 1

    run(main())


def test_who_gives_up_waiting_does_not_end_the_fetch_of_others(begin: Begin) -> None:
    async def main() -> None:
        release = asyncio.Event()

        async def slow(stream: SocketStream) -> None:
            await release.wait()
            stream.send(answer(POLICY))

        async with begin(slow) as post:
            first, second = asyncio.create_task(post.find()), asyncio.create_task(post.find())
            await post.server.asked.wait()
            first.cancel()
            release.set()
            assert await second == StsAnswer(READ)
            assert post.fetches == 1

    run(main())


@pytest.mark.rfc("8461 §5.1", "A policy holds for its time, after a restart and without the DNS.")
def test_a_policy_survives_a_restart_and_holds_without_the_dns(begin: Begin) -> None:
    async def main() -> None:
        async with begin() as post:
            await post.find()
            await post.restart()
            assert await post.find() == StsAnswer(READ)
            assert post.fetches == 1
            # RFC 8461 §10.2: who takes the record away does not take the policy away.
            for change in ({"_mta-sts.example.org"}, set()):
                post.server.resolver.load("")
                post.server.resolver.failing = change
                await post.restart()
                assert await post.find() == StsAnswer(READ)
            post.clock.now += 604_801
            assert await post.find() == NO_POLICY

    run(main())


def test_a_changed_id_brings_the_new_policy(begin: Begin) -> None:
    async def main() -> None:
        async with begin() as post:
            await post.find()
            post.server.says = answer(POLICY.replace("enforce", "testing"))
            assert await post.find() == StsAnswer(READ)
            post.server.resolver.load(zone("2"))
            changed = StsAnswer(StsPolicy(StsMode.TESTING, READ.mx, READ.max_age))
            assert await post.find() == changed
            await post.restart()
            assert await post.find() == changed
            assert post.fetches == 2

    run(main())


def test_mode_none_is_no_policy_and_takes_the_place_of_one(begin: Begin) -> None:
    async def main() -> None:
        async with begin() as post:
            await post.find()
            post.server.says = answer("version: STSv1\nmode: none\nmax_age: 86400\n")
            post.server.resolver.load(zone("2"))
            assert await post.find() == NO_POLICY
            await post.restart()
            assert await post.find() == NO_POLICY
            assert post.fetches == 2

    run(main())


def test_a_policy_of_yesterday_is_used_at_once_and_fetched_again_beside(begin: Begin) -> None:
    async def main() -> None:
        async with begin() as post:
            await post.find()
            post.server.asked.clear()
            post.server.says = answer(POLICY.replace("604800", "1209600"))
            post.clock.now += REFRESH_AFTER - 1
            await post.find()
            post.clock.now += 2
            assert await post.find() == StsAnswer(READ)
            await post.server.asked.wait()
            while (await post.find()).policy == READ:
                await asyncio.sleep(0)
            assert post.fetches == 2
            # Its time counts from the new fetch.
            post.clock.now += 1_209_000
            post.server.resolver.load("")
            assert (await post.find()).policy == StsPolicy(StsMode.ENFORCE, READ.mx, 1_209_600)

    run(main())


def test_while_the_new_one_cannot_be_fetched_the_old_one_holds(begin: Begin) -> None:
    async def main() -> None:
        async with begin() as post:
            await post.find()
            post.server.says = answer("", status="404 Not Found")
            post.server.resolver.load(zone("2"))
            for _ in range(3):
                assert await post.find() == StsAnswer(READ)
            assert post.fetches == 2  # and one try is enough for some minutes
            post.clock.now += FAILED_AFTER + 1
            post.server.says = answer(POLICY.replace("enforce", "testing"))
            found = (await post.find()).policy
            assert found is not None and found.mode is StsMode.TESTING

    run(main())


def test_a_daily_fetch_that_fails_is_not_tried_with_every_message(begin: Begin) -> None:
    async def main() -> None:
        async with begin() as post:
            await post.find()
            post.server.says = answer("", status="503 Not Now")
            post.server.asked.clear()
            post.clock.now += REFRESH_AFTER + 1
            await post.find()
            await post.server.asked.wait()
            while post.policies._fetches:
                await asyncio.sleep(0)
            for _ in range(5):
                assert await post.find() == StsAnswer(READ)
            assert post.fetches == 2

    run(main())


FETCH_ERROR, INVALID = TlsResultKind.STS_POLICY_FETCH_ERROR, TlsResultKind.STS_POLICY_INVALID


@pytest.mark.parametrize(
    ("says", "kind", "reason"),
    [
        (answer("", status="404 Not Found"), FETCH_ERROR, "mta-sts.example.org answers 404"),
        (answer(POLICY, status="206 Partial Content"), FETCH_ERROR, "answers 206"),
        (answer(POLICY, "text/plain", "301 Moved", "Location: https://example.net/"), FETCH_ERROR, "answers 301"),
        (answer(POLICY, "text/html"), INVALID, "the policy is text/html, not text/plain"),
        (b"HTTP/1.1 200 OK\r\n\r\n" + POLICY.encode(), INVALID, "the policy is of no type, not text/plain"),
        (answer("mode: enforce\n"), INVALID, "not a policy of version STSv1"),
        (answer(POLICY.encode() + b"x: \xff\n"), INVALID, "the policy is not UTF-8"),
        (answer(POLICY + "x: " + "y" * MAX_POLICY), FETCH_ERROR, "more than 65536 octets"),
        (b"", FETCH_ERROR, "ends in its header"),
    ],
)
def test_what_is_no_good_answer_leaves_the_domain_without_policy(
    says: bytes, kind: TlsResultKind, reason: str, begin: Begin
) -> None:
    async def main() -> None:
        async with begin(says) as post:
            for _ in range(2):
                found = await post.find()
                assert found.policy is None and found.fault is not None
                assert found.fault.kind is kind and reason in found.fault.reason
                assert found.is_uncertain is (kind is FETCH_ERROR)
            assert post.fetches == 1
            post.server.says = answer(POLICY)
            post.clock.now += FAILED_AFTER + 1
            assert await post.find() == StsAnswer(READ)

    run(main())


@pytest.mark.rfc("8461 §3.3", "A policy comes from a server with a good certificate for its name.")
def test_a_certificate_for_another_name_is_no_policy(begin: Begin, folder: Path) -> None:
    async def main() -> None:
        async with begin(names=["www.example.org"]) as post:
            found = await post.find()
            assert found.policy is None and found.fault is not None
            assert found.fault.kind is TlsResultKind.STS_WEBPKI_INVALID
            assert post.fetches == 0

    run(main())


def test_a_policy_of_another_process_is_found_in_the_store(begin: Begin) -> None:
    async def main() -> None:
        async with begin() as post:
            other = StsPolicies(post.server.resolver, post.server.https, post.store, clock=post.clock)
            post.server.resolver.load("")
            assert await post.find() == NO_POLICY  # and remembers that the store had none
            post.server.resolver.load(zone())
            await other.find(DOMAIN)
            await post.store.write(lambda tx: None)  # what nobody waits for is written now
            assert await post.find() == StsAnswer(READ)
            assert post.fetches == 1
            await other.close()

    run(main())


def test_for_a_domain_without_policy_the_store_is_seldom_asked(begin: Begin, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with begin(text="") as post:
            reads = 0
            read = post.store.read

            async def counted(query: Any) -> Any:
                nonlocal reads
                reads += 1
                return await read(query)

            monkeypatch.setattr(post.store, "read", counted)
            for _ in range(10):
                await post.find()
            assert reads == 1
            post.clock.now += ABSENT_AFTER + 1
            await post.find()
            assert reads == 2

    run(main())
