-- The first schema. Types are read as 64-bit integers, double precision, text and octets by every engine.
-- WITHOUT ROWID keeps a table in the one B-tree of its primary key; where an engine does not know the words, its
-- migration leaves them out.

-- Small numbers of the whole store: `directory_version`, `uid_validity` (the last one given), `redacted_id`.
CREATE TABLE counters (
    name TEXT PRIMARY KEY,
    value INTEGER NOT NULL
);
INSERT INTO counters (name, value) VALUES ('directory_version', 1), ('uid_validity', 0), ('redacted_id', 0);

-- The domains whose mail ends here.
CREATE TABLE domains (
    domain_id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE CHECK (name = lower(name)),
    catch_all TEXT,
    created_at REAL NOT NULL
);

CREATE TABLE accounts (
    account_id INTEGER PRIMARY KEY,
    is_enabled INTEGER NOT NULL CHECK (is_enabled IN (0, 1)),
    quota_octets INTEGER CHECK (quota_octets >= 0),
    quota_messages INTEGER CHECK (quota_messages >= 0),
    created_at REAL NOT NULL
);

-- Every address of ours, in lower case. The primary key holds that an address is an account's or an alias, never
-- both; an alias has no account. A row of `accounts` without an address here is being removed in steps.
CREATE TABLE addresses (
    address TEXT PRIMARY KEY,
    domain_id INTEGER NOT NULL REFERENCES domains (domain_id),
    account_id INTEGER UNIQUE REFERENCES accounts (account_id)
);
CREATE INDEX addresses_of_domain ON addresses (domain_id);

CREATE TABLE alias_members (
    alias TEXT NOT NULL REFERENCES addresses (address) ON DELETE CASCADE,
    position INTEGER NOT NULL,
    member TEXT NOT NULL,
    -- The member in lower case, as addresses of ours are looked for.
    lowered TEXT NOT NULL,
    PRIMARY KEY (alias, position),
    -- An alias names a member once.
    UNIQUE (alias, lowered)
);
CREATE INDEX aliases_of_member ON alias_members (lowered);

-- Password hashes; an account without a row cannot log in.
CREATE TABLE credentials (
    account_id INTEGER PRIMARY KEY REFERENCES accounts (account_id) ON DELETE CASCADE,
    argon2 TEXT NOT NULL,
    scram_salt BLOB NOT NULL,
    scram_iterations INTEGER NOT NULL,
    scram_stored_key BLOB NOT NULL,
    scram_server_key BLOB NOT NULL
);

CREATE TABLE mailboxes (
    mailbox_id INTEGER PRIMARY KEY,
    account_id INTEGER NOT NULL REFERENCES accounts (account_id),
    name TEXT NOT NULL,
    special_use TEXT,
    uid_validity INTEGER NOT NULL,
    uid_next INTEGER NOT NULL,
    highest_modseq INTEGER NOT NULL,
    -- Counted along with each delivery and expunge, so that quotas and STAT read one row.
    messages INTEGER NOT NULL CHECK (messages >= 0),
    octets INTEGER NOT NULL CHECK (octets >= 0),
    UNIQUE (account_id, name)
);
-- An account has one mailbox for each special use.
CREATE UNIQUE INDEX mailbox_for_special_use ON mailboxes (account_id, special_use) WHERE special_use IS NOT NULL;

-- The octets of messages, once for all their recipients. The content of an accepted mail object has its message id.
CREATE TABLE contents (
    content_id INTEGER PRIMARY KEY,
    size INTEGER NOT NULL,
    octets BLOB,
    file TEXT,
    -- Content is here or in a file.
    CHECK ((octets IS NULL) <> (file IS NULL))
);
CREATE UNIQUE INDEX content_in_file ON contents (file) WHERE file IS NOT NULL;

CREATE TABLE messages (
    mailbox_id INTEGER NOT NULL REFERENCES mailboxes (mailbox_id),
    uid INTEGER NOT NULL,
    -- What brought the message here: the message id for an accepted mail object.
    delivery_id INTEGER NOT NULL,
    message_id INTEGER NOT NULL,
    content_id INTEGER NOT NULL REFERENCES contents (content_id),
    prefix BLOB NOT NULL,
    modseq INTEGER NOT NULL,
    flags TEXT NOT NULL,
    internal_at REAL NOT NULL,
    size INTEGER NOT NULL,
    PRIMARY KEY (mailbox_id, uid),
    -- A delivery that is repeated, or reaches a mailbox by two ways, is there once. (Delivery first: these grow with
    -- time, so that the index is written at its end.)
    UNIQUE (delivery_id, mailbox_id)
) WITHOUT ROWID;
-- Finds whether a content is still used, and lets the database refuse to drop one that is.
CREATE INDEX messages_of_content ON messages (content_id);

-- A mail object with recipients that wait to be relayed.
CREATE TABLE queued_messages (
    message_id INTEGER PRIMARY KEY,
    content_id INTEGER NOT NULL REFERENCES contents (content_id),
    reverse_path TEXT NOT NULL,
    smtputf8 INTEGER NOT NULL CHECK (smtputf8 IN (0, 1)),
    body TEXT,
    accepted_at REAL NOT NULL,
    size INTEGER NOT NULL
);
CREATE INDEX queued_messages_of_content ON queued_messages (content_id);

CREATE TABLE queued_recipients (
    recipient_id INTEGER PRIMARY KEY,
    message_id INTEGER NOT NULL REFERENCES queued_messages (message_id),
    forward_path TEXT NOT NULL,
    destination TEXT NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('active', 'deferred', 'held')),
    attempts INTEGER NOT NULL,
    next_attempt_at REAL NOT NULL,
    last_reply TEXT,
    lease_holder INTEGER,
    lease_until REAL,
    -- A mail object goes to each forward-path at a destination once.
    UNIQUE (message_id, forward_path, destination),
    -- A lease has a holder and an end.
    CHECK ((lease_holder IS NULL) = (lease_until IS NULL))
);
-- What is due next; held recipients are never due.
CREATE INDEX queued_recipients_due ON queued_recipients (next_attempt_at) WHERE status <> 'held';

-- Append-only, but for retention, which goes by the entry id: ids grow with time. The entry of an accepted mail
-- object has its message id as entry id, so that a mail object is accepted once.
CREATE TABLE journal (
    entry_id INTEGER PRIMARY KEY,
    kind TEXT NOT NULL,
    at REAL NOT NULL,
    session_id INTEGER,
    message_id INTEGER,
    facts TEXT NOT NULL,
    -- One a line.
    keys TEXT NOT NULL,
    is_redacted INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX journal_of_session ON journal (session_id) WHERE session_id IS NOT NULL;
-- Entries about a message, but for the one that has its id.
CREATE INDEX journal_of_message ON journal (message_id) WHERE message_id <> entry_id;

-- Finds entries by a text. `key` is the day and a hash of the text, so that inserts of one day fall together and
-- retention drops neighbours; the text itself is checked in the entry.
CREATE TABLE journal_keys (
    key INTEGER NOT NULL,
    entry_id INTEGER NOT NULL,
    PRIMARY KEY (key, entry_id)
) WITHOUT ROWID;
