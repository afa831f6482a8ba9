-- Mailboxes as IMAP opens them (RFC 9051): flags as numbers, counters, what was expunged, subscriptions, rights,
-- annotations, and what is known of each content once it was read.

-- `unseen`, `deleted` and `deleted_octets` are kept along with each change, so that STATUS reads one row.
ALTER TABLE mailboxes ADD COLUMN unseen INTEGER NOT NULL DEFAULT 0 CHECK (unseen >= 0);
ALTER TABLE mailboxes ADD COLUMN deleted INTEGER NOT NULL DEFAULT 0 CHECK (deleted >= 0);
ALTER TABLE mailboxes ADD COLUMN deleted_octets INTEGER NOT NULL DEFAULT 0 CHECK (deleted_octets >= 0);
-- The first UID that no session was told of as \Recent (RFC 3501 §2.3.2).
ALTER TABLE mailboxes ADD COLUMN recent_uid INTEGER NOT NULL DEFAULT 1;
-- The MODSEQ after which every expunge is known (RFC 7162 §3.2.7), and every change of flags.
ALTER TABLE mailboxes ADD COLUMN expunged_after INTEGER NOT NULL DEFAULT 0;
ALTER TABLE mailboxes ADD COLUMN flagged_after INTEGER NOT NULL DEFAULT 0;
UPDATE mailboxes SET expunged_after = highest_modseq, flagged_after = highest_modseq;

-- Names of keywords by their bit in `flags`; the system flags have bits 0 to 4.
CREATE TABLE keywords (
    mailbox_id INTEGER NOT NULL REFERENCES mailboxes (mailbox_id) ON DELETE CASCADE,
    bit INTEGER NOT NULL CHECK (bit BETWEEN 5 AND 61),
    name TEXT NOT NULL,
    lowered TEXT NOT NULL,
    PRIMARY KEY (mailbox_id, bit),
    UNIQUE (mailbox_id, lowered)
) WITHOUT ROWID;

CREATE TABLE opened_messages (
    mailbox_id INTEGER NOT NULL REFERENCES mailboxes (mailbox_id),
    uid INTEGER NOT NULL,
    -- What brought the message here: the message id for an accepted mail object, an id of its own otherwise.
    delivery_id INTEGER NOT NULL,
    message_id INTEGER NOT NULL,
    content_id INTEGER NOT NULL REFERENCES contents (content_id),
    prefix BLOB NOT NULL,
    modseq INTEGER NOT NULL,
    -- 1 \Seen, 2 \Answered, 4 \Flagged, 8 \Deleted, 16 \Draft, then the keywords of the mailbox.
    flags INTEGER NOT NULL DEFAULT 0,
    internal_at REAL NOT NULL,
    -- When it came into this mailbox (RFC 8514).
    saved_at REAL NOT NULL,
    size INTEGER NOT NULL,
    PRIMARY KEY (mailbox_id, uid),
    -- A delivery that is repeated, or reaches a mailbox by two ways, is there once.
    UNIQUE (delivery_id, mailbox_id)
) WITHOUT ROWID;
INSERT INTO opened_messages
SELECT mailbox_id, uid, delivery_id, message_id, content_id, prefix, modseq,
    CASE WHEN flags LIKE '%\Seen%' THEN 1 ELSE 0 END + CASE WHEN flags LIKE '%\Answered%' THEN 2 ELSE 0 END
    + CASE WHEN flags LIKE '%\Flagged%' THEN 4 ELSE 0 END + CASE WHEN flags LIKE '%\Deleted%' THEN 8 ELSE 0 END
    + CASE WHEN flags LIKE '%\Draft%' THEN 16 ELSE 0 END,
    internal_at, internal_at, size
FROM messages;
DROP TABLE messages;
ALTER TABLE opened_messages RENAME TO messages;
-- Finds whether a content is still used, and lets the database refuse to drop one that is.
CREATE INDEX messages_of_content ON messages (content_id);

