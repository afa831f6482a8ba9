"""Whatever of a message, a line or an answer is repeated up to 128 KiB: who reads it takes time in proportion to its
size, and not a multiple of what an honest one of that size takes."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import suppress

from tests.fuzz.inputs import Input, in_time, stretched

from estafeta.mail.address import Address, AddressError
from estafeta.mail.downgrade import CannotDowngrade, to_seven_bit
from estafeta.mail.header import authors, fields, header_facts
from estafeta.mail.lists import Listed, is_from_list
from estafeta.mail.mime.addresses import addresses
from estafeta.mail.mime.decoding import base64, quoted_printable
from estafeta.mail.mime.description import describe
from estafeta.mail.mime.fields import selected
from estafeta.mail.mime.html import html_text
from estafeta.mail.mime.index import index
from estafeta.mail.mime.sorting import base_subject, message_ids, sent_at
from estafeta.mail.mime.text import folded, header_text, searchable
from estafeta.mail.readable import Readable, readable
from estafeta.mail.screen import screenful
from estafeta.mail.xtext import from_unitext, from_xtext
from estafeta.policy.jwks import signing_keys
from estafeta.routing.sts import StsError, StsPolicy, policy_id
from estafeta.store.search.words import question, words
from estafeta.wire.imap.names import BadName, decoded
from estafeta.wire.imap.url import BadUrl, parse

SIZE = 128 * 1024
TRACED = 4096
"""Octets where each line of our code is traced, so that an input's steps are known in a moment."""
SECONDS = 2.5
"""Honest ones take a tenth of that at most."""
_LIST = Listed(Address("team", "example.org"), Address("owner", "example.org"))
_REFUSED = (AddressError, BadName, BadUrl, CannotDowngrade, StsError, ValueError)


def _text(read: Callable[[str], object]) -> Callable[[bytes], object]:
    return lambda octets: read(octets.decode("utf-8", "replace"))


READERS: tuple[Callable[[bytes], object], ...] = (
    index,
    describe,
    lambda octets: searchable(octets, index(octets)),
    readable,
    to_seven_bit,
    lambda octets: to_seven_bit(octets, is_binary=True),
    header_facts,
    fields,
    authors,
    lambda octets: is_from_list(octets, _LIST),
    lambda octets: addresses([octets]),
    lambda octets: selected(octets, ("Subject", "a")),
    sent_at,
    message_ids,
    header_text,
    base64,
    quoted_printable,
    _text(base_subject),
    _text(html_text),
    _text(folded),
    _text(lambda text: words(folded(text))),
    _text(question),
    _text(lambda text: screenful(text, Readable(text, True, text), lines=24, columns=80)),
    _text(Address.parse),
    _text(from_xtext),
    _text(from_unitext),
    _text(decoded),
    _text(parse),
    _text(StsPolicy.parse),
    _text(lambda text: policy_id((text,))),
    signing_keys,
)
"""By the cut of an input."""


def run(octets: bytes) -> None:
    """One input: what is repeated stands between two marks."""
    given = Input.of(octets)
    read = READERS[given.cut % len(READERS)]
    message = stretched(given.octets, SIZE if sys.gettrace() is None else TRACED)
    with in_time(SECONDS), suppress(*_REFUSED):
        read(message)
