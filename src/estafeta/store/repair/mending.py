"""Makes a database of salvaged rows true again: owners, references, counters, the queue, and what clients were told.

Each step leaves out as little as can be, and says what it left out. Contents are looked at by `contents.py`.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable

import apsw

from estafeta.store import journal, mailboxes
from estafeta.store.engine import Row
from estafeta.store.ids import IdSource
from estafeta.store.records import AccountId, Instant
from estafeta.store.repair.cells import Value
from estafeta.store.repair.contents import Contents
from estafeta.store.repair.rebuilding import Rebuilt, born_at
from estafeta.store.repair.report import Report
from estafeta.store.sqlite import SqliteTransaction

_NO_DOMAIN = "recovered.invalid"
"""The domain of addresses that were lost, where no domain is left either; nobody has it."""
_SAMPLE = 200
"""Messages of a mailbox by which its owner is guessed."""
_STEP = 1000
_LEAP = 100_000
"""UIDs and MODSEQs that are passed over where the newest changes are lost: more than fit into a write-ahead log, so
that none that a client has seen is given again."""


class Mending:
    """The steps, on one connection without foreign keys."""

    def __init__(
        self,
        connection: apsw.Connection,
        ids: IdSource,
        rebuilt: Rebuilt,
        report: Report,
        contents: Contents,
        *,
        clock: Callable[[], float],
        is_log_damaged: bool,
    ) -> None:
        self._connection = connection
        self._rebuilt = rebuilt
        self._report = report
        self._contents = contents
        self._clock = clock
        self._leap = _LEAP if is_log_damaged else 0
        self._tx = SqliteTransaction(connection, ids)
        self._tx.begin(is_direct=True)

    def run(self) -> None:
        """All of it; the caller has begun a transaction. Raises apsw.Error, OSError, StoreError."""
        self._owners()
        self._mailboxes()
        self._messages()
        self._queue()
        self._count_unnamed()
        self._contents.check(self._rebuilt.doubtful_contents)
        self._contents.finish(is_salvaged=True)
        self._inboxes()
        self._references()
        self._numbers()
        self._index_journal()

    def _run(self, text: str, **values: Value) -> list[Row]:
        return self._connection.execute(text, values).fetchall()

    def _do(self, text: str, **values: Value) -> int:
        self._connection.execute(text, values).fetchall()
        return int(self._connection.changes())

    def _is_hurt(self, *tables: str) -> bool:
        return any(table in self._rebuilt.hurt for table in tables)

    # Who is there.

    def _owners(self) -> None:
        """Domains of addresses, accounts of addresses, addresses of accounts."""
        for domain_id, address in self._run(
            "SELECT domain_id, min(address) FROM addresses AS a"
            " WHERE NOT EXISTS (SELECT 1 FROM domains AS d WHERE d.domain_id = a.domain_id) GROUP BY domain_id"
        ):
            name = str(address).rpartition("@")[2].lower()
            known = self._run("SELECT domain_id FROM domains WHERE name = :name", name=name)
            if known:
                self._do("UPDATE addresses SET domain_id = :to WHERE domain_id = :id", to=known[0][0], id=domain_id)
            elif isinstance(domain_id, int):
                self._add_domain(domain_id, name)
        for account_id, address in self._run(
            "SELECT account_id, address FROM addresses AS d WHERE account_id IS NOT NULL"
            " AND NOT EXISTS (SELECT 1 FROM accounts AS a WHERE a.account_id = d.account_id)"
        ):
            self._do(
                "INSERT INTO accounts (account_id, is_enabled, created_at) VALUES (:id, 1, :at)",
                id=account_id,
                at=born_at(account_id),
            )
            self._report.remade.append(f"the account {address}, enabled and without quotas")
        for (alias,) in self._run(
            "SELECT DISTINCT alias FROM alias_members AS m"
            " WHERE NOT EXISTS (SELECT 1 FROM addresses AS d WHERE d.address = m.alias)"
        ):
            self._add_address(str(alias), None)
            self._report.remade.append(f"the alias {alias}")
        if self._is_hurt("addresses"):
            self._name_accounts()

    def _name_accounts(self) -> None:
        """Accounts without an address would be taken for ones that are being removed."""
        for (account_id,) in self._run(
            "SELECT account_id FROM accounts AS a"
            " WHERE NOT EXISTS (SELECT 1 FROM addresses AS d WHERE d.account_id = a.account_id)"
        ):
            inboxes = self._run(
                "SELECT mailbox_id FROM mailboxes WHERE account_id = :id AND name = :name",
                id=account_id,
                name=mailboxes.INBOX,
            )
            told = self._recipient_of(inboxes[0][0], self._is_free) if inboxes else None
            domains = self._run("SELECT name FROM domains ORDER BY created_at")
            domain = str(domains[0][0]) if domains else _NO_DOMAIN
            address = told or f"recovered-{IdSource.text(account_id)}@{domain}"
            self._add_address(address, account_id)
            self._report.remade.append(
                f"the address of an account, {address}"
                + (", by the mail in its INBOX" if told else ", which is made up")
            )

    def _is_free(self, address: str) -> bool:
        domain = address.rpartition("@")[2]
        is_ours = bool(self._run("SELECT 1 FROM domains WHERE name = :name", name=domain))
        return is_ours and not self._run("SELECT 1 FROM addresses WHERE address = :address", address=address)

    def _has_account(self, address: str) -> bool:
        return bool(
            self._run("SELECT 1 FROM addresses WHERE address = :address AND account_id IS NOT NULL", address=address)
        )

    def _recipient_of(self, mailbox_id: Value, is_fit: Callable[[str], bool]) -> str | None:
        """To whom most messages of a mailbox were sent, as the journal tells; None where that is not one alone."""
        found: Counter[str] = Counter()
        told = 0
        for (facts,) in self._run(
            "SELECT j.facts FROM messages AS m JOIN journal AS j ON j.entry_id = m.message_id"
            " WHERE m.mailbox_id = :mailbox_id ORDER BY m.uid DESC LIMIT :limit",
            mailbox_id=mailbox_id,
            limit=_SAMPLE,
        ):
            told += 1
            found.update({one for one in recipients_in(facts) if is_fit(one)})
        best = found.most_common(2)
        if not best or best[0][1] * 2 <= told or (len(best) > 1 and best[1][1] == best[0][1]):
            return None
        return best[0][0]

    def _add_domain(self, domain_id: int, name: str) -> None:
        self._do(
            "INSERT INTO domains (domain_id, name, created_at) VALUES (:id, :name, :at)",
            id=domain_id,
            name=name,
            at=born_at(domain_id),
        )
        self._report.remade.append(f"the domain {name}, without its catch-all")

    def _add_address(self, address: str, account_id: int | None) -> None:
        name = address.rpartition("@")[2].lower()
        if not self._run("SELECT 1 FROM domains WHERE name = :name", name=name):
            self._add_domain(self._tx.ids.next_id(), name)
        self._do(
            "INSERT INTO addresses (address, domain_id, account_id)"
            " SELECT :address, domain_id, :account FROM domains WHERE name = :name",
            address=address.lower(),
            account=account_id,
            name=name,
        )

    # Mailboxes.

    def _mailboxes(self) -> None:
        """A mailbox for messages whose own is lost, where its account is known."""
        self._do(
            "DELETE FROM mailboxes WHERE NOT EXISTS"
            " (SELECT 1 FROM accounts AS a WHERE a.account_id = mailboxes.account_id)"
        )
        for (mailbox_id,) in self._run(
            "SELECT DISTINCT mailbox_id FROM messages AS m"
            " WHERE NOT EXISTS (SELECT 1 FROM mailboxes AS b WHERE b.mailbox_id = m.mailbox_id)"
        ):
            account_id = self._account_of(mailbox_id)
            if account_id is None:
                self._quarantine_mailbox(mailbox_id)
                continue
            name = f"Recovered {IdSource.text(mailbox_id)}"
            self._do(
                "INSERT INTO mailboxes (mailbox_id, account_id, name, uid_validity, uid_next, highest_modseq, messages,"
                " octets) VALUES (:id, :account, :name, 1, 1, 1, 0, 0)",
                id=mailbox_id,
                account=account_id,
                name=name,
            )
            self._do(
                "INSERT OR IGNORE INTO subscriptions (account_id, name) VALUES (:id, :name)", id=account_id, name=name
            )
            self._rebuilt.renumbered.add(mailbox_id)
            owner = self._run("SELECT address FROM addresses WHERE account_id = :id", id=account_id)
            of = f" of {owner[0][0]}" if owner else ""
            self._report.remade.append(f"a mailbox{of}, whose name is lost, as {name}")

    def _account_of(self, mailbox_id: int) -> int | None:
        for text in (
            "SELECT account_id FROM url_keys WHERE mailbox_id = :id LIMIT 1",
            "SELECT account_id FROM metadata WHERE mailbox_id = :id AND account_id <> 0 LIMIT 1",
        ):
            rows = self._run(text, id=mailbox_id)
            if rows and self._run("SELECT 1 FROM accounts WHERE account_id = :id", id=rows[0][0]):
                return int(rows[0][0])
        address = self._recipient_of(mailbox_id, self._has_account)
        if address is None:
            return None
        return int(self._run("SELECT account_id FROM addresses WHERE address = :address", address=address)[0][0])

    def _quarantine_mailbox(self, mailbox_id: int) -> None:
        for (content_id,) in self._run(
            "SELECT DISTINCT content_id FROM messages WHERE mailbox_id = :id", id=mailbox_id
        ):
            self._contents.quarantine(content_id, "it is not known whose mailbox it was in")
        self._do("DELETE FROM messages WHERE mailbox_id = :id", id=mailbox_id)

    def _inboxes(self) -> None:
        """Every account has an INBOX."""
        if not self._is_hurt("mailboxes", "accounts", "addresses"):
            return
        for (account_id,) in self._run(
            "SELECT a.account_id FROM accounts AS a WHERE EXISTS"
            " (SELECT 1 FROM addresses AS d WHERE d.account_id = a.account_id) AND NOT EXISTS"
            " (SELECT 1 FROM mailboxes AS b WHERE b.account_id = a.account_id AND b.name = :name)",
            name=mailboxes.INBOX,
        ):
            self._do("INSERT OR IGNORE INTO counters (name, value) VALUES ('uid_validity', 0)")
            mailboxes.add(self._tx, AccountId(account_id), mailboxes.INBOX, now=Instant(self._clock()))
            self._report.remade.append("an INBOX, which is empty")

    # Messages.

    def _messages(self) -> None:
        for mailbox_id, uid in self._rebuilt.doubtful_messages:
            self._do(
                "DELETE FROM messages WHERE mailbox_id = :box AND uid = :uid AND EXISTS (SELECT 1 FROM expunged AS e"
                " WHERE e.mailbox_id = :box AND :uid BETWEEN e.first_uid AND e.last_uid)",
                box=mailbox_id,
                uid=uid,
            )
        if self._is_hurt("messages"):
            # What the sizes of row and content do not agree on is not the row that was written.
            for mailbox_id, uid, content_id in self._run(
                "SELECT m.mailbox_id, m.uid, m.content_id FROM messages AS m JOIN contents AS c"
                " ON c.content_id = m.content_id WHERE m.size <> length(m.prefix) + c.size"
            ):
                self._do("DELETE FROM messages WHERE mailbox_id = :box AND uid = :uid", box=mailbox_id, uid=uid)
                self._rebuilt.missing_messages[mailbox_id, uid] = content_id
        self._name_missing()

    def _name_missing(self) -> None:
        """Messages of which only an index tells: their content goes to quarantine when nothing else has it."""
        for (mailbox_id, uid), content_id in self._rebuilt.missing_messages.items():
            if self._run("SELECT 1 FROM messages WHERE mailbox_id = :box AND uid = :uid", box=mailbox_id, uid=uid):
                continue
            known = self._run(
                "SELECT 1 FROM expunged WHERE mailbox_id = :box AND :uid BETWEEN first_uid AND last_uid",
                box=mailbox_id,
                uid=uid,
            )
            if not known:
                self._contents.was_at(content_id, mailbox_id, uid)

    def _count_unnamed(self) -> None:
        """What mailboxes said that they had."""
        for address, name, count in self._run(
            "SELECT d.address, b.name,"
            " b.messages - (SELECT count(*) FROM messages AS m WHERE m.mailbox_id = b.mailbox_id)"
            " FROM mailboxes AS b JOIN addresses AS d ON d.account_id = b.account_id"
        ):
            unnamed = count - self._contents.missing[str(address), str(name)]
            if unnamed > 0:
                self._report.unnamed[f"{address} {name}"] = unnamed

    # The queue.

    def _queue(self) -> None:
        self._remake_envelopes()
        for recipient_id, message_id, path in self._run(
            "SELECT recipient_id, message_id, forward_path FROM queued_recipients AS r"
            " WHERE NOT EXISTS (SELECT 1 FROM queued_messages AS m WHERE m.message_id = r.message_id)"
        ):
            self._contents.was_queued(message_id, str(path))
            self._do("DELETE FROM queued_recipients WHERE recipient_id = :id", id=recipient_id)
        for message_id, path in self._rebuilt.missing_recipients.values():
            found = self._run("SELECT content_id FROM queued_messages WHERE message_id = :id", id=message_id)
            content_id = found[0][0] if found else message_id
            self._contents.was_queued(content_id, path)
        if self._is_hurt("queued_recipients", "queued_messages"):
            self._do(
                "DELETE FROM queued_messages WHERE NOT EXISTS"
                " (SELECT 1 FROM queued_recipients AS r WHERE r.message_id = queued_messages.message_id)"
            )
        for recipient_id in self._rebuilt.doubtful_recipients:
            self._contents.hold(recipient_id, "it is not certain that it was still waiting, or for whom")
        self._do("UPDATE queued_recipients SET holder_id = NULL, review_at = coalesce(review_at, next_attempt_at)")

    def _remake_envelopes(self) -> None:
        """A lost row of the queue, of mail that went on under the envelope that it came with: the journal has that."""
        for message_id, facts, at, size in self._run(
            "SELECT DISTINCT r.message_id, j.facts, j.at, c.size FROM queued_recipients AS r"
            " JOIN journal AS j ON j.entry_id = r.message_id JOIN contents AS c ON c.content_id = r.message_id"
            " WHERE NOT EXISTS (SELECT 1 FROM queued_messages AS m WHERE m.message_id = r.message_id)"
        ):
            reverse_path = json.loads(str(facts)).get("reverse_path")
            # Of a redacted entry it is not told any more.
            if not isinstance(reverse_path, str) or not (reverse_path in ("", "<>") or "@" in reverse_path):
                continue
            self._do(
                "INSERT INTO queued_messages (message_id, content_id, reverse_path, accepted_at, size, smtputf8,"
                " requires_tls, priority, prefix) VALUES (:id, :id, :path, :at, :size, :utf8, 0, 0, x'')",
                id=message_id,
                path="" if reverse_path in ("", "<>") else reverse_path,
                at=at,
                size=size,
                utf8=int(not reverse_path.isascii()),
            )
            for (recipient_id,) in self._run(
                "SELECT recipient_id FROM queued_recipients WHERE message_id = :id", id=message_id
            ):
                self._contents.hold(recipient_id, "its envelope was made again from the journal")

    # What refers to what is gone.

    def _references(self) -> None:
        """Leave out rows that refer to rows that are not there."""
        tables = [
            str(name)
            for (name,) in self._run("SELECT name FROM pragma_table_list WHERE schema = 'main' AND type = 'table'")
        ]
        changed = True
        while changed:
            changed = False
            for table in tables:
                for parent, child_column, parent_column in self._run(
                    'SELECT "table", "from", "to" FROM pragma_foreign_key_list(:table)', table=table
                ):
                    # The names are those of the schema.
                    gone = self._do(
                        f"DELETE FROM {table} WHERE {child_column} IS NOT NULL AND NOT EXISTS"  # noqa: S608
                        f" (SELECT 1 FROM {parent} AS p WHERE p.{parent_column} = {table}.{child_column})"
                    )
                    if gone:
                        changed = True
                        if table not in ("messages", "queued_messages", "queued_recipients"):
                            self._report.lost_rows[table] = self._report.lost_rows.get(table, 0) + gone

    # Numbers.

    def _numbers(self) -> None:
        """Counters of mailboxes, and numbers that must never be given again."""
        self._do("INSERT OR IGNORE INTO counters (name, value) VALUES ('directory_version', 1)")
        self._do("INSERT OR IGNORE INTO counters (name, value) VALUES ('uid_validity', 0)")
        self._do("INSERT OR IGNORE INTO counters (name, value) VALUES ('redacted_id', 0)")
        self._do("UPDATE counters SET value = value + 1 WHERE name = 'directory_version'")
        self._do(
            "UPDATE counters SET value = max(value, coalesce((SELECT max(uid_validity) FROM mailboxes), 0))"
            " WHERE name = 'uid_validity'"
        )
        for mailbox_id, uid in self._rebuilt.missing_messages:
            self._do(
                "UPDATE mailboxes SET uid_next = max(uid_next, :next) WHERE mailbox_id = :id",
                id=mailbox_id,
                next=uid + 1,
            )
        self._do(
            "UPDATE mailboxes SET uid_next = uid_next + :leap, highest_modseq = highest_modseq + :leap", leap=self._leap
        )
        count_again(self._connection, None)
        for mailbox_id in self._rebuilt.renumbered:
            # RFC 9051 §2.3.1.1: what a client remembers of it is worth nothing under a greater UIDVALIDITY.
            self._do(
                "UPDATE counters SET value = max(value + 1, :now) WHERE name = 'uid_validity'", now=int(self._clock())
            )
            self._do(
                "UPDATE mailboxes SET uid_validity = (SELECT value FROM counters WHERE name = 'uid_validity')"
                " WHERE mailbox_id = :id",
                id=mailbox_id,
            )

    def _index_journal(self) -> None:
        after: int | None = 0
        while after is not None:
            after = journal.index_again(self._tx, after, _STEP)


def miscounted(connection: apsw.Connection) -> list[int]:
    """The mailboxes whose counters are not what they hold."""
    return [int(str(mailbox_id)) for (mailbox_id,) in connection.execute(_MISCOUNTED)]


def count_again(connection: apsw.Connection, mailbox_ids: Iterable[int] | None) -> None:
    """Count what mailboxes hold anew, and let clients that were away be told of all that is gone (RFC 7162 §3.2.7).

    None: all mailboxes.
    """
    if mailbox_ids is None:
        connection.execute(_COUNTED.format(which="")).fetchall()
        connection.execute(_CHANGED.format(which="")).fetchall()
        return
    for mailbox_id in mailbox_ids:
        connection.execute(_COUNTED.format(which="AND t.id = :id"), {"id": mailbox_id}).fetchall()
        connection.execute(_CHANGED.format(which="WHERE mailbox_id = :id"), {"id": mailbox_id}).fetchall()


_COUNTED = """
UPDATE mailboxes SET
    messages = t.messages, octets = t.octets, unseen = t.unseen, deleted = t.deleted,
    deleted_octets = t.deleted_octets,
    uid_next = max(uid_next, t.last_uid + 1, t.expunged_uid + 1),
    highest_modseq = max(highest_modseq, t.modseq, t.expunged_modseq, t.flagged_modseq),
    recent_uid = min(recent_uid, max(uid_next, t.last_uid + 1, t.expunged_uid + 1))
