"""BURL: a piece of the content comes out of a mailbox of ours (RFC 4468).

Only URLs of this house are fetched, from its own store: those that their makers signed for who asks (RFC 4467), and
the user's own messages by URLs that are not signed (RFC 4468 §3.3).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from estafeta.agents import transaction
from estafeta.agents.chronicle import Reason
from estafeta.mail.catalogue import contents
from estafeta.mail.reply import Reply
from estafeta.store import accounts, links
from estafeta.store.engine import Transaction
from estafeta.store.errors import StoreError
from estafeta.store.links import Elsewhere, LinkFailed
from estafeta.wire.smtp import events

if TYPE_CHECKING:
    from estafeta.agents.session import Session


async def on_burl(session: Session, event: events.Burl) -> None:
    """What the URL names goes on as a chunk of BDAT would."""
    draft = session.draft
    assert draft is not None
    incoming = transaction.incoming_of(session, draft)
    octets = await _fetch(session, event.url, most=session.environment.limits.message_size - incoming.size)
    if not isinstance(octets, bytes):
        session.decide("burl", "", *octets)
        if event.is_last:
            session.drop_draft()
        return
    incoming.write(octets)
    end = session.engine.supply(octets)
    if isinstance(end, events.EndOfData):
        await transaction.on_end_of_data(session, end)
    else:
        await transaction.on_end_of_chunk(session, end, contents.PIECE_TAKEN)


async def _fetch(session: Session, url: str, *, most: int) -> bytes | tuple[Reply, Reason, str]:
    """The octets, or why not."""
    environment, address = session.environment, session.peer.account
    assert address is not None

    def query(tx: Transaction) -> bytes:
        account = accounts.find(tx, address)
        asker = links.Asker(account, environment.hostname, environment.clock(), is_submission=True)
        return links.fetch(tx, environment.store.content, url, asker, most=most)

    try:
        return await environment.store.read(query)
    except Elsewhere:
        return contents.URL_ELSEWHERE, Reason.URL_REFUSED, links.shown(url)
    except links.TooLarge:
        return contents.TOO_LARGE, Reason.TOO_LARGE, ""
    except LinkFailed as error:
        return contents.URL_FAILED, Reason.URL_REFUSED, f"{error}: {links.shown(url)}"
    except StoreError as error:
        return contents.URL_LATER, Reason.STORE_FAILED, str(error)
