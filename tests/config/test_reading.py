from __future__ import annotations

from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Network
from pathlib import Path

import pytest

from estafeta.agents.settings import ReceptionSettings, Vrfy
from estafeta.config.faults import SettingsError, key_text
from estafeta.config.location import data_directory, find_config
from estafeta.config.reading import load, read
from estafeta.config.settings import ListenerKind, Settings
from estafeta.net.authority import Issued, issue
from estafeta.routing.routes import RouteRule


def written(folder: Path, text: str) -> Path:
    file = folder / "estafeta.toml"
    file.write_text(text, "utf-8")
    return file


def faults(file: Path, text: str, *, whole: bool = False) -> list[str]:
    """The faults without the name of the file."""
    with pytest.raises(SettingsError) as caught:
        (load if whole else read)(written(file, text))
    told = [str(fault) for fault in caught.value.faults]
    assert all(line.startswith(str(file / "estafeta.toml")) for line in told)
    return [line.removeprefix(f"{file / 'estafeta.toml'}:") for line in told]


def test_an_empty_file_is_all_defaults(tmp_path: Path) -> None:
    settings = read(written(tmp_path, ""))
    assert settings == Settings(hostname=settings.hostname)
    assert settings.data == Path("/var/lib/estafeta")
    assert settings.hostname


def test_tables_become_the_settings_of_their_rooms(tmp_path: Path) -> None:
    settings = read(
        written(
            tmp_path,
            """
hostname = "MX.Example.ORG"
data = "mail"
smtp.vrfy = "verify"
smtp.trusted_networks = ["192.0.2.0/24"]
smtp.limits.hops = 30
shutdown.drain_seconds = 5
[[listen]]
kind = "pop3"
[[listen]]
kind = "lmtp"
address = "::1"
port = 0
[[route]]
domain = "*"
mailbox = "captured@example.org"
""",
        )
    )
    assert settings.hostname == "mx.example.org"
    assert settings.data == tmp_path / "mail"
    assert isinstance(settings.smtp, ReceptionSettings)
    assert settings.smtp.vrfy is Vrfy.VERIFY
    assert settings.smtp.trusted_networks == (IPv4Network("192.0.2.0/24"),)
    assert settings.smtp.limits.hops == 30
    assert settings.shutdown.drain_seconds == 5.0
    assert [(each.kind, each.port) for each in settings.listen] == [(ListenerKind.POP3, 110), (ListenerKind.LMTP, 0)]
    assert settings.listen[1].name == "lmtp [::1]:0"
    assert settings.route == (RouteRule("*", mailbox="captured@example.org"),)