FROM (
    SELECT b.mailbox_id AS id, count(m.uid) AS messages, coalesce(sum(m.size), 0) AS octets,
        coalesce(sum(m.uid IS NOT NULL AND m.flags & 1 = 0), 0) AS unseen,
        coalesce(sum(m.flags & 8 <> 0), 0) AS deleted,
        coalesce(sum(CASE WHEN m.flags & 8 <> 0 THEN m.size END), 0) AS deleted_octets,
        coalesce(max(m.uid), 0) AS last_uid, coalesce(max(m.modseq), 0) AS modseq,
        coalesce((SELECT max(last_uid) FROM expunged AS e WHERE e.mailbox_id = b.mailbox_id), 0) AS expunged_uid,
        coalesce((SELECT max(modseq) FROM expunged AS e WHERE e.mailbox_id = b.mailbox_id), 0) AS expunged_modseq,
        coalesce((SELECT max(modseq) FROM flagged AS f WHERE f.mailbox_id = b.mailbox_id), 0) AS flagged_modseq
    FROM mailboxes AS b LEFT JOIN messages AS m ON m.mailbox_id = b.mailbox_id GROUP BY b.mailbox_id
) AS t WHERE t.id = mailboxes.mailbox_id {which}
"""
_MISCOUNTED = """
SELECT b.mailbox_id FROM mailboxes AS b LEFT JOIN messages AS m ON m.mailbox_id = b.mailbox_id GROUP BY b.mailbox_id
HAVING b.messages <> count(m.uid) OR b.octets <> coalesce(sum(m.size), 0)
    OR b.unseen <> coalesce(sum(m.uid IS NOT NULL AND m.flags & 1 = 0), 0)
    OR b.deleted <> coalesce(sum(m.flags & 8 <> 0), 0)
    OR b.deleted_octets <> coalesce(sum(CASE WHEN m.flags & 8 <> 0 THEN m.size END), 0)
    OR b.uid_next <= coalesce(max(m.uid), 0) OR b.highest_modseq < coalesce(max(m.modseq), 0)
    OR b.uid_next <= (SELECT coalesce(max(last_uid), 0) FROM expunged AS e WHERE e.mailbox_id = b.mailbox_id)
    OR b.highest_modseq < (SELECT coalesce(max(modseq), 0) FROM expunged AS e WHERE e.mailbox_id = b.mailbox_id)
"""
_CHANGED = """
UPDATE mailboxes SET
    highest_modseq = highest_modseq + 1, expunged_after = highest_modseq + 1, flagged_after = highest_modseq + 1
{which}
"""


def recipients_in(facts: Value) -> Iterable[str]:
    """The forward-paths that the journal's entry of an accepted message names, in lower case."""
    try:
        told = json.loads(str(facts)).get("recipients") or ()
        return [
            str(one["forward_path"]).strip("<>").lower()
            for one in told
            if isinstance(one, dict) and one.get("forward_path")
        ]
    except (ValueError, AttributeError, TypeError):
        return ()
