"""What replies mean, as one table: the words and codes of hosts, and our own.

The first record that fits counts. First come the words of certain large hosts, then status codes that say something
exact (RFC 3463 and its registry), then words that many hosts use, then vague status codes, and reply codes.
"""

from __future__ import annotations

import re

from estafeta.mail.reply import Reply
from estafeta.mail.value import value


@value
class KnownReply:
    """One record: what replies it is about, and the key of its texts."""

    key: str
    words: str = ""
    """A regular expression, searched in code, status and text as one, in lower case.

    It is compiled when it is first wanted: all of them are 17 ms of a start.
    """
    statuses: tuple[str, ...] = ()
    """Subject and detail of enhanced status codes, such as `1.1`."""
    codes: tuple[int, ...] = ()
    """Reply codes that come without an enhanced status code."""
    stages: tuple[str, ...] = ()
    """Only where the reply answered this, or where it ended there; any when empty."""
    is_ours: bool = False
    """Only where the words are ours, not a host's."""

    def fits(self, reply: Reply, text: str, stage: str, *, is_remote: bool) -> bool:
        """Whether this record is about the reply; `text` is all of it."""
        if (self.is_ours and is_remote) or (self.stages and stage not in self.stages):
            return False
        if reply.status is None:
            if reply.code in self.codes:
                return True
        elif f"{reply.status.subject}.{reply.status.detail}" in self.statuses:
            return True
        return self.words != "" and re.search(self.words, text) is not None


def _words(*alternatives: str) -> str:
    """Any of these; a gap in them is bounded, so that no text takes long."""
    return "|".join(alternatives)


_CONNECTING = ("connect", "greeting", "EHLO", "LHLO")

