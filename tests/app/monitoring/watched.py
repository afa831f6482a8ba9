"""A post office that tells of itself, and a scraper that reads what it tells as Prometheus would."""

from __future__ import annotations

import asyncio
import json
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prometheus_client.core import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics
from prometheus_client.parser import text_string_to_metric_families as plain_text
from tests.agents.conftest import NO_DNS, Office, populate

from estafeta.app import PostOffice
from estafeta.config.settings import Listen, ListenerKind, MonitoringSettings, Settings, TlsSettings
from estafeta.net.authority import Issued

KINDS = (ListenerKind.SMTP, ListenerKind.SUBMISSION, ListenerKind.POP3, ListenerKind.IMAP)
OPEN_METRICS = "application/openmetrics-text; version=1.0.0"


@dataclass
class Answer:
    """What the pages answered."""

    status: int
    media_type: str
    body: str

    @property
    def document(self) -> Any:
        return json.loads(self.body)


async def ask(port: int, path: str, *, accept: str = "", method: str = "GET") -> Answer:
    """One request, by a client of the standard library."""

    def request() -> Answer:
        wanted = urllib.request.Request(f"http://127.0.0.1:{port}{path}", method=method)
        if accept:
            wanted.add_header("Accept", accept)
        try:
            with urllib.request.urlopen(wanted, timeout=20) as answer:
                return Answer(answer.status, answer.headers["Content-Type"], answer.read().decode())
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, error.headers["Content-Type"], error.read().decode())

    return await asyncio.to_thread(request)


@dataclass
class Scrape:
    """All samples of one scrape."""

    families: list[Metric]

    @staticmethod
    async def of(port: int, *, accept: str = "") -> Scrape:
        answer = await ask(port, "/metrics", accept=accept)
        assert answer.status == 200
        parse = open_metrics if accept else plain_text
        assert answer.media_type.startswith("application/openmetrics-text" if accept else "text/plain")
        found: Iterable[Metric] = parse(answer.body)
        return Scrape(list(found))

    def value(self, name: str, **labels: str) -> float:
        """One sample; 0 where there is none."""
        return sum(
            sample.value
            for family in self.families
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )

    def by(self, name: str, label: str) -> dict[str, float]:
        """The samples of one metric by one of its labels."""
        return {
            sample.labels[label]: sample.value
            for family in self.families
            for sample in family.samples
            if sample.name == name
        }


def watched_settings(folder: Path, issued: Issued, **settings: Any) -> Settings:
    """Of a post office on loopback that tells of itself."""
    monitoring = {"port": 0, "count_after": 0.000001, **settings.pop("monitoring", {})}
    given: dict[str, Any] = {
        "hostname": "mx.example.org",
        "data": folder / "data",
        "listen": tuple(Listen(kind=kind, address="127.0.0.1", port=0) for kind in KINDS),
        "tls": TlsSettings(certificate=issued.certificate, key=issued.key),
        "dns": NO_DNS,
        "monitoring": MonitoringSettings(**monitoring),
    }
    return Settings(**given | settings)


@asynccontextmanager
async def watched(settings: Settings, issued: Issued, **kwargs: Any) -> AsyncIterator[Office]:
    """One that serves."""
    async with asyncio.timeout(60), PostOffice(settings, **kwargs) as office:
        await office.store.write(populate)
        tested = Office(office, issued)
        try:
            yield tested
        finally:
            await tested.close()
