"""Common mail, the same each time: six languages, threads, some of it with HTML beside the text or an attachment."""

from __future__ import annotations

import base64
import quopri
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.header import Header
from email.utils import format_datetime

_SYLLABLES = {
    "en": [
        "an",
        "the",
        "ing",
        "er",
        "ion",
        "ter",
        "ent",
        "ity",
        "ous",
        "ment",
        "al",
        "re",
        "pro",
        "con",
        "der",
        "for",
        "st",
    ],
    "es": ["ar", "ción", "es", "mos", "ña", "la", "do", "ra", "men", "te", "que", "pa", "tro", "ía", "con", "gu"],
    "de": [
        "ung",
        "sch",
        "ein",
        "ver",
        "über",
        "keit",
        "ge",
        "ten",
        "wer",
        "ß",
        "mü",
        "hof",
        "ter",
        "lich",
        "kun",
        "aus",
    ],
    "fr": ["eau", "tion", "é", "que", "ment", "ès", "our", "ai", "oi", "re", "la", "pré", "con", "vu", "ou", "ir"],
    "ru": ["ова", "ние", "при", "ста", "пере", "ого", "мен", "ть", "раз", "ка", "бо", "ли", "сть", "дом", "по", "ре"],
    "ja": ["京", "郵", "便", "局", "会", "議", "新", "日", "本", "語", "書", "類", "送", "付", "確", "認"],
}
_PEOPLE = 400
_WORDS = 4000
"""Words of each language; how often one is used falls with its rank (Zipf)."""
_START = datetime(2015, 1, 5, 8, 0, tzinfo=UTC)
_OPEN_THREADS = 300

SUBJECT_WORD = "almanac"
BODY_WORD = "quarry"
"""Each is in one message of a hundred."""


def letters(count: int, *, seed: int = 1) -> Iterator[tuple[datetime, bytes]]:
    """When each message came, and its octets."""
    chance = random.Random(seed)
    languages = {name: _Language(chance, syllables) for name, syllables in _SYLLABLES.items()}
    names = list(languages)
    people = [_person(chance, languages[chance.choice(names)]) for _ in range(_PEOPLE)]
    threads: list[tuple[str, str, list[str]]] = []  # language, subject, message ids
    moment = _START
    for number in range(count):
        moment += timedelta(seconds=chance.randrange(30, 4000))
        message_id = f"<{number:06d}.{chance.getrandbits(48):012x}@mail{chance.randrange(40)}.bench.test>"
        if threads and chance.random() < 0.6:
            name, subject, references = chance.choice(threads)
            shown = f"Re: {subject}"
        else:
            name, references = chance.choice(names), []
            shown = subject = " ".join(languages[name].some(chance.randrange(2, 8)))
            if chance.random() < 0.01:
                shown = subject = f"{subject} {SUBJECT_WORD}"
            threads = [*threads[-_OPEN_THREADS:], (name, subject, references)]
        head = _head(chance, people, moment, shown, message_id, references[-10:])
        references.append(message_id)
        yield moment, head + _body(chance, languages[name])


class _Language:
    def __init__(self, chance: random.Random, syllables: list[str]) -> None:
        self._words = ["".join(chance.choices(syllables, k=chance.randrange(1, 5))) for _ in range(_WORDS)]
        self._weights = [1 / (rank + 3) for rank in range(_WORDS)]
        self._chance = chance
        self._store: list[str] = []

    def some(self, count: int) -> list[str]:
        """That many words of running text."""
        if len(self._store) < count:
            self._store = self._chance.choices(self._words, self._weights, k=20_000)
        taken = self._store[-count:]
        del self._store[-count:]
        return taken


def _person(chance: random.Random, language: _Language) -> str:
    name = " ".join(word.title() for word in language.some(2))
    shown = f'"{name}"' if name.isascii() else Header(name, "utf-8").encode()
    return f"{shown} <user{chance.randrange(10_000)}@host{chance.randrange(60)}.bench.test>"