@pytest.mark.rfc("5321 §4.5.3.1.8", "The settings do not let a limit go below 100 recipients.")
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("hostnme = 'x'", "1: hostnme: is not a setting. Did you mean hostname?"),
        ("\n[smtp]\ntrusted_network = []", "3: smtp.trusted_network: is not a setting. Did you mean trusted_networks?"),
        ("[smtp.limits]\nzzz = 1", "2: smtp.limits.zzz: is not a setting. This table knows auth_line, "),
        ("[log]\nlevel = 'loud'", '2: log.level: is not a value of this setting. Write one of "debug", "info", '),
        ("[[listen]]\nkind = 'gopher'", '2: listen[0].kind: is not a value of this setting. Write one of "smtp", '),
        ("[[listen]]\nport = 25", "1: listen[0].kind: is missing. Add kind = ... to this table."),
        ("data = 5", "1: data: must be text. Put the value in quotes."),
        ("[smtp]\ncheck_author = 'yes'", "2: smtp.check_author: must be true or false."),
        ("[smtp]\ncheck_author = 1", "2: smtp.check_author: must be true or false."),
        ("[journal]\nkeep_days = '90'", "2: journal.keep_days: must be a whole number."),
        ("[journal]\nkeep_days = 1.5", "2: journal.keep_days: must be a whole number."),
        ("[journal]\nkeep_days = 1979-05-27", "2: journal.keep_days: must be a whole number."),
        ("[journal]\nkeep_days = -1", "2: journal.keep_days: is too small: -1."),
        ("[shutdown]\ndrain_seconds = nan", "2: shutdown.drain_seconds: must be a finite number."),
        ("[shutdown]\ndrain_seconds = 1e300", "2: shutdown.drain_seconds: is too large: 1e+300."),
        ("[pop3]\nlogin_after = 0", "2: pop3.login_after: is too small: 0.0. Write a number above 0."),
        ("[smtp.limits]\nrecipients = 10", "2: smtp.limits.recipients: is too small: 10. RFC 5321 §4.5.3.1.8 asks for"),
        ("listen = 'smtp'", "1: listen: must be an array. "),
        ("[listen]\nkind = 'smtp'", "1: listen: must be an array. "),
        ("listen = [5]", "1: listen[0]: must be a table. "),
        ("tls = true", "1: tls: must be a table. Write [tls] on a line of its own and its settings below."),
        ("login = 5", "1: login: must be a table. "),
        ("[tls]\nkey = 'k'", "1: tls.certificate: is missing. "),
        ("[[listen]]\nkind='smtp'\naddress = 'mx.example.org'", "3: listen[0].address: is not an IP address. "),
        ("[[listen]]\nkind='smtp'\nport = 70000", "3: listen[0].port: must be less than or equal to 65535. "),
        ("hostname = 'two words'", "1: hostname: is not a domain name"),
        ("hostname = '[192.0.2.1]'", "1: hostname: is not a domain name"),
        ("hostname = '192.0.2.1'", "1: hostname: is not a domain name"),
        (
            "[smtp]\ntrusted_networks = ['0.0.0.0/0']",
            "2: smtp.trusted_networks[0]: 0.0.0.0/0 is not a network of yours",
        ),
        ("[smtp]\ntrusted_networks = [\n'10.0.0.0/8',\n'::/0']", "4: smtp.trusted_networks[1]: ::/0 is not a network"),
        ("[smtp]\ntrusted_networks = ['::ffff:0:0/96']", "2: smtp.trusted_networks[0]: ::ffff:0"),
        ("[smtp]\ntrusted_networks = ['10.0.0.1/8']", "2: smtp.trusted_networks[0]: is not a network. Write it as"),
        ("[smtp]\ntrusted_networks = [5]", "2: smtp.trusted_networks[0]: is not a network. Write it as"),
        ("[smtp]\npostmaster = 'ana'", "2: smtp.postmaster: is not an address (address has no domain). "),
        (
            "[[route]]\ndomain='*'\nmailbox='captured'",
            "3: route[0].mailbox: is not an address (address has no domain). ",
        ),
        (
            "[[route]]\ndomain='EXAMPLE.org'\nmailbox='a@b.example'",
            "2: route[0].domain: is not a domain name (write it",
        ),
        ("[sendmail]\nserver = 'localhost'", "2: sendmail.server: is not a host and a port. "),
        ("[[listen]]\nkind='submissions'", "2: listen[0].kind: a submissions listener needs a certificate. "),
        (
            "[[listen]]\nkind='submission'",
            "2: listen[0].kind: a submission listener that requires TLS can take no mail",
        ),
        (
            "[[listen]]\nkind='smtp'\n[[listen]]\nkind='lmtp'\naddress='127.0.0.1'\nport=25",
            "3: listen[1]: listens where smtp 0.0.0.0:25 already does. ",
        ),
        (
            "[[route]]\ndomain='*'\nmailbox='a@b.example'\n[[route]]\ndomain='c.example'\nmailbox='a@b.example'",
            "5: route[1].domain: is never reached",
        ),
    ],
)
def test_a_fault_is_told_with_line_key_and_remedy(text: str, expected: str, tmp_path: Path) -> None:
    told = faults(tmp_path, text)
    assert len(told) == 1
    assert told[0].startswith(expected)


@pytest.mark.parametrize(
    "network",
    ["10.0.0.0/8", "192.0.2.0/24", "fc00::/7", "fe80::/10", "2001:db8::/32", "::ffff:10.0.0.0/104", "::1/128"],
)
def test_networks_of_ones_own_are_trusted(network: str, tmp_path: Path) -> None:
    assert read(written(tmp_path, f"[smtp]\ntrusted_networks = ['{network}']")).smtp.trusted_networks


def test_listeners_of_both_families_on_one_port_do_not_collide(tmp_path: Path) -> None:
    text = "[[listen]]\nkind='smtp'\n[[listen]]\nkind='smtp'\naddress='::'\n"
    assert len(read(written(tmp_path, text)).listen) == 2


@pytest.mark.parametrize(
    ("octets", "expected"),
    [
        (b"a = 1\nb =\n", "2: is not valid TOML: "),
        (b"a = 1\r\n\r\nb ==\r\n", "3: is not valid TOML: "),
        (b"a = 1\na = 2\n", "2: is not valid TOML: cannot overwrite a value"),
        (b'a = "x', "1: is not valid TOML: "),
        (b"a = 1\nb = '\xff'\n", "2: is not UTF-8 text. Save the file as UTF-8."),
        (b"a = " + b"[" * 100_000, " is nested too deeply. "),
        (b"a = " + b"9" * 5000, " is not valid TOML: "),
    ],
)
def test_what_is_not_toml_is_told_with_its_line(octets: bytes, expected: str, tmp_path: Path) -> None:
    file = tmp_path / "estafeta.toml"
    file.write_bytes(octets)
    with pytest.raises(SettingsError) as caught:
        read(file)
    (fault,) = caught.value.faults
    assert str(fault).removeprefix(f"{file}:").startswith(expected)


