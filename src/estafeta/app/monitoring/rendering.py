"""How a line of the log is written: as text for people, or as one JSON document, with no secrets and no tricks.

What strangers say (names, replies of other hosts) stands in quotes where it has anything but plain characters, so that
no line looks like another. Values under names that are secrets are never written, nor what looks like a credential.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, MutableMapping
from datetime import UTC, datetime
from functools import lru_cache
from json.encoder import encode_basestring as _quote
from json.encoder import encode_basestring_ascii as quoted
from typing import Any, Final

from estafeta.net import narrator
from estafeta.store.ids import IdSource

MAX_VALUE: Final = 2000
"""Characters of one value; tracebacks and stacks are not cut."""
REDACTED: Final = "[redacted]"

_SECRET_NAMES = frozenset(
    (
        "authorization", "body", "challenge", "client_secret", "content", "credentials", "head", "initial", "key",
        "octets", "passphrase", "passwd", "password", "payload", "private_key", "response", "secret", "subject_line",
        "token",
    )
)  # fmt: skip
_SECRETS = re.compile(
    r"""(?ix)
    ( \b(?:AUTH|AUTHENTICATE) [ ]+ [\w-]+ [ ]+ ) [^\s"']+          # an initial response
    | ( \bLOGIN [ ]+ (?:"[^"]*"|[^\s"']+) [ ]+ ) (?:"[^"]*"|[^\s"']+)
    | ( \b(?:PASS|APOP) [ ]+ ) [^\r\n"']+
    | ( \bBearer [ ]+ ) [\w.~+/=-]+
    | ( \b(?:password|passwd|passphrase|client_secret|access_token|secret)["']? [ ]* [=:] [ ]* )
      (?:"[^"]*"|'[^']*'|[^\s,;"']+)
    """
)
_PLAIN = re.compile(r"[!#-<>-~]+")
"""Printable ASCII but quotes, blanks and the sign of equality."""
_LONG = ("exception", "stack")
_IDS = frozenset(("message", "recipient_id", "session"))


def without_secrets(text: str) -> str:
    """What looks like a credential is taken out: the second net, for lines that should have none."""
    return _SECRETS.sub(lambda found: next(filter(None, found.groups()), "") + REDACTED, text)


# As processors of structlog.


def about(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Add whom the line is about."""
    for name, value in narrator.facts().items():
        event.setdefault(name, value)
    return event


def redacted(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Take secrets out."""
    for name, value in event.items():
        if name in _SECRET_NAMES:
            event[name] = REDACTED
        elif isinstance(value, str):
            event[name] = without_secrets(value)
    return event


def text_rendered(_logger: object, _method: str, event: MutableMapping[str, Any]) -> str:
    """A line for people; a traceback follows on lines of its own."""
    timestamp, level = str(event.pop("timestamp", "")), str(event.pop("level", ""))
    blocks = [str(event.pop(name)) for name in _LONG if name in event]
    line = text_line(timestamp, level, str(event.pop("event", "")), event)
    return "\n".join((line, *blocks))


def json_rendered(_logger: object, _method: str, event: MutableMapping[str, Any]) -> str:
    """One JSON document."""
    timestamp, level = str(event.pop("timestamp", "")), str(event.pop("level", ""))
    return json_line(timestamp, level, str(event.pop("event", "")), event)


# Lines.


def text_line(timestamp: str, level: str, event: str, facts: Mapping[str, Any]) -> str:
    """`2026-01-02T03:04:05.678901Z [info    ] message accepted  message=... session=...`."""
    words = [f"{timestamp} {_happening(level, event)}"]
    for name, value in facts.items():
        words.append(f"{name}={_text(name, value)}")
    return " ".join(words)


@lru_cache(maxsize=256)
def _happening(level: str, event: str) -> str:
    return f"[{level:<8}] {event if event.isprintable() else _quote(event)}"


def json_line(timestamp: str, level: str, event: str, facts: Mapping[str, Any]) -> str:
    """`{"timestamp":"...","level":"info","event":"message accepted",...}`."""
    # An encoder for whole documents takes three times as long.
    words = [f'{{"timestamp":"{timestamp}","level":"{level}","event":{quoted(event)}']
    for name, value in facts.items():
        words.append(f"{quoted(name)}:{_json(_value(name, value))}")
    return ",".join(words) + "}"


def _json(value: Any) -> str:
    if type(value) is str:
        return quoted(value)
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return f"[{','.join(map(_json, value))}]"
    if isinstance(value, dict):
        inside = ",".join(f"{quoted(name)}:{_json(inner)}" for name, inner in value.items())
        return f"{{{inside}}}"
    return repr(value)


def _value(name: str, value: Any) -> Any:
    """As JSON has it: numbers and truths as they are, all else as text, and lists of these."""
    kind = type(value)
    if kind is str:
        return value if len(value) <= MAX_VALUE or name in _LONG else value[:MAX_VALUE] + "..."
    if kind is float:
        return round(value, 4)
    if kind is bool or value is None:
        return value
    if isinstance(value, int):
        return IdSource.text(value) if name in _IDS else int(value)
    if isinstance(value, list | tuple):
        return [_value("", each) for each in value]
    if isinstance(value, dict):
        return {str(inner): _value(str(inner), each) for inner, each in value.items()}
    return _value(name, str(value))


def _text(name: str, value: Any) -> str:
    kind = type(value)
    if kind is not str:
        if kind is int:
            return IdSource.text(value) if name in _IDS else str(value)
        if kind is float:
            return str(round(value, 4))
        if isinstance(value, list | tuple):
            return ",".join([_text("", each) for each in value]) or "-"
        if isinstance(value, dict):
            return _quote(_json(_value(name, value)))
        value = str(value)
    if name in _IDS and value.isascii() and value.isalnum():  # another one each time
        return str(value)
    return _word(value if len(value) <= MAX_VALUE or name in _LONG else value[:MAX_VALUE] + "...")


@lru_cache(maxsize=1024)
def _word(text: str) -> str:
    """The text, in quotes where it must be; remembered, as the same hosts and addresses come again and again."""
    return text if _PLAIN.fullmatch(text) else _quote(_visible(text))


def _visible(text: str) -> str:
    """Without characters that do not print, such as those that steer terminals."""
    return text if text.isprintable() else "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)


@lru_cache(maxsize=4)
def _second(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def timestamp_of(instant: float) -> str:
    """Seconds since 1970 as RFC 3339 has them, in UTC and to the microsecond."""
    micro = int(instant * 1_000_000)
    return f"{_second(micro // 1_000_000)}.{micro % 1_000_000:06}Z"