KNOWN = (
    # Ours, about what the sender asked for.
    KnownReply("untimed-host", _words(r"\(deliverby\)"), is_ours=True),
    KnownReply("too-late", _words(r"in the time that its sender gave it"), is_ours=True),
    # Words of certain hosts, whose status codes are vague or their own.
    KnownReply("google-unauthenticated", _words(r"sender is unauthenticated", r"gmail requires all senders to auth")),
    KnownReply("dmarc", _words(r"not accepted due to .{0,255}\bdmarc", r"5\.7\.509\b", r"domain's dmarc policy")),
    KnownReply("google-suspected", _words(r"likely (?:unsolicited|suspicious)", r"very low reputation of the sending")),
    KnownReply(
        "google-rate", _words(r"unusual rate of", r"\b4\.7\.28\b", r"421.4\.7\.0 .{0,40}try again later, closing")
    ),
    KnownReply("mailbox-flooded", _words(r"receiving mail (?:too quickly|at a rate)", r"\b5\.2\.12[12]\b")),
    KnownReply(
        "microsoft-blocked", _words(r"\b5\.7\.(?:60[6-9]|6[1-4]\d|708|511)\b", r"banned sending ip", r"\(s3\d{3}\)")
    ),
    KnownReply("microsoft-blocked", _words(r"part of their network is on our block list", r"sender\.office\.com")),
    KnownReply("microsoft-rate", _words(r"\b4\.7\.65\d\b", r"rate limited due to ip reputation", r"\(s77\d\)")),
    KnownReply("microsoft-unknown-mailbox", _words(r"5\.4\.1 .{0,40}recipient address rejected: access denied")),
    KnownReply("unknown-mailbox", _words(r"resolver\.adr\.", r"\(s2017062302\)", r"recipientnotfound")),
    KnownReply("unauthenticated", _words(r"\b5\.7\.515\b", r"required authentication level")),
    KnownReply("relay-denied", _words(r"tenantattribution", r"\b5\.7\.64\b")),
    KnownReply("restricted-address", _words(r"\b5\.7\.(?:12[34]|13[346])\b", r"resolver\.rst\.")),
    KnownReply("mailbox-full", _words(r"quotaexceededexception")),
    KnownReply("yahoo-deferred", _words(r"\[tss?\d\d\]", r"unexpected volume or user complaints")),
    KnownReply(
        "spamhaus", _words(r"\[bl2[0-9]\]", r"(?:zen|sbl|xbl|pbl|css)\.spamhaus", r"spamhaus\.org/(?:sbl|query|lookup)")
    ),
    KnownReply(
        "yahoo-policy",
        _words(r"5\.7\.9 .{0,40}message not accepted for policy", r"senders\.yahoo", r"postmaster\.yahoo"),
    ),
    KnownReply("apple-policy", _words(r"\[(?:cs|hm)\d\d\]", r"\b(?:cs01|hm08)\b")),
    KnownReply("bad-link", _words(r"\bdbl\.spamhaus", r"\b(?:surbl|uribl)\b")),
    KnownReply("spamhaus", _words(r"\bspamhaus\b")),
    KnownReply("barracuda", _words(r"barracudacentral", r"barracuda reputation", r"barracudanetworks\.com/reputation")),
    # Status codes that say something exact.
    KnownReply("takes-no-mail", statuses=("1.10",), codes=(521, 556)),  # RFC 7505 §4.1, RFC 7504
    KnownReply("tls-required-by-sender", _words(r"requiretls"), stages=("MAIL", "policy", "DNS", "connect", "TLS")),
    KnownReply("sender-takes-no-mail", statuses=("7.27",)),  # RFC 7505 §4.2
    KnownReply("unknown-domain", statuses=("1.2",), stages=("DNS",)),
    KnownReply("moved", statuses=("1.6",), codes=(551,)),
    KnownReply("list-broken", statuses=("2.4",)),
    KnownReply("loop", statuses=("4.6",)),
    KnownReply("needs-utf8", statuses=("6.7", "6.8", "6.9", "6.10")),  # RFC 6531 §3.5
    KnownReply("not-convertible", statuses=("6.1", "6.2", "6.3", "6.4", "6.5")),
    # Not done of RFC 7372: no message is refused for what its signatures and its sender's policy say.
    KnownReply("dkim", statuses=("7.20", "7.21", "7.22")),  # RFC 7372
    KnownReply("spf", statuses=("7.23", "7.24")),
    KnownReply("reverse-dns", statuses=("7.25",)),
    KnownReply("unauthenticated", statuses=("7.26",)),
    KnownReply("rate-limited", statuses=("7.28",)),
    # Not done of RFC 8617: seals are neither checked nor made; the status code is explained.
    KnownReply("arc", statuses=("7.29",)),  # RFC 8617
    # Where it ended on our side.
    KnownReply("connection-refused", _words(r"connection refused", r"refused the connection"), stages=("connect",)),
    KnownReply("no-route", _words(r"unreachable", r"no route"), stages=("connect",)),
    KnownReply("no-answer", statuses=("4.1",), stages=_CONNECTING),
    KnownReply("tls-not-offered", statuses=("7.4",), stages=("STARTTLS", "TLS", "policy")),
    KnownReply("tls-failed", statuses=("7.5", "7.10"), stages=("STARTTLS", "TLS", "policy")),
    KnownReply("dns-failure", statuses=("4.3",), stages=("DNS",)),
    KnownReply("no-route", statuses=("4.4",), stages=("DNS",)),
    KnownReply("our-trouble", statuses=("3.0", "3.1", "3.5"), is_ours=True),
    # Words that many use: of who we are, of the message, of the address.
    KnownReply(
        "greylisted", _words(r"gr[ea]y-? ?list", r"postgrey", r"try again in \d+ (?:sec|min)", r"retry in \d+ ?(?:s|m)")
    ),
    KnownReply(
        "dangerous-content",
        _words(r"\bvirus", r"malware", r"\binfected", r"potential security issue", r"potentially dangerous"),
    ),
    KnownReply(
        "dangerous-content",
        _words(r"(?:attachment|file ?type|extension).{0,40}(?:not allowed|blocked|banned|prohibited|denied)"),
    ),
    KnownReply(
        "dangerous-content", _words(r"(?:blocked|banned|prohibited|forbidden|illegal) (?:attachment|file|extension)")
    ),
    KnownReply(
        "listed-server",
        _words(
            r"\bdnsbl\b",
            r"\brbl\b",
            r"spamcop",
            r"\bsorbs\b",
            r"abusix",
            r"uceprotect",
            r"senderscore",
            r"spamrats",
            r"black-? ?list",
            r"block-? ?list",
            r"deny-? ?list",
            r"\blisted (?:at|in|on|by)\b",
            r"blocked using",
            r"(?:poor|bad|low|negative) .{0,20}reputation",
            r"reputation .{0,40}(?:poor|bad|low|too low)",
        ),
    ),
    KnownReply("dmarc", _words(r"\bdmarc\b")),
    KnownReply(
        "spf",
        _words(
            r"\bspf\b.{0,60}(?:fail|not (?:allowed|authorized|permitted|pass)|reject|denied|violat|error)",
            r"(?:fail|violat|reject|denied).{0,40}\bspf\b",
            r"openspf",
            r"not (?:authorized|allowed|permitted) to send (?:mail |e-?mail |messages )?(?:for|from|on behalf)",
            r"\bspf\b.{0,40}did(?: not|n't) pass",
        ),
    ),
    KnownReply("dkim", _words(r"\bdkim\b")),
    KnownReply(
        "reverse-dns",
        _words(
            r"reverse[ -]?(?:dns|host|lookup|name)",
            r"\bptr\b",
            r"\brdns\b",
            r"fcrdns",
            r"cannot find your (?:reverse )?host",
            r"client host rejected: cannot find",
            r"no reverse",
            r"does ?n[o']t resolve",
        ),
    ),
    KnownReply(
        "bad-greeting",
        _words(r"\b(?:helo|ehlo)\b.{0,60}(?:reject|invalid|not found|refus|fully|mismatch|denied|bad|bogus)"),
    ),
    KnownReply(
        "bad-sender",
        _words(
            r"sender address (?:rejected|refused|invalid|verif)",
            r"sender (?:verify|verification|callout) fail",
            r"sender domain .{0,60}(?:not exist|not found|must exist|invalid|not resolve)",
            r"domain of sender address",
            r"(?:invalid|bad|unknown|unverified) sender",
            r"could ?n[o']t verify sender",
        ),
        statuses=("1.7", "1.8"),
    ),
    KnownReply(
        "relay-denied",
        _words(
            r"relay(?:ing)? (?:access )?(?:is )?(?:denied|prohibited|not (?:allowed|permitted)|disallowed|forbidden)",
            r"(?:unable|not permitted|not allowed|refus(?:e|ed|ing)) to relay",
            r"(?:do|does) ?n[o']t relay",
            r"relay denied",
            r"not local.{0,40}(?:relay|gateway)",
            r"rcpthosts",
        ),
    ),
    KnownReply(
        "login-needed",
        _words(r"auth(?:entication)? (?:is )?required", r"must (?:authenticate|log ?in)", r"authenticat\w+ fail"),
        statuses=("7.8", "7.9", "7.11", "7.12"),
    ),
    KnownReply(
        "tls-demanded",
        _words(
            r"must issue a starttls",
            r"(?:starttls|tls|ssl|encryption) (?:is |connection )?(?:required|needed|mandatory)",
            r"requires? (?:starttls|tls|encrypt|a secure)",
            r"session encryption",
            r"connection is not (?:encrypted|secure)",
        ),
        statuses=("7.10",),
    ),
    KnownReply(
        "restricted-address",
        _words(
            r"not (?:authorized|allowed|permitted) to (?:send|post|write)(?: mail| messages?)? to",
            r"only accepts? (?:mail|messages|e-?mail) from",
            r"(?:members|subscribers) only",
            r"allowed[- ]senders",
        ),
        statuses=("7.2",),
    ),
    KnownReply(
        "loop",
        _words(
            r"too many hops",
            r"hop count",
            r"mail loop",
            r"loops? back to",
            r"(?:routing|forwarding) loop",
            r"loop detected",
        ),
    ),
    KnownReply(
        "mailbox-full",
        _words(
            r"over ?quota",
            r"over (?:its |their |his |the )?(?:disk )?quota",
            r"quota .{0,40}exceeded",
            r"exceed(?:s|ed|ing)? .{0,60}quota",
            r"(?:mail)?box (?:is )?(?:full|too large)",
            r"out of storage",
            r"exceeded storage allocation",
            r"not enough (?:storage|space) .{0,40}(?:mailbox|user)",
        ),
        statuses=("2.2",),
    ),
    KnownReply(
        "too-large",
        _words(
            r"(?:message|mail|size|file|attachment|body|content)s? (?:is |are )?too (?:big|large|long)",
            r"message size",
            r"size .{0,40}(?:exceed|limit)",
            r"exceed(?:s|ed)? .{0,60}(?:size|maximum)",
            r"too much mail data",
            r"maximum (?:message )?size",
        ),
        statuses=("2.3", "3.4", "7.16"),
    ),
    KnownReply(
        "too-many-recipients",
        _words(r"too many recipients", r"recipients? (?:limit|count) exceeded"),
        statuses=("5.3",),
    ),
    KnownReply(
        "mailbox-disabled",
        _words(
            r"(?:mailbox|account|user|recipient|address)(?: \S{1,64})? (?:has been |is |was )?"
            r"(?:currently |temporarily )?"
            r"(?:disabled|inactive|suspended|deactivated|locked|expired|closed|discontinued)",
            r"(?:inactive|disabled|suspended) (?:user|mailbox|account|recipient)",
        ),
        statuses=("2.1",),
    ),
    KnownReply(
        "takes-no-mail",
        _words(r"null ?mx", r"(?:domain|host) (?:does not|doesn't|never) accepts? (?:e-?)?mail"),
    ),
    KnownReply(
        "unknown-mailbox",
        _words(
            r"user unknown",
            r"unknown (?:user|recipient|mailbox|account|address|local)",
            r"no such (?:user|mailbox|recipient|account|address|person|local|e-?mail)",
            r"(?:user|mailbox|recipient|account|address)(?: \S{1,64})? (?:was )?"
            r"(?:not found|unknown|not known|does(?: not|n't) exist)",
            r"(?:user|mailbox|recipient|account|address)\)? (?:does(?: not|n't) exist|not exist)",
            r"does(?: not|n't) have an? .{0,40}account",
            r"you tried to reach does not exist",
            r"(?:invalid|bad|illegal) (?:recipient|mailbox|user|destination mailbox)",
            r"not a (?:valid|known) (?:user|mailbox|recipient|address|account)",
            r"no (?:mailbox|user|recipient)s? .{0,20}(?:by|with|of) (?:that|this)",
            r"(?:unrouteable|undeliverable) address",
            r"recipient address rejected: (?:undeliverable|unverified|user|mailbox)",
            r"not our customer",
            r"unknown or illegal alias",
            r"is not (?:known|listed) (?:here|in)",
        ),
        statuses=("1.1",),
    ),
    KnownReply(
        "spam-suspected",
        _words(
            r"\bspam",
            r"unsolicited",
            r"\bube\b",
            r"\bjunk\b",
            r"bulk (?:mail|e-?mail)",
            r"content (?:is )?(?:rejected|refused|denied|not accepted)",
            r"(?:rejected|refused) .{0,40}\bcontent",
        ),
    ),
    KnownReply(
        "sender-blocked",
        _words(
            r"sender .{0,60}(?:is |was |has been )?(?:blocked|banned|denied|rejected|refused)",
            r"(?:blocked|banned) sender",
        ),
    ),
    KnownReply(
        "rate-limited",
        _words(
            r"rate[- ]?limit",
            r"too many (?:messages|connections|mails|e-?mails|sessions|concurrent|requests|transactions|errors)",
            r"throttl",
            r"temporarily (?:deferred|rate|blocked)",
            r"exceed(?:s|ed)? .{0,60}(?:rate|limit|connections|per (?:hour|day|minute))",
            r"slow down",
        ),
    ),
    KnownReply(
        "bad-format",
        _words(
            r"\brfc ?[25]?[83]22\b",
            r"\b(?:missing|invalid|duplicate|multiple|malformed) .{0,30}header",
            r"\bbare (?:lf|cr)",
        ),
    ),
    KnownReply(
        "bad-format", _words(r"line(?: is)? too long", r"line length", r"(?:missing|without|valid) message-?id")
    ),
    KnownReply(
        "unknown-domain",
        _words(
            r"domain (?:name )?(?:does(?: not|n't) exist|not found|unknown)",
            r"(?:host|domain) unknown",
            r"unknown (?:host|domain)",
        ),
    ),
    KnownReply(
        "congested",
        _words(
            r"too busy",
            r"server busy",
            r"system load",
            r"overload",
            r"resources? (?:temporarily )?(?:unavailable|exhausted)",
        ),
    ),
    KnownReply(
        "misconfigured",
        _words(r"(?:local|internal|configuration|system|lookup) error", r"local problem", r"queue file write"),
    ),
    # Status codes that say little, and reply codes.
    KnownReply("unknown-domain", statuses=("1.2",)),
    KnownReply("ambiguous-address", statuses=("1.4",)),
    KnownReply("bad-address", statuses=("1.3",), codes=(553,)),
    KnownReply("unknown-mailbox", statuses=("1.0",)),
    KnownReply("mailbox-busy", statuses=("2.0",), codes=(450,)),
    KnownReply("server-full", statuses=("3.1",), codes=(452,)),
    KnownReply("mailbox-full", codes=(552,)),
    KnownReply("server-closed", statuses=("3.2",), codes=(421,)),
    KnownReply("misconfigured", statuses=("3.0", "3.5"), codes=(451,)),
    KnownReply("not-convertible", statuses=("3.3", "6.0", "6.6")),
    KnownReply("no-answer", statuses=("4.1",)),
    KnownReply("connection-broken", statuses=("4.2",)),
    KnownReply("dns-failure", statuses=("4.3",)),
    KnownReply("no-route", statuses=("4.4",)),
    KnownReply("congested", statuses=("4.5",)),
    KnownReply("expired", statuses=("4.7",)),
    KnownReply("protocol", statuses=("5.0", "5.1", "5.2", "5.4", "5.5", "5.6"), codes=(500, 501, 502, 503, 504, 555)),
    KnownReply("sender-blocked", statuses=("7.13",)),
    KnownReply("tls-failed", statuses=("7.3", "7.4", "7.5", "7.6", "7.7")),
    KnownReply("tls-required-by-sender", statuses=("7.30",)),  # RFC 8689 §4.2.1
    KnownReply("policy", statuses=("7.0", "7.1", "7.15", "7.17", "7.18", "7.19")),
)
"""All records, in the order in which they are tried."""
