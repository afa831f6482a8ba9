-- Relaying: envelopes with their DSN parameters, claims, destinations that do not answer, lists, failures of TLS.

-- A process that relays; one whose time is over is dead, and what it had claimed is anybody's.
CREATE TABLE holders (
    holder_id INTEGER PRIMARY KEY,
    alive_until REAL NOT NULL
);

CREATE TABLE relayed_messages (
    message_id INTEGER PRIMARY KEY,
    content_id INTEGER NOT NULL REFERENCES contents (content_id),
    reverse_path TEXT NOT NULL,
    accepted_at REAL NOT NULL,
    size INTEGER NOT NULL,
    account TEXT,
    smtputf8 INTEGER NOT NULL CHECK (smtputf8 IN (0, 1)),
    body TEXT,
    envid TEXT,
    ret TEXT CHECK (ret IN ('FULL', 'HDRS')),
    requires_tls INTEGER NOT NULL CHECK (requires_tls IN (0, 1)),
    priority INTEGER NOT NULL CHECK (priority BETWEEN -9 AND 9),
    prefix BLOB NOT NULL
);

CREATE TABLE relayed_recipients (
    recipient_id INTEGER PRIMARY KEY,
    message_id INTEGER NOT NULL REFERENCES relayed_messages (message_id),
    forward_path TEXT NOT NULL,
    destination TEXT NOT NULL,
    original TEXT,
    -- Words parted by commas, in their order in RFC 3461 §4.1; NULL when NOTIFY was not said.
    notify TEXT,
    status TEXT NOT NULL CHECK (status IN ('active', 'deferred', 'held')),
    priority INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    next_attempt_at REAL NOT NULL,
    -- NULL only while the process that accepted it tries it first.
    review_at REAL,
    is_delay_told INTEGER NOT NULL CHECK (is_delay_told IN (0, 1)),
    last_reply TEXT,
    holder_id INTEGER,
    -- A mail object goes to each forward-path at a destination once.
    UNIQUE (message_id, forward_path, destination),
    CHECK (holder_id IS NOT NULL OR review_at IS NOT NULL)
);

INSERT INTO relayed_messages
SELECT message_id, content_id, reverse_path, accepted_at, size, NULL, smtputf8, body, NULL, NULL, 0, 0, x''
FROM queued_messages;
INSERT INTO relayed_recipients
SELECT r.recipient_id, r.message_id, r.forward_path, r.destination, NULL, NULL, r.status, 0, r.attempts,
    r.next_attempt_at, m.accepted_at + 14400, 0, r.last_reply, NULL
FROM queued_recipients AS r JOIN queued_messages AS m ON m.message_id = r.message_id;
DROP TABLE queued_recipients;
DROP TABLE queued_messages;
ALTER TABLE relayed_messages RENAME TO queued_messages;
ALTER TABLE relayed_recipients RENAME TO queued_recipients;

CREATE INDEX queued_messages_of_content ON queued_messages (content_id);
-- What can be claimed, by destination. What a process has claimed, and what is held, is not in here: mail that goes
-- on at once never is.
CREATE INDEX queued_recipients_due ON queued_recipients (destination, priority DESC, next_attempt_at)
    WHERE holder_id IS NULL AND status <> 'held';
-- What must be looked at even if nothing was tried, unless a process is at it.
CREATE INDEX queued_recipients_to_review ON queued_recipients (review_at)
    WHERE holder_id IS NULL AND status <> 'held';
-- What a dead process has left behind is found without reading the queue.
CREATE INDEX queued_recipients_claimed ON queued_recipients (holder_id) WHERE holder_id IS NOT NULL;
-- Counts and lists by status. Those not tried yet are not in here: most leave at once.
CREATE INDEX queued_recipients_waiting ON queued_recipients (status) WHERE status <> 'active';

-- A queued recipient with its message.
CREATE VIEW queue AS
SELECT r.recipient_id, r.forward_path, r.destination, r.status, r.next_attempt_at, r.review_at, r.original, r.notify,
    r.attempts, r.last_reply, r.holder_id, r.is_delay_told, r.priority, r.message_id, m.content_id, m.reverse_path,
    m.accepted_at, m.size, m.account, m.smtputf8, m.body, m.envid, m.ret, m.requires_tls, m.prefix
FROM queued_recipients AS r JOIN queued_messages AS m ON m.message_id = r.message_id;

-- Destinations that as a whole do not take mail now; all others are in no row.
CREATE TABLE destinations (
    destination TEXT PRIMARY KEY,
    blocked_until REAL NOT NULL,
    failures INTEGER NOT NULL CHECK (failures > 0),
    last_reply TEXT NOT NULL
);
CREATE INDEX destinations_by_end ON destinations (blocked_until);

-- An alias that is a list: its mail goes on with the owner as reverse-path and the fields of a list.
CREATE TABLE lists (
    alias TEXT PRIMARY KEY REFERENCES addresses (address) ON DELETE CASCADE,
    owner TEXT NOT NULL
);

-- Policies of MTA-STS that were fetched (RFC 8461 §3.2), so that they hold after a restart.
CREATE TABLE sts_policies (
    domain TEXT PRIMARY KEY,
    policy_id TEXT NOT NULL,
    policy TEXT NOT NULL,
    expires_at REAL NOT NULL
);

-- What reports on TLS are made of (RFC 8460): sessions by UTC day, policy domain, policy and result.
CREATE TABLE tls_results (
    day INTEGER NOT NULL,
    domain TEXT NOT NULL,
    policy TEXT NOT NULL,
    -- NULL would be equal to nothing: the facts of a success are the empty text.
    failure TEXT NOT NULL,
    sessions INTEGER NOT NULL,
    PRIMARY KEY (day, domain, policy, failure)
) WITHOUT ROWID;