def _head(
    chance: random.Random, people: list[str], moment: datetime, subject: str, message_id: str, references: list[str]
) -> bytes:
    date = format_datetime(moment)
    lines = [f"Return-Path: <user{chance.randrange(10_000)}@bench.test>"]
    lines += [
        f"Received: from relay{chance.randrange(90)}.bench.test (bench.test [192.0.2.{chance.randrange(250)}])\r\n"
        f"\tby mx.bench.test with ESMTPS id {chance.getrandbits(60):015x}\r\n\tfor <foo@bench.test>; {date}"
        for _ in range(chance.randrange(1, 4))
    ]
    lines += [f"Date: {date}", f"From: {chance.choice(people)}", f"To: {chance.choice(people)}"]
    if chance.random() < 0.3:
        lines.append("Cc: " + ",\r\n ".join(chance.sample(people, chance.randrange(1, 5))))
    lines.append(f"Subject: {subject}" if subject.isascii() else f"Subject: {Header(subject, 'utf-8').encode()}")
    lines[-1] = lines[-1].replace("\r\n", "\n").replace("\n", "\r\n")
    lines.append(f"Message-ID: {message_id}")
    if references:
        lines += [f"In-Reply-To: {references[-1]}", "References: " + "\r\n\t".join(references)]
    if chance.random() < 0.2:
        lines.append(f"List-Id: <list{chance.randrange(20)}.bench.test>")
    lines.append("MIME-Version: 1.0")
    return "\r\n".join(lines).encode() + b"\r\n"


def _body(chance: random.Random, language: _Language) -> bytes:
    size = int(600 * 10 ** chance.uniform(0, 0.9))
    text = _text(chance, language, size)
    kind = chance.random()
    if kind < 0.6:
        return _part("text/plain; charset=utf-8", text)
    between = f"=_{chance.getrandbits(64):016x}"
    if kind < 0.85:
        html = b"<html><body><p>" + text.replace(b"\r\n\r\n", b"</p>\r\n<p>") + b"</p></body></html>\r\n"
        subtype = "alternative"
        parts = [_part("text/plain; charset=utf-8", text), _part("text/html; charset=utf-8", html)]
    else:
        data = base64.encodebytes(chance.randbytes(chance.randrange(300, 3000))).replace(b"\n", b"\r\n")
        attached = (
            b'Content-Type: application/pdf; name="report.pdf"\r\nContent-Transfer-Encoding: base64\r\n'
            b'Content-Disposition: attachment; filename="report.pdf"\r\n\r\n' + data
        )
        subtype, parts = "mixed", [_part("text/plain; charset=utf-8", text), attached]
    line = f"--{between}"
    whole = f'Content-Type: multipart/{subtype}; boundary="{between}"\r\n\r\n'.encode()
    return whole + b"".join(line.encode() + b"\r\n" + part for part in parts) + f"{line}--\r\n".encode()


def _part(media_type: str, text: bytes) -> bytes:
    if text.isascii():
        encoding, encoded = "7bit", text
    elif sum(octet > 127 for octet in text) * 3 < len(text):
        encoding = "quoted-printable"
        encoded = quopri.encodestring(text.replace(b"\r\n", b"\n")).replace(b"\n", b"\r\n")
    else:
        encoding, encoded = "base64", base64.encodebytes(text).replace(b"\n", b"\r\n")
    return f"Content-Type: {media_type}\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n".encode() + encoded


def _text(chance: random.Random, language: _Language, size: int) -> bytes:
    words = []
    while size > 0:
        words += language.some(10)
        size -= len(" ".join(words[-10:]).encode()) + 1
    if chance.random() < 0.01:
        words.append(BODY_WORD)
    lines: list[str] = []
    while words:
        length = chance.randrange(6, 12)
        lines.append(" ".join(words[:length]))
        words = words[length:]
        if chance.random() < 0.15:
            lines.append("")
    return "\r\n".join([*lines, "", ""]).encode()
