"""The replies of the world, explained: each as hosts really say it, and every word for both languages."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from estafeta.mail.explanations import TEXTS, Language, explain
from estafeta.mail.known_replies import KNOWN
from estafeta.mail.reply import EnhancedStatusCode, Reply

# What hosts say, by what it means.
REAL = {
    "google-unauthenticated": [
        "550 5.7.26 This mail has been blocked because the sender is unauthenticated.",
    ],
    "dmarc": [
        "550 5.7.26 Unauthenticated email from x.org is not accepted due to domain's\nDMARC policy.",
        "550 5.7.509 Access denied, sending domain x.org does not pass DMARC verification",
        "550 5.7.0 rejected by DMARC policy for x.org",
    ],
    "google-suspected": [
        "550 5.7.1 [192.0.2.1] Our system has detected that this message is likely unsolicited mail.",
        "550 5.7.1 due to the very low reputation of the sending\ndomain this message was blocked",
    ],
    "google-rate": [
        "421 4.7.28 Our system has detected an unusual rate of unsolicited mail from your IP address.",
        "421 4.7.0 192.0.2.1 Try again later, closing connection. (EHLO)",
    ],
    "unknown-mailbox": [
        "550 5.1.1 The email account that you tried to reach does not exist. Please try",
        "550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient not found by SMTP address lookup",
        "550 5.5.0 Requested action not taken: mailbox unavailable (S2017062302).",
        "554 delivery error: dd This user doesn't have a yahoo.com account (bob@yahoo.com) [0]",
        "550 User unknown in virtual mailbox table",
        "550 5.1.1 <bob@y.org>: Recipient address rejected: User unknown in local recipient table",
        "550 No Such User Here",
        "550 Unrouteable address",
        "511 sorry, no mailbox here by that name (#5.1.1)",
    ],
    "mailbox-disabled": [
        "550 5.2.1 The email account that you tried to reach is inactive.",
        "550 5.2.1 mailbox disabled",
        "550 This account has been suspended",
    ],
    "mailbox-full": [
        "452 4.2.2 The recipient's inbox is out of storage space.",
        "552 5.2.2 The email account that you tried to reach is over quota.",
        "554 5.2.2 mailbox full; STOREDRV.Deliver.Exception:QuotaExceededException.MapiExceptionQuota",
    ],
    "mailbox-flooded": [
        "450 4.2.1 The user you are trying to contact is receiving mail too quickly.",
        "450 4.2.1 is receiving mail at a rate that prevents additional messages",
    ],
    "dangerous-content": [
        "552 5.7.0 This message was blocked because its content presents a potential\nsecurity issue.",
        "554 5.6.0 Your message contains a virus (Eicar)",
        "550 5.7.1 attachment type .exe is not allowed here",
    ],
    "reverse-dns": [
        "550 5.7.25 The IP address sending this message does not have a PTR record",
        "450 4.7.25 Client host rejected: cannot find your hostname, [192.0.2.1]",
        "554 no PTR record for 192.0.2.1",
    ],
    "too-large": [
        "552 5.2.3 Your message exceeded Google's message size limits.",
        "552 5.3.4 Message size exceeds fixed limit",
        "552 message too big",
    ],
    "microsoft-blocked": [
        "550 5.7.606 Access denied, banned sending IP [192.0.2.1].",
        "550 5.7.708 Access denied, traffic not accepted from this IP.",
        "550 5.7.1 Unfortunately, messages from [192.0.2.1] weren't sent. Please contact your Internet"
        " service provider since part of their network is on our block list (S3150).",
    ],
    "microsoft-rate": [
        "451 4.7.650 The mail server [192.0.2.1] has been temporarily rate limited due to IP reputation.",
    ],
    "microsoft-unknown-mailbox": [
        "550 5.4.1 Recipient address rejected: Access denied. [x.prod.protection.outlook.com]",
    ],
    "unauthenticated": [
        "550 5.7.515 Access denied, sending domain X.ORG doesn't meet the required authentication level.",
    ],
    "relay-denied": [
        "550 5.7.64 TenantAttribution; Relay Access Denied [ValidationStatus of '' is EmptyCertificate]",
        "554 5.7.1 <bob@y.org>: Relay access denied",
        "550 relaying denied",
    ],
    "restricted-address": [
        "550 5.7.133 RESOLVER.RST.SenderNotAuthenticatedForGroup; authentication required",
        "550 5.7.1 You are not authorized to send to this group",
    ],
    "spam-suspected": [
        "550 5.7.520 Access denied, Your organization does not allow external forwarding. Spam",
        "550 5.7.1 This message looks like SPAM",
    ],
    "yahoo-deferred": [
        "421 4.7.0 [TSS04] Messages from 192.0.2.1 temporarily deferred due to unexpected volume",
    ],
    "yahoo-policy": [
        "554 5.7.9 Message not accepted for policy reasons. See https://senders.yahooinc.com/error-codes",
    ],
    "spamhaus": [
        "553 5.7.1 [BL21] Connections will not be accepted from 192.0.2.1",
        "554 5.7.1 Service unavailable; Client host [192.0.2.1] blocked using zen.spamhaus.org",
        "550 Blocked - see https://www.spamhaus.org/query/ip/192.0.2.1",
    ],
    "apple-policy": [
        "550 5.7.1 [CS01] Message rejected due to local policy. Please visit https://support.apple.com",
        "554 5.7.1 [HM08] Message rejected due to local policy.",
    ],
    "barracuda": [
        "554 Service unavailable; Client host [192.0.2.1] blocked using Barracuda Reputation",
        "550 http://www.barracudanetworks.com/reputation/?pr=1&ip=192.0.2.1",
    ],
    "listed-server": [
        "554 5.7.1 Client host blocked using bl.spamcop.net",
        "550 5.7.1 Your IP is on our blacklist",
    ],
    "bad-link": [
        "550 5.7.1 Mail contained a URL rejected by SURBL. See dbl.spamhaus.org",
    ],
    "spf": [
        "550 5.7.23 The message was rejected because of Sender Policy Framework violation",
        "550 5.7.1 SPF check failed: 192.0.2.1 is not allowed to send mail from x.org",
    ],
    "dkim": [
        "550 5.7.20 no passing signature",
        "550 5.7.1 DKIM signature did not verify",
    ],
    "bad-greeting": [
        "504 5.5.2 <localhost>: Helo command rejected: need fully-qualified hostname",
    ],
    "bad-sender": [
        "450 4.1.8 <ana@x.org>: Sender address rejected: Domain not found",
        "550 Sender verify failed",
    ],
    "tls-demanded": [
        "530 5.7.0 Must issue a STARTTLS command first",
    ],
    "login-needed": [
        "530 5.7.1 Authentication required",
    ],
    "sender-takes-no-mail": [
        "550 5.7.27 x.org has a null MX",
    ],
    "moved": [
        "551 we have moved",
    ],
    "takes-no-mail": [
        "556 domain does not accept mail",
        "550 5.1.10 null MX",
    ],
    "greylisted": [
        "450 4.2.0 <bob@y.org>: Recipient address rejected: Greylisted, see http://postgrey.schweikert.ch",
        "451 Please try again in 300 seconds",
    ],
    "loop": [
        "554 5.4.6 Too many hops",
        "554 mail loops back to myself",
    ],
    "too-many-recipients": [
        "452 4.5.3 Too many recipients",
    ],
    "rate-limited": [
        "421 Too many connections from your host",
    ],
    "server-full": [
        "452 4.3.1 Insufficient system storage",
    ],
    "needs-utf8": [
        "550 5.6.7 SMTPUTF8 needed",
    ],
    "bad-format": [
        "550 Messages should comply with RFC 5322",
    ],
    "misconfigured": [
        "451 4.3.0 Temporary lookup failure",
    ],
    "protocol": [
        "501 Syntax error in parameters",
    ],
    "policy": [
        "550 5.7.1 Rejected by policy",
    ],
    "refused": [
        "550 no",
        "554 5.0.0 go away",
    ],
    "put-off": [
        "454 4.9.9 not now",
    ],
}

# Our own words: status, text, where it ended.
OURS = [
    ("4.4.1", "connection to 192.0.2.1 refused: Connection refused", "connect", "connection-refused"),
    ("4.4.1", "connecting to 192.0.2.1 timed out", "connect", "no-answer"),
    ("4.4.1", "Network is unreachable", "connect", "no-route"),
    ("4.4.2", "the connection to mx.example.net broke after DATA", "DATA", "connection-broken"),
    ("5.1.2", "the domain example.invalid does not exist", "DNS", "unknown-domain"),
    ("4.4.3", "the name server failed", "DNS", "dns-failure"),
    ("5.4.4", "no address is known of mx.example.net", "DNS", "no-route"),
    ("5.4.6", "the hosts of example.net are this server", "DNS", "loop"),
    ("5.1.10", "example.net takes no mail", "DNS", "takes-no-mail"),
    ("4.7.5", "TLS with mx.example.net failed: certificate verify failed", "TLS", "tls-failed"),
    ("4.7.4", "mx.example.net does not offer TLS, which MTA-STS demands", "STARTTLS", "tls-not-offered"),
    ("5.7.30", "REQUIRETLS needed: no host of the destination offers it", "MAIL", "tls-required-by-sender"),
    ("5.6.7", "the next host does not take internationalized mail (SMTPUTF8)", "MAIL", "needs-utf8"),
    ("5.6.3", "the next host takes 7-bit mail only", "MAIL", "not-convertible"),
    ("5.3.4", "message larger than the server announced to take", "MAIL", "too-large"),
    ("4.4.7", "it could not be delivered in the time that it may take", "", "expired"),
    ("4.3.5", "the gateway for this mail is not set up", "policy", "our-trouble"),
]


def read(said: str) -> Reply:
    code, status, text = re.fullmatch(r"(\d{3}) (?:(\d\.\d+\.\d+) )?(.*)", said, re.DOTALL).groups()  # type: ignore[union-attr]
    return Reply.of(int(code), text, status)


@pytest.mark.parametrize(("key", "said"), [(key, said) for key, replies in REAL.items() for said in replies])
def test_replies_of_the_world_are_understood(key: str, said: str) -> None:
    reply = read(said)
    told = {language: explain(reply, "RCPT", language) for language in Language}
    assert {explanation.key for explanation in told.values()} == {key}
    assert told[Language.EN].why != told[Language.ES].why


@pytest.mark.parametrize(("status", "text", "stage", "key"), OURS)
def test_our_own_reasons_are_understood(status: str, text: str, stage: str, key: str) -> None:
    reply = Reply.of(451 if status[0] == "4" else 550, text, status)
    assert explain(reply, stage, Language.EN, is_remote=False).key == key


def test_the_trouble_of_a_host_is_not_ours() -> None:
    reply = Reply.of(451, "oops", "4.3.5")
    assert explain(reply, "RCPT", Language.EN).key == "misconfigured"
    assert explain(reply, "RCPT", Language.EN, is_remote=False).key == "our-trouble"


def test_an_address_is_not_taken_for_words() -> None:
    reply = Reply.of(550, "<spam@spamhaus.example>: User unknown in table", "5.0.0")
    assert explain(reply, "RCPT", Language.EN).key == "unknown-mailbox"


def test_every_text_is_there_in_every_language_and_is_used() -> None:
    keys = {record.key for record in KNOWN} | {"refused", "put-off"}
    for language in Language:
        assert set(TEXTS[language]) == keys
        for key, (why, what_to_do) in TEXTS[language].items():
            for text in (why, what_to_do):
                assert re.fullmatch(r"[A-ZÁÉÍÓÚ¿].*[.?)]", text), key
                assert "  " not in text and text.isprintable(), key
    assert not set(TEXTS[Language.EN].values()) & set(TEXTS[Language.ES].values())


@pytest.mark.rfc("3463 §3", "Every registered status code is explained to people.")
@pytest.mark.rfc("7372", "Its status codes are explained to people.")
@pytest.mark.rfc("8617", "Its status code is explained to people.")
@pytest.mark.parametrize("detail", range(31))
@pytest.mark.parametrize("subject", range(8))
def test_every_registered_status_has_an_explanation(subject: int, detail: int) -> None:
    # RFC 3463 §3, and what was registered since: those that say something are told by more than their first digit.
    reply = Reply(554, EnhancedStatusCode(5, subject, detail), ("no",))
    key = explain(reply, "RCPT", Language.EN).key
    details = {1: {0, 1, 2, 3, 4, 6, 7, 8, 10}, 2: {0, 1, 2, 3, 4}, 3: {0, 1, 2, 3, 4, 5}, 4: set(range(1, 8))}
    details |= {5: {0, 1, 2, 3, 4, 5, 6}, 6: set(range(11))}
    details |= {7: set(range(31)) - {14}}
    assert (key != "refused") == (detail in details.get(subject, set()))


@given(st.integers(400, 599), st.text(max_size=300), st.sampled_from(["", "RCPT", "connect", "DNS", "TLS"]))
def test_whatever_is_said_there_is_an_explanation(code: int, text: str, stage: str) -> None:
    for language in Language:
        explanation = explain(Reply.of(code, text), stage, language)
        assert (explanation.why, explanation.what_to_do) == TEXTS[language][explanation.key]


@pytest.mark.parametrize(
    "piece", ["a@", "user ", "not local ", "exceed ", "reputation ", "spf ", "<", " ", "x", "message-id "]
)
def test_hostile_replies_take_no_long_time(piece: str) -> None:
    reply = Reply(550, None, tuple([piece * 1000] * 50))
    began = time.process_time()
    explain(reply, "RCPT", Language.EN)
    assert time.process_time() - began < 1