UPDATE mailboxes SET
    unseen = (SELECT count(*) FROM messages AS m WHERE m.mailbox_id = mailboxes.mailbox_id AND m.flags & 1 = 0),
    deleted = (SELECT count(*) FROM messages AS m WHERE m.mailbox_id = mailboxes.mailbox_id AND m.flags & 8 <> 0),
    deleted_octets = coalesce((SELECT sum(m.size) FROM messages AS m
        WHERE m.mailbox_id = mailboxes.mailbox_id AND m.flags & 8 <> 0), 0);

-- What is gone, as ranges of UIDs (RFC 7162 §3.2.10).
CREATE TABLE expunged (
    mailbox_id INTEGER NOT NULL REFERENCES mailboxes (mailbox_id) ON DELETE CASCADE,
    modseq INTEGER NOT NULL,
    first_uid INTEGER NOT NULL,
    last_uid INTEGER NOT NULL CHECK (last_uid >= first_uid),
    PRIMARY KEY (mailbox_id, modseq, first_uid)
) WITHOUT ROWID;

-- Where flags were changed, as ranges of UIDs: an index by MODSEQ would cost more than the change of flags itself.
-- Messages that only came are found by their UID.
CREATE TABLE flagged (
    mailbox_id INTEGER NOT NULL REFERENCES mailboxes (mailbox_id) ON DELETE CASCADE,
    modseq INTEGER NOT NULL,
    first_uid INTEGER NOT NULL,
    last_uid INTEGER NOT NULL CHECK (last_uid >= first_uid),
    PRIMARY KEY (mailbox_id, modseq, first_uid)
) WITHOUT ROWID;

-- What is known of a content once it was read: finished answers, and what it is sorted and threaded by.
CREATE TABLE descriptions (
    content_id INTEGER PRIMARY KEY REFERENCES contents (content_id) ON DELETE CASCADE,
    envelope BLOB NOT NULL,
    body BLOB NOT NULL,
    body_structure BLOB NOT NULL,
    -- Where its parts are.
    parts BLOB NOT NULL,
    preview TEXT NOT NULL,
    sent_at REAL,
    -- The day as it is written, for SENTON.
    sent_day TEXT,
    subject TEXT NOT NULL,
    is_reply INTEGER NOT NULL CHECK (is_reply IN (0, 1)),
    sort_from TEXT NOT NULL,
    sort_to TEXT NOT NULL,
    sort_cc TEXT NOT NULL,
    display_from TEXT NOT NULL,
    display_to TEXT NOT NULL,
    -- Message-ID, and below it what it refers to, one a line.
    message_ids TEXT NOT NULL
);

CREATE TABLE subscriptions (
    account_id INTEGER NOT NULL REFERENCES accounts (account_id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    PRIMARY KEY (account_id, name)
) WITHOUT ROWID;
INSERT INTO subscriptions (account_id, name) SELECT account_id, name FROM mailboxes;

-- Rights of others (RFC 4314); the owner has them all. An identifier is an address, `anyone`, or either behind `-`.
CREATE TABLE acl (
    mailbox_id INTEGER NOT NULL REFERENCES mailboxes (mailbox_id) ON DELETE CASCADE,
    identifier TEXT NOT NULL,
    rights TEXT NOT NULL,
    PRIMARY KEY (mailbox_id, identifier)
) WITHOUT ROWID;
CREATE INDEX acl_of_identifier ON acl (identifier);

-- Annotations (RFC 5464). Shared ones have account 0; those of the server as a whole have mailbox 0.
CREATE TABLE metadata (
    mailbox_id INTEGER NOT NULL,
    account_id INTEGER NOT NULL,
    entry TEXT NOT NULL,
    value BLOB NOT NULL,
    PRIMARY KEY (mailbox_id, account_id, entry)
) WITHOUT ROWID;

-- Keys that URLs are signed with (RFC 4467 §8).
CREATE TABLE url_keys (
    account_id INTEGER NOT NULL REFERENCES accounts (account_id) ON DELETE CASCADE,
    mailbox_id INTEGER NOT NULL REFERENCES mailboxes (mailbox_id) ON DELETE CASCADE,
    key BLOB NOT NULL CHECK (length(key) = 32),
    PRIMARY KEY (account_id, mailbox_id)
) WITHOUT ROWID;
