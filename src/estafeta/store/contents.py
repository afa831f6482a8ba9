"""Contents as rows name them: read whole and held to their digests, so that none is ever changed silently."""

from __future__ import annotations

from collections.abc import Sequence

from estafeta.store.content import ContentStore
from estafeta.store.engine import Transaction
from estafeta.store.errors import NotFound, damaged
from estafeta.store.ids import IdSource
from estafeta.store.records import content_digest
from estafeta.store.statements import Statements

_sql = Statements("contents")


def whole(
    contents: ContentStore, content_id: int, octets: bytes | None, file: str | None, digest: bytes | None
) -> bytes:
    """The octets of a content, from its row. Raises Damaged where they are not what was written, NotFound."""
    if octets is None:
        assert file is not None
        octets = contents.read(file)
    if digest is not None and content_digest(octets) != digest:
        raise damaged(f"the content {IdSource.text(content_id)} is not what was written")
    return octets


def find_digests(tx: Transaction, contents: ContentStore, *, limit: int) -> list[tuple[int, bytes]]:
    """Ids and digests of some contents that were stored before there were any; one whose file is gone is left out."""
    found = []
    for content_id, octets, file in tx.run(_sql.without_digest, limit=limit):
        try:
            found.append((int(content_id), content_digest(octets if octets is not None else contents.read(file))))
        except NotFound:
            continue
    return found


def set_digests(tx: Transaction, found: Sequence[tuple[int, bytes]]) -> None:
    """Write down what was found."""
    tx.execute_many(_sql.set_digest, [{"content_id": content_id, "digest": digest} for content_id, digest in found])
