"""IMAP URLs: the examples of the standards, and what is no URL of a message."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from estafeta.wire.imap.url import MAX_URL, BadUrl, ImapUrl, UrlSection, parse


@pytest.mark.rfc("5092 §11", "The examples of the standard are read.")
def test_the_examples_of_the_standard_are_read() -> None:
    url = parse("imap://minbari.example.org/gray-council;UIDVALIDITY=385759045/;UID=20/;PARTIAL=0.1024")
    assert (url.host, url.mailbox, url.uid_validity, url.uid) == ("minbari.example.org", "gray-council", 385759045, 20)
    assert (url.partial, url.user, url.section) == ((0, 1024), None, None)
    url = parse("imap://psicorp.example.org/~peter/%E6%97%A5%E6%9C%AC%E8%AA%9E/%E5%8F%B0%E5%8C%97;UID=5")
    assert url.mailbox == "~peter/日本語/台北"
    url = parse("imap://;AUTH=GSSAPI@minbari.example.org/gray-council/;uid=20/;section=1.2")
    assert (url.user, url.mailbox, url.uid, url.section) == ("", "gray-council", 20, UrlSection((1, 2), ""))
    url = parse("imap://michael@example.org/INBOX/;uid=20/;section=HEADER.FIELDS%20(From%20To)")
    assert (url.user, url.mailbox, url.section) == ("michael", "INBOX", UrlSection((), "HEADER.FIELDS", ("From", "To")))
    assert parse("/gray-council;UID=20").host is None
    assert parse(";UID=20/;SECTION=TEXT").section == UrlSection((), "TEXT")
    assert parse("imap://[2001:db8::1]:1143/inbox;UID=1") == ImapUrl(
        "INBOX", 1, None, "[2001:db8::1]", 1143, rump="imap://[2001:db8::1]:1143/inbox;UID=1"
    )


@pytest.mark.rfc(
    "4467 §3", "What is signed is the URL up to the mechanism; access, mechanism and token stand behind it."
)
def test_a_signed_url_is_read() -> None:
    rump = "imap://joe@example.com/INBOX/;uid=20/;section=1.2;expire=2026-02-01T00:00:00%2B01:00;urlauth=submit+fred"
    url = parse(f"{rump}:internal:91354a473744909de610943775f92038")
    assert (url.access, url.mechanism, url.rump) == ("submit+fred", "internal", rump)
    assert url.token == "91354a473744909de610943775f92038"
    assert url.expires_at == 1769900400.0
    assert parse(rump).token is None and parse(rump).rump == rump
    zulu = parse("imap://a/b;UID=1;EXPIRE=2026-02-01T00:00:00.5Z;URLAUTH=anonymous")
    assert (zulu.expires_at, zulu.access) == (1769904000.0, "anonymous")


@pytest.mark.parametrize(
    "text",
    [
        "imap://", "imap://host", "imap:/a;UID=1", "http://a/b;UID=1", "a;UID=1", "imap://a/b;UID=x",
        "imap://a/b;UID=1/;SECTION=1.", "imap://a/b;UID=1/;SECTION=MIME", "imap://a/b;UID=1/;SECTION=HEADER.FIELDS",
        "imap://a/b;UID=1/;SECTION=1TEXT", "imap://a/b;UID=1/;SECTION=TEXT%20(a)", "imap://a/%FF;UID=1",
        "imap://a/%00;UID=1", "imap://a/b;UID=1;EXPIRE=soon", "imap://a/b;UID=1;EXPIRE=2026-02-30T00:00:00Z",
        "imap://a/b c;UID=1", "imap://a/é;UID=1", "/" + "x" * MAX_URL,
    ],
)  # fmt: skip
def test_what_is_no_url_of_a_message_is_refused(text: str) -> None:
    with pytest.raises(BadUrl):
        parse(text)


@given(st.text("imap:/;UID=SECTONPRLVHYXuid.%0123456789 ()@[]", max_size=60).map(lambda text: "imap://a/" + text))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        parse(text)
    except BadUrl as error:
        assert str(error)
