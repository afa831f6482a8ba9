"""Contents held to their digests, and what becomes of messages whose content is not what it was.

Such a content is never given out as if it were whole: it goes to quarantine, its messages leave their mailboxes, and
queued mail is held without it.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Collection
from pathlib import Path

import apsw

from estafeta.store.engine import Row
from estafeta.store.ids import IdSource
from estafeta.store.records import content_digest, new_digest
from estafeta.store.repair.cells import Value
from estafeta.store.repair.quarantine import Quarantine
from estafeta.store.repair.report import Affected, Place, Report

_PIECE = 1 << 20

_GONE = "damaged-"
"""What the names begin with of files that are not there, of contents that held mail had."""

NOT_ITS_OCTETS = "its octets are not those that were taken"
NO_FILE = "its file {file} is missing"
UNREADABLE = "its file {file} cannot be read: {reason}"


class Contents:
    """All contents of a database that is being mended."""

    def __init__(self, connection: apsw.Connection, data: Path, quarantine: Quarantine, report: Report) -> None:
        self._connection = connection
        self._folder = data / "content"
        self._quarantine = quarantine
        self._report = report
        self._places: dict[int, list[Place]] = defaultdict(list)
        """Where messages were whose rows are lost, by content."""
        self._paths: dict[int, list[str]] = defaultdict(list)
        """For whom lost rows of the queue were, by content."""
        self.missing: Counter[tuple[str, str]] = Counter()
        """How many messages are lost of which something is known, by account and mailbox."""
        self._done: set[int] = set()
        """Contents that are in the report."""
        self._files: set[Path] = set()
        """Content files that are in quarantine."""
        self.touched: set[int] = set()
        """Mailboxes from which messages were taken."""
        self.unverified = 0
        """Contents without a digest: only their size tells."""

    def _run(self, text: str, **values: Value) -> list[Row]:
        return self._connection.execute(text, values).fetchall()

    # What the mending finds.

    def was_at(self, content_id: int, mailbox_id: int, uid: int) -> None:
        """A message of this content was in a mailbox, and its row is lost."""
        place = self._place(mailbox_id, uid)
        self._places[content_id].append(place)
        self.missing[place.account, place.mailbox] += 1

    def was_queued(self, message_id: int, path: str) -> None:
        """A recipient waited whose row is lost; `message_id` is that of the content or of its envelope."""
        found = self._run("SELECT content_id FROM queued_messages WHERE message_id = :id", id=message_id)
        content_id = found[0][0] if found else message_id
        self._paths[content_id].append(path)

    def quarantine(self, content_id: int, wrong: str) -> None:
        """Take a content into quarantine whose messages nobody can be given."""
        self._keep(content_id, wrong)

    def hold(self, recipient_id: int, why: str) -> None:
        """Let a queued recipient wait for the operator, and report it."""
        rows = self._run(
            "SELECT m.content_id, m.reverse_path, r.forward_path, m.accepted_at FROM queued_recipients AS r"
            " JOIN queued_messages AS m ON m.message_id = r.message_id WHERE r.recipient_id = :id",
            id=recipient_id,
        )
        self._run(
            "UPDATE queued_recipients SET status = 'held', last_reply = :why WHERE recipient_id = :id",
            id=recipient_id,
            why=f"estafeta repair: {why}",
        )
        for content_id, reverse_path, path, at in rows:
            self._report.held.append(
                Affected(IdSource.text(content_id), why, str(reverse_path), (str(path),), at, (Place(""),))
            )

    # What is looked at.

    def check(self, doubtful: Collection[int] = ()) -> None:
        """Hold every content to its digest and its size, and take away those that do not fit.

        Of those without a digest the doubtful ones are taken away.
        """
        has_digest = bool(self._run("SELECT 1 FROM pragma_table_info('contents') WHERE name = 'digest'"))
        digest = "digest" if has_digest else "NULL"
        bad: list[tuple[int, str]] = []
        rows = self._connection.execute(f"SELECT content_id, size, octets, file, {digest} FROM contents")  # noqa: S608
        for content_id, size, octets, file, expected in rows:
            wrong = self._wrong(int(size), octets, file, expected)
            if wrong is None and expected is None and content_id in doubtful:
                wrong = "it has no digest, and its octets may be those of another"
            if wrong is not None:
                bad.append((int(content_id), wrong))
        for content_id, wrong in bad:
            self._take_away(content_id, wrong)

    def _wrong(self, size: int, octets: bytes | None, file: str | None, expected: bytes | None) -> str | None:
        if file is not None and file.startswith(_GONE):  # told of by an earlier repair
            return None
        if octets is not None:
            found, length = content_digest(octets), len(octets)
        elif file is not None:
            try:
                found, length = _digest_of(self._path(file))
            except FileNotFoundError:
                return NO_FILE.format(file=file)
            except (OSError, ValueError) as error:
                return UNREADABLE.format(file=file, reason=str(error))
        else:
            return NOT_ITS_OCTETS
        if expected is None:
            self.unverified += 1
        if length != size:
            return f"of its {size} octets {length} are there" if length < size else NOT_ITS_OCTETS
        return None if expected is None or found == bytes(expected) else NOT_ITS_OCTETS

    def _path(self, file: str) -> Path:
        """As ContentStore keeps it. Raises ValueError for what is no name of a file."""
        if "/" in file or "\0" in file or not file:
            raise ValueError("it has no name")
        return self._folder / file[-2:] / file

    def _take_away(self, content_id: int, wrong: str) -> None:
        self._keep(content_id, wrong)
        rows = self._run("SELECT mailbox_id FROM messages WHERE content_id = :id", id=content_id)
        self.touched.update(mailbox_id for (mailbox_id,) in rows if isinstance(mailbox_id, int))
        self._run("DELETE FROM messages WHERE content_id = :id", id=content_id)
        if not self._hold_all(content_id, wrong):
            self._run("DELETE FROM descriptions WHERE content_id = :id", id=content_id)
            self._run("DELETE FROM contents WHERE content_id = :id", id=content_id)

    def _hold_all(self, content_id: int, wrong: str) -> bool:
        """Hold what is queued of a content that must not go on; False where nothing is."""
        self._run(
            "DELETE FROM queued_messages WHERE content_id = :id AND NOT EXISTS"
            " (SELECT 1 FROM queued_recipients AS r WHERE r.message_id = queued_messages.message_id)",
            id=content_id,
        )
        envelopes = self._run(
            "SELECT max(size - length(prefix), 0) FROM queued_messages WHERE content_id = :id", id=content_id
        )
        if not envelopes:
            return False
        # A name that no file has: whoever lets the recipients go sends nothing, and their sender learns of it in time.
        values = {"id": content_id, "size": envelopes[0][0], "file": f"{_GONE}{IdSource.text(content_id)}"}
        self._run(
            "INSERT INTO contents (content_id, size, file) VALUES (:id, :size, :file)"
            " ON CONFLICT (content_id) DO UPDATE SET octets = NULL, file = :file",
            **values,
        )
        for (recipient_id,) in self._run(
            "SELECT r.recipient_id FROM queued_recipients AS r JOIN queued_messages AS m"
            " ON m.message_id = r.message_id WHERE m.content_id = :id",
            id=content_id,
        ):
            self.hold(recipient_id, wrong)
        return True

    # What is left over.

    def finish(self, *, is_salvaged: bool) -> None:
        """Report the messages whose rows are lost; `is_salvaged`: take contents that nothing names for theirs."""
        if is_salvaged:
            for (content_id,) in self._run(
                "SELECT content_id FROM contents AS c WHERE NOT EXISTS"
                " (SELECT 1 FROM messages AS m WHERE m.content_id = c.content_id) AND NOT EXISTS"
                " (SELECT 1 FROM queued_messages AS q WHERE q.content_id = c.content_id)"
            ):
                self._keep(content_id, "it is not known whose it was, or whether it was removed before")
                self._run("DELETE FROM contents WHERE content_id = :id", id=content_id)
        for content_id in sorted({*self._places, *self._paths} - self._done):
            if self._run("SELECT 1 FROM contents WHERE content_id = :id", id=content_id):
                # Others have it still; this is for those who have lost it.
                self._keep(content_id, "it was lost to some who had it")
            else:
                self._done.add(content_id)
                self._report.lost.append(self._affected(content_id, "nothing is left of it", None))
        for content_id in self._contentless():
            self._done.add(content_id)
            self._report.lost.append(self._affected(content_id, "nothing is left of it", None))
            rows = self._run("SELECT mailbox_id FROM messages WHERE content_id = :id", id=content_id)
            self.touched.update(mailbox_id for (mailbox_id,) in rows if isinstance(mailbox_id, int))
            self._run("DELETE FROM messages WHERE content_id = :id", id=content_id)
            self._hold_all(content_id, "nothing is left of its content")

    def _contentless(self) -> list[int]:
        rows = self._run(
            "SELECT content_id FROM messages UNION SELECT content_id FROM queued_messages"
            " EXCEPT SELECT content_id FROM contents"
        )
        return [content_id for (content_id,) in rows if isinstance(content_id, int)]

    def keep_unnamed_files(self) -> None:
        """Keep files that no row names: rows that did may be lost, and they are swept when the store is opened."""
        if not self._folder.is_dir():
            return
        named = {str(file) for (file,) in self._run("SELECT file FROM contents WHERE file IS NOT NULL")}
        for folder in sorted(self._folder.iterdir()):
            for path in sorted(folder.iterdir()) if folder.is_dir() else ():
                if path.name in named or path in self._files:
                    continue
                name = self._quarantine.keep_file(f"file-{path.name}", path)
                self._add(
                    Affected("", "a content file that no row names: its row may be lost, or a crash left it", file=name)
                )

    # Quarantine.

    def _keep(self, content_id: int, wrong: str) -> None:
        """Put what is left of a content into quarantine, once, and report it."""
        if content_id in self._done:
            return
        self._done.add(content_id)
        rows = self._run("SELECT octets, file FROM contents WHERE content_id = :id", id=content_id)
        octets, file = rows[0] if rows else (None, None)
        name, kept = IdSource.text(content_id) if content_id >= 0 else str(content_id), None
        try:
            if isinstance(octets, bytes) and octets:
                kept = self._quarantine.keep(name, octets)
            elif isinstance(file, str) and self._path(file).exists():
                kept = self._quarantine.keep_file(name, self._path(file))
                self._files.add(self._path(file))
        except ValueError:  # no name of a file
            kept = None
        affected = self._affected(content_id, wrong, kept)
        if kept is None:
            self._report.lost.append(affected)
        else:
            self._add(affected)

    def _add(self, affected: Affected) -> None:
        self._quarantine.describe(affected)
        self._report.quarantined.append(affected)

    def _affected(self, content_id: int, wrong: str, file: str | None) -> Affected:
        """What is known of a content: where it is or was, for whom, and what the journal tells."""
        places = list(self._places.get(content_id, ()))
        for mailbox_id, uid in self._run("SELECT mailbox_id, uid FROM messages WHERE content_id = :id", id=content_id):
            places.append(self._place(mailbox_id, uid))
        reverse_path, recipients, at = None, list(self._paths.get(content_id, ())), None
        for facts, entry_at in self._run("SELECT facts, at FROM journal WHERE entry_id = :id", id=content_id):
            told = json.loads(str(facts))
            at = entry_at if isinstance(entry_at, float) else None
            if isinstance(told, dict):
                reverse_path = told.get("reverse_path")
                for one in told.get("recipients") or ():
                    if isinstance(one, dict) and one.get("forward_path"):
                        recipients.append(str(one["forward_path"]))
        for path, queued_path, queued_at in self._run(
            "SELECT r.forward_path, m.reverse_path, m.accepted_at FROM queued_messages AS m JOIN queued_recipients AS r"
            " ON r.message_id = m.message_id WHERE m.content_id = :id",
            id=content_id,
        ):
            recipients.append(str(path))
            reverse_path = reverse_path if reverse_path is not None else str(queued_path)
            at = at if at is not None or not isinstance(queued_at, float) else queued_at
        text = IdSource.text(content_id) if content_id >= 0 else str(content_id)
        return Affected(
            text,
            wrong,
            None if reverse_path is None else str(reverse_path),
            tuple(dict.fromkeys(recipients)),
            at,
            tuple(places),
            file,
        )

    def _place(self, mailbox_id: int, uid: int) -> Place:
        rows = self._run(
            "SELECT d.address, b.name FROM mailboxes AS b LEFT JOIN addresses AS d ON d.account_id = b.account_id"
            " WHERE b.mailbox_id = :id",
            id=mailbox_id,
        )
        account, name = rows[0] if rows else (None, None)
        return Place(str(account or ""), str(name or IdSource.text(mailbox_id)), uid)


def _digest_of(path: Path) -> tuple[bytes, int]:
    """The digest of a file, and its length. Raises OSError."""
    digest, length = new_digest(), 0
    with path.open("rb", buffering=0) as file:
        while piece := file.read(_PIECE):
            digest.update(piece)
            length += len(piece)
    return digest.digest(), length
