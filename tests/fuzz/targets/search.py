"""Whatever a message holds and whatever is asked for: the index gives each message that who reads it finds, no other
where it says that it is exact, and what is asked for is never read as a question to the database."""

from __future__ import annotations

import tempfile
from pathlib import Path

from tests.fuzz.inputs import Input

from estafeta.access.imap.searching import plain
from estafeta.mail.mime.index import index
from estafeta.mail.mime.text import folded, searchable
from estafeta.store.search import Place, SearchIndex
from estafeta.store.search.words import question, texts, words
from estafeta.wire.imap.searching import Contains, Where

IN_DATABASE, HEADER, PART = range(3)
"""Flags: the index itself is asked; the octets are a header section; a part of the message is asked for."""
_PLACES = {
    Where.SUBJECT: (Place.SUBJECT,),
    Where.FROM: (Place.FROM,),
    Where.TO: (Place.TO,),
    Where.BODY: (Place.BODY,),
    Where.TEXT: (Place.HEADER, Place.BODY),
}
_OTHER = b"From: luis@example.net\r\nSubject: something else\r\n\r\nNothing of it.\r\n"


def check_words(octets: bytes, asked: str) -> None:
    """The words of the message against the question, without the database."""
    wanted = question(asked)
    for where, places in _PLACES.items():
        by_place = dict(zip(Place, texts(searchable(octets, index(octets))), strict=True))
        known = [words(by_place[place]) for place in places]
        is_candidate = all(any(part in word for found in known for word in found) for part in wanted.parts)
        does = plain.matches(octets, Contains(where, asked))
        assert is_candidate or not does, (where, asked)
        if wanted.is_exact:
            assert does == is_candidate, (where, asked)


def check_database(octets: bytes, asked: str) -> None:
    """Two messages in an index."""
    contents = {1: octets, 2: _OTHER, 3: _OTHER + octets}
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as folder:
        made = SearchIndex(Path(folder, "index"))
        try:
            made.add([(number, searchable(each, index(each))) for number, each in contents.items()])
            for where, places in _PLACES.items():
                found = made.candidates(places, asked)
                for number, each in contents.items():
                    does = plain.matches(each, Contains(where, asked))
                    is_candidate = found.ids is None or number in found.ids
                    assert is_candidate or not does, (where, asked, number)
                    assert does == is_candidate or not found.is_exact, (where, asked, number)
        finally:
            made.close()


def run(octets: bytes) -> None:
    """One input: what is asked for, 0xFE, the message."""
    given = Input.of(octets)
    asked, _, message = given.octets.partition(b"\xfe")
    if not given.has(HEADER):
        message = b"Subject: " + message.partition(b"\r\n")[0] + b"\r\n\r\n" + message
    text = asked.decode("utf-8", "ignore")
    if given.has(PART):
        body = folded(searchable(message, index(message)).body)
        text = body[given.cut & 63 :][: 1 + (given.cut >> 2)]
    text = folded(text)
    check_words(message, text)
    if given.has(IN_DATABASE):
        check_database(message, text)
