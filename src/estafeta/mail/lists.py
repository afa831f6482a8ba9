"""The header fields of a simple list (RFC 2369, RFC 2919), and by them a post that comes back to its list.

The fields go before a message whose octets stay as they are. Addresses in them are percent-encoded (RFC 6068), so
that no address, whatever it holds, leaves its place or needs UTF-8.
"""

from __future__ import annotations

import re
from functools import lru_cache
from urllib.parse import quote

from estafeta.mail.address import Address
from estafeta.mail.header import fields
from estafeta.mail.value import value

# RFC 5322 §3.2.3: dot-atom-text, of which RFC 2919 §3 makes a List-Id.
_ATOM = "!#$%&'*+-/=?^_`{|}~"
_DOT_ATOM = re.compile(rf"[0-9A-Za-z{re.escape(_ATOM)}]+(?:\.[0-9A-Za-z{re.escape(_ATOM)}]+)*")
_BRACKETED = re.compile(r"<([^<>]*)>")
_BLANK = re.compile(r"\s+")


@value
class Listed:
    """A list that mail goes through: the address that it is posted to, and who gets its notifications."""

    address: Address
    owner: Address


@lru_cache(maxsize=1024)
def list_id(address: Address) -> str:
    """The List-Id of the list with this address, without its brackets: `team.example.org` for team@example.org.

    What a dot-atom cannot hold is percent-encoded, so that each list has an id of its own.
    """
    return f"{_label(address.local_part)}.{_label(address.domain)}"


# Departs from RFC 2369 §4: the fields of a list that the message came through before stay, below ours.
@lru_cache(maxsize=1024)
def list_fields(listed: Listed) -> bytes:
    """The fields that go before a message on its way through the list, each with CRLF."""
    post, owner = _mailto(listed.address), _mailto(listed.owner)
    leave = f"{owner}?subject={quote(f'unsubscribe {listed.address}', safe='')}"
    return (
        f"List-Id: <{list_id(listed.address)}>\r\n"  # RFC 2919 §3
        f"List-Post: <{post}>\r\n"  # RFC 2369 §3.4
        f"List-Owner: <{owner}>\r\n"  # RFC 2369 §3.5
        f"List-Unsubscribe: <{leave}>\r\n"  # RFC 2369 §3.2
        "Precedence: list\r\n"  # outside of any standard, and what vacation replies look for (RFC 3834 §2)
    ).encode("ascii")


def is_from_list(head: bytes, listed: Listed) -> bool:
    """Whether the header section says that the message has been through this list already.

    Ids are compared without regard to case (RFC 2919 §6); of several List-Id fields any counts.
    """
    if b"list-id" not in head.lower():
        return False
    wanted = list_id(listed.address).lower()
    for field in fields(head):
        if field.name.lower() == "list-id":
            text = _BLANK.sub("", field.body.decode("utf-8", "replace")).lower()
            if wanted == text or wanted in _BRACKETED.findall(text):
                return True
    return False


def _label(text: str) -> str:
    if _DOT_ATOM.fullmatch(text):
        return text.replace("%", "%25")
    return quote(text, safe=_ATOM.replace("%", "")).replace(".", "%2E")


def _mailto(address: Address) -> str:
    # RFC 6068 §2: addr-spec, of which all but the unreserved may be percent-encoded.
    local_part, _, domain = str(address).rpartition("@")
    return f"mailto:{quote(local_part, safe='')}@{quote(domain, safe='')}"
