"""Fields by their names: the quick way agrees with the plain one."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from estafeta.mail.mime.choosing import chooser
from estafeta.mail.mime.fields import selected

_PIECES = st.sampled_from(
    [b"From", b"from", b"To", b"X-From", b":", b": a", b" ", b"\t", b"\r\n", b"\n", b"\r", b"\r\n ", b"\xff", b"Fro"]
)
_NAMES = st.sampled_from([("From",), ("from", "TO"), ("To", "x-from", "fro"), ("fr:om",), ("",), ("Größe", "from")])


@given(st.lists(_PIECES, max_size=24).map(b"".join), _NAMES, st.booleans())
def test_it_agrees_with_the_plain_definition(header: bytes, names: tuple[str, ...], others: bool) -> None:
    assert chooser(names, others=others)(header) == selected(header, names, others=others)


def test_fields_come_in_their_order_with_their_folds() -> None:
    header = b"Received: one\r\n\tfolded\r\nSubject: s\r\nRECEIVED : two\r\nFrom: f\r\n\r\n"
    assert chooser(("from", "received"))(header) == b"Received: one\r\n\tfolded\r\nRECEIVED : two\r\nFrom: f\r\n\r\n"


def test_many_names() -> None:
    header = b"X-7: seven\r\nX-99: more\r\n\r\n"
    assert chooser([f"x-{number}" for number in range(90)])(header) == b"X-7: seven\r\n\r\n"
