"""Settings of logins by token and by certificate: read, and refused where they would be a hole."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.net.certificates import certify

from estafeta.config import check
from estafeta.config.faults import Finding, SettingsError
from estafeta.config.reading import read
from estafeta.config.settings import Settings
from estafeta.net.authority import issue

TLS = '[tls]\ncertificate = "server.pem"\nkey = "server.key"\n'
INTROSPECTION = """
[oauth]
issuer = "https://login.example.org"
introspection_url = "https://login.example.org/introspect"
client_id = "mail"
client_secret_file = "oauth.secret"
ca_file = "people.pem"
"""


def written(folder: Path, text: str) -> Path:
    file = folder / "estafeta.toml"
    file.write_text(text, "utf-8")
    return file


def around(settings: Settings) -> list[tuple[tuple[str | int, ...], str]]:
    """What the machine's files say, of these tables."""
    found: list[Finding] = list(check.surroundings(settings))
    return [(each.key, each.problem) for each in found if each.key[0] in ("tls", "oauth")]


def test_tokens_are_off_and_no_certificate_is_asked_for_when_left_out(tmp_path: Path) -> None:
    settings = read(written(tmp_path, TLS))
    assert settings.oauth is None
    assert settings.tls is not None and settings.tls.client_authorities is None


def test_paths_are_below_the_folder_of_the_file(tmp_path: Path) -> None:
    settings = read(written(tmp_path, TLS + 'client_authorities = "people.pem"\n' + INTROSPECTION))
    assert settings.oauth is not None and settings.tls is not None
    assert settings.oauth.client_secret_file == tmp_path / "oauth.secret"
    assert settings.oauth.ca_file == settings.tls.client_authorities == tmp_path / "people.pem"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (INTROSPECTION, "oauth: takes tokens over TLS alone"),
        (TLS + '[oauth]\nissuer = "x"\n', "oauth.introspection_url: and jwks_url are both missing"),
        (TLS + '[oauth]\njwks_url = "https://x.example/"\n', "oauth.issuer: is missing"),
        (TLS + '[oauth]\nissuer = "x"\njwks_url = "https://x.example/"\n', "oauth.audience: is missing"),
        (
            TLS + INTROSPECTION.replace("https://login.example.org/in", "http://login.example.org/in"),
            "this machine only",
        ),
        (TLS + INTROSPECTION + "cache_seconds = -1\n", "oauth.cache_seconds: is too small"),
        (TLS + INTROSPECTION + "cache = 1\n", "oauth.cache: is not a setting"),
    ],
)
def test_what_would_be_a_hole_is_a_fault(tmp_path: Path, text: str, fault: str) -> None:
    with pytest.raises(SettingsError, match=fault.replace(".", r"\.")):
        read(written(tmp_path, text))


def test_files_are_looked_at(tmp_path: Path) -> None:
    issue(tmp_path, ["localhost"]).certificate.rename(tmp_path / "server.pem")
    settings = read(written(tmp_path, TLS + 'client_authorities = "people.pem"\n' + INTROSPECTION))
    secret, people = tmp_path / "oauth.secret", tmp_path / "people.pem"
    keys = [key for key, _ in around(settings)]
    assert keys == [("tls", "client_authorities"), ("oauth", "client_secret_file"), ("oauth", "ca_file")]
    secret.write_text("secret\n")
    secret.chmod(0o644)
    people.write_text("no certificate")
    told = dict(around(settings))
    assert told[("oauth", "client_secret_file")] == f"{secret} is open to every user of this machine"
    assert told[("tls", "client_authorities")] == told[("oauth", "ca_file")] == f"{people} has no PEM certificate"
    secret.chmod(0o600)
    made, _ = certify("People", is_authority=True).write(tmp_path)
    made.rename(people)
    assert around(settings) == []