def test_all_faults_are_told_at_once_in_the_order_of_the_file(tmp_path: Path) -> None:
    told = faults(
        tmp_path,
        """
hostname = "bad host"
[[listen]]
kind = "smtpp"
[[listen]]
kind = "pop3s"
[[listen]]
kind = "pop3s"
[smtp]
trusted_networks = ["x", "0.0.0.0/0"]
[smtp.limits]
hops = "many"
faults = -1
[route]
""",
        whole=True,
    )
    assert [line.split(": ")[:2] for line in told] == [
        ["2", "hostname"],
        ["4", "listen[0].kind"],
        ["6", "listen[1].kind"],
        ["7", "listen[2]"],
        ["8", "listen[2].kind"],
        ["10", "smtp.trusted_networks[0]"],
        ["10", "smtp.trusted_networks[1]"],
        ["12", "smtp.limits.hops"],
        ["13", "smtp.limits.faults"],
        ["14", "route"],
    ]


def test_listeners_are_not_blamed_for_a_table_of_tls_that_is_at_fault_itself(tmp_path: Path) -> None:
    told = faults(tmp_path, "[tls]\nkey = 5\ncertificate = 'x'\n[[listen]]\nkind = 'pop3s'", whole=True)
    assert len(told) == 1 and told[0].startswith("2: tls.key: must be ")


SERVED = "[[listen]]\nkind='submissions'\n[tls]\ncertificate = 'tls/server.pem'\nkey = 'tls/server.key'\n"


@pytest.fixture
def issued(tmp_path: Path) -> Issued:
    return issue(tmp_path / "tls", ["mx.example.org"])


def test_a_good_certificate_is_served(tmp_path: Path, issued: Issued) -> None:
    settings = load(written(tmp_path, f"data = 'mail'\n{SERVED}"))
    assert settings.tls is not None and settings.tls.certificate == issued.certificate


def test_a_server_without_listeners_is_not_started_but_its_file_can_be_read(tmp_path: Path) -> None:
    assert read(written(tmp_path, "data = 'mail'")).listen == ()
    assert "there is no listener" in faults(tmp_path, "data = 'mail'", whole=True)[0]


def test_an_expired_certificate_is_refused(tmp_path: Path) -> None:
    issue(tmp_path / "tls", ["mx.example.org"], now=datetime.now(UTC) - timedelta(days=800))
    (told,) = faults(tmp_path, f"data = 'mail'\n{SERVED}", whole=True)
    assert told.startswith("5: tls.certificate: the certificate expired on ")


def test_a_key_of_another_certificate_is_refused(tmp_path: Path, issued: Issued) -> None:
    other = issue(tmp_path / "other", ["mx.example.org"])
    issued.key.write_bytes(other.key.read_bytes())
    (told,) = faults(tmp_path, f"data = 'mail'\n{SERVED}", whole=True)
    assert told.startswith("6: tls.key: the key does not belong to the certificate. ")


def test_a_key_that_all_may_read_is_refused(tmp_path: Path, issued: Issued) -> None:
    issued.key.chmod(0o644)
    (told,) = faults(tmp_path, f"data = 'mail'\n{SERVED}", whole=True)
    assert "is open to every user of this machine" in told


def test_files_that_are_not_there_or_not_pem_are_told(tmp_path: Path, issued: Issued) -> None:
    issued.certificate.write_text("no certificate")
    (told,) = faults(tmp_path, f"data = 'mail'\n{SERVED}", whole=True)
    assert "has no PEM certificate" in told
    issued.certificate.unlink()
    (told,) = faults(tmp_path, f"data = 'mail'\n{SERVED}", whole=True)
    assert "cannot be read (no such file or directory)" in told


def test_a_data_directory_that_is_a_file_is_refused(tmp_path: Path, issued: Issued) -> None:
    (tmp_path / "mail").write_text("")
    (told,) = faults(tmp_path, f"data = 'mail'\n{SERVED}", whole=True)
    assert told.startswith("1: data: ") and "is not a directory" in told


def test_the_data_directory_is_found_without_judging_the_rest(tmp_path: Path) -> None:
    assert data_directory(written(tmp_path, "data = 'mail'\nnonsense = 1")) == tmp_path / "mail"
    with pytest.raises(SettingsError, match="data: must be text"):
        data_directory(written(tmp_path, "data = 1"))


def test_the_file_is_looked_for_where_it_may_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ESTAFETA_CONFIG", raising=False)
    written(tmp_path, "")
    assert find_config(None) == Path("estafeta.toml")
    monkeypatch.setenv("ESTAFETA_CONFIG", "/elsewhere.toml")
    assert find_config(None) == Path("/elsewhere.toml")
    assert find_config(Path("given.toml")) == Path("given.toml")


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be read: no such file or directory"):
        read(tmp_path / "none.toml")


def test_keys_are_written_as_a_person_writes_them() -> None:
    assert key_text(("listen", 0, "port")) == "listen[0].port"
    assert key_text(("smtp", "x y", 2)) == 'smtp."x y"[2]'
