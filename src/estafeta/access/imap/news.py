"""What a session is told of its mailbox unasked: EXPUNGE or VANISHED, EXISTS, RECENT, FLAGS, FETCH (RFC 9051 §7).

The order is that of RFC 9051 §7.5: numbers in FETCH are those after what EXPUNGE and EXISTS told.
"""

from __future__ import annotations

from collections.abc import Iterator

from estafeta.access.imap.selected import Selected, Update
from estafeta.access.imap.snapshot import Snapshot
from estafeta.store.flags import DELETED, SEEN, SYSTEM
from estafeta.wire.imap.writing import number_set

_AT_ONCE = 2_000
"""Messages told of in one piece: a millisecond."""


def expunged(update: Update, *, vanished: bool) -> Iterator[bytes]:
    """What is gone: by UIDs where the client knows VANISHED (RFC 7162 §3.2.10), else by numbers."""
    if not update.expunged:
        return
    if vanished:
        yield b"* VANISHED %b\r\n" % number_set(update.expunged)
        return
    # From the last to the first, so that each number is what it was before.
    found = map(update.before.position, reversed(update.expunged))
    numbers = [position + 1 for position in found if position is not None]
    for start in range(0, len(numbers), _AT_ONCE):
        yield b"".join([b"* %d EXPUNGE\r\n" % number for number in numbers[start : start + _AT_ONCE]])


def flags(selected: Selected, view: Snapshot) -> bytes:
    """FLAGS and PERMANENTFLAGS (RFC 9051 §7.3.5, §7.1)."""
    names = [name.encode() for name in SYSTEM] + [name.encode() for _, name in view.keywords.names]
    return b"* FLAGS (%b)\r\n* OK [PERMANENTFLAGS (%b)] Flags permitted\r\n" % (
        b" ".join(names),
        b" ".join(_permanent(selected, view)),
    )


def _permanent(selected: Selected, view: Snapshot) -> list[bytes]:
    """The flags that the client can change for good, by its rights (RFC 4314 §5.1.1)."""
    if selected.is_read_only:
        return []
    needed = {SEEN: "s", DELETED: "t"}
    names = [name.encode() for name, bit in SYSTEM.items() if needed.get(bit, "w") in selected.rights]
    if "w" in selected.rights:
        names += [name.encode() for _, name in view.keywords.names]
        names.append(b"\\*")
    return names


def changed(
    selected: Selected, update: Update, *, is_uid_only: bool, has_uid: bool, has_modseq: bool, has_recent: bool
) -> Iterator[bytes]:
    """FETCH of other flags; UIDFETCH where numbers are not used (RFC 9586 §3.3)."""
    view, uids = update.view, update.changed
    for start in range(0, len(uids), _AT_ONCE):
        lines = []
        for uid in uids[start : start + _AT_ONCE]:
            position = view.position(uid)
            assert position is not None
            text = view.keywords.wire(view.flags[position])
            if has_recent and selected.is_recent(uid):
                text = b"\\Recent " + text if text else b"\\Recent"
            parts = b"FLAGS (%b)" % text
            if has_uid and not is_uid_only:
                parts = b"UID %d %b" % (uid, parts)
            if has_modseq:
                parts = b"%b MODSEQ (%d)" % (parts, view.modseqs[position])
            if is_uid_only:
                lines.append(b"* %d UIDFETCH (%b)\r\n" % (uid, parts))
            else:
                lines.append(b"* %d FETCH (%b)\r\n" % (position + 1, parts))
        yield b"".join(lines)
