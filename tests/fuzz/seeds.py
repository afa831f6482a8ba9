"""What the fuzzer begins with: the dialogues of the tests, and one honest example of each language."""

from __future__ import annotations

from pathlib import Path

from tests.fuzz.targets import server
from tests.wire.dialogue import FILES, Dialogue, read

from estafeta.wire.proxy import SIGNATURE, Endpoint, write_v1, write_v2

POP3 = sorted((Path(__file__).parents[1] / "wire" / "pop3_dialogues").glob("*.txt"))

IMAP = sorted((Path(__file__).parents[1] / "wire" / "imap" / "dialogues").glob("*.txt"))

_IMAP = (
    b'a SEARCH RETURN (MIN SAVE PARTIAL 1:5) CHARSET UTF-8 OR FROM "x" NOT (SINCE 1-Feb-2026 KEYWORD a) MODSEQ 5\r\n'
    b"b UID SORT RETURN (COUNT) (REVERSE DATE SUBJECT) UTF-8 UID 1:*,$\r\nc THREAD REFERENCES UTF-8 OLDER 5\r\n"
    b"d UID FETCH 1:5,7 (FLAGS BODY.PEEK[1.2.HEADER.FIELDS (From {2+}\r\nTo)]<0.5> PREVIEW (LAZY)) (CHANGEDSINCE 5)\r\n"
    b"e STORE 1 (UNCHANGEDSINCE 5) +FLAGS.SILENT (\\Seen a)\r\nf SELECT a (QRESYNC (1 2 1:5 (1 1)))\r\n",
    b'a LIST (SUBSCRIBED) "" (a% "b*") RETURN (CHILDREN STATUS (MESSAGES) METADATA ("/shared/a"))\r\n'
    b"b NOTIFY SET STATUS (selected MessageNew (UID) FlagChange) (subtree (a b) NONE)\r\n"
    b'c GETMETADATA (DEPTH 1 MAXSIZE 5) "" (/shared/a /private/b)\r\nd SETMETADATA "" (/shared/a {1+}\r\nx)\r\n'
    b"e SETQUOTA a (STORAGE 5)\r\nf SETACL a b +lr\r\ng STATUS &AOE- (MESSAGES UIDNEXT)\r\n"
    b'h URLFETCH ("imap://a/b;UID=1" BODY BINARY)\r\ni ESEARCH IN (mailboxes (a b) personal) ALL\r\n',
    b'a APPEND b (\\Seen) " 1-Feb-2026 01:02:03 +0100" {2+}\r\nab CATENATE (TEXT {1}\r\nx '
    b'URL "/c;UID=1") UTF8 (~{1+}\r\ny)\r\n'
    b"b REPLACE 1 b {1+}\r\nz\r\nc COMPRESS DEFLATE\r\nd IDLE\r\nDONE\r\n",
)
_ENVELOPES = (
    b"FROM:<ana@example.org> SIZE=10 BODY=8BITMIME AUTH=a+40b RET=HDRS ENVID=x+20y REQUIRETLS\nTO:<luis@example.net>",
    b"FROM:<\xc3\xb1@example.org> SMTPUTF8 BY=120;RT MT-PRIORITY=-3 SOLICIT=org.example:ADV,b HOLDFOR=60\n"
    b"TO:<\xc3\xb1@example.net> NOTIFY=SUCCESS,FAILURE ORCPT=utf-8;\xc3\xb1\\x{2B}@example.net",
    b'FROM:<"a b\\"c"@[IPv6:2001:db8::1]> HOLDUNTIL=2059-12-31T23:59:59+01:00\n'
    b"TO:<@a.example,@b.example:x@[192.0.2.1]>",
    b"FROM:<> BODY=BINARYMIME\nTO:<Postmaster> NOTIFY=NEVER ORCPT=rfc822;a+2Bb@example.net",
)
_HEADER = (
    b"Received: from a by b; Mon, 1 Jan 2029 00:00:00 +0000\r\nMessage-ID:\r\n <a.b@example.org>\r\n"
    b"Date: Mon, 1 Jan 2029 00:00:00 +0000\r\nFrom: =?utf-8?Q?=C3=B1?= <ana@example.org>, (a comment) b@example.org\r\n"
    b"Subject: =?utf-8?B?w7E=?=\r\n folded\r\n\r\nbody\r\n"
)
_MIME = (
    b'From: =?utf-8?Q?=C3=B1?= <ana@example.org>, "b" (c) <@d:e@f>\r\nTo: g: h@i;\r\nSubject: Re: [a] b (fwd)\r\n'
    b'Date: Mon, 1 Jan 2029 00:00:00 +0100 (CET)\r\nMessage-ID: <1@a>\r\nReferences: <2@a> <"3"@a>\r\n'
    b'Content-Type: multipart/mixed; boundary="b c"\r\n\r\npreamble\r\n--b c\r\nContent-Type: text/plain;\r\n'
    b" charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\na=C3=B1o=\r\n.\r\n--b c\r\n"
    b"Content-Type: message/rfc822\r\nContent-Disposition: attachment; filename=a\r\n\r\nSubject: in\r\n"
    b"Content-Type: multipart/digest; boundary=b\r\n\r\n--b\r\n\r\nX: y\r\n\r\nz\r\n--b--\r\n--b c--\r\nepilogue",
    b"Content-Type: text/html; charset=iso-8859-1\r\nContent-Transfer-Encoding: base64\r\nContent-ID: <a>\r\n"
    b"Content-Description: b\r\nContent-MD5: c\r\nContent-Language: d, e\r\nContent-Location: f\r\n\r\n"
    b"PHA+JmFtcDs8IS0tIHggLS0+PHN0eWxlPnk8L3N0eWxlPg==",
)
_RESPONSE = b"\1\0\1" + b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4\xc0\0\2\1" + b"\0\0\x29\4\xd0\0\0\0\0\0\6\0\x0f\0\2\0\6"
_ENDS = (Endpoint("192.0.2.1", 1234), Endpoint("192.0.2.2", 25))
_SASL = (
    b"\xff",
    b"\xff\x16v=AAAAAAAAAAAAAAAAAAAA",
    b"\x04user\x06pencil",
    *(
        bytes((len(message),)) + message
        for message in (
            b"n,,n=u,r=abc",
            b"\0user\0pencil",
            b"user 0123456789abcdef0123456789abcdef",
            b"n,a=user,\x01host=h\x01auth=Bearer token\x01\x01",
            b"user=user\x01auth=Bearer token\x01\x01",
            b'{"status":"invalid_token","scope":"mail","schemes":"bearer"}',
            b"r=noncex,s=AAAA,i=1x,m=x",
            b"r=noncex,s=!,i=4096",
            b"r=noncex,s=AAAA,i=-1",
        )
    ),
)


def _flags(dialogue: Dialogue) -> int:
    """Those that come next to what the dialogue is played with."""
    options, session = dialogue.options, dialogue.session
    return (
        (options.refuse_early_commands << server.STRICT)
        | (options.lmtp << server.LMTP)
        | (session.get("is_secure", False) << server.SECURE)
        | (session.get("is_authenticated", False) << server.LOGGED_IN)
        | (bool(options.xclient or options.xforward) << server.SPEAKS)
    )


def _server() -> list[bytes]:
    dialogues = [read(file) for file in FILES]
    return [bytes((_flags(each), 7)) + b"".join(turn.said for turn in each.turns) for each in dialogues]


def _said(file: Path) -> bytes:
    """The client's side of a dialogue with the POP3 or IMAP engine."""
    lines = file.read_text("utf-8").split("\n")
    return b"".join(line[3:].encode() + b"\r\n" for line in lines if line.startswith("C:"))


def _imap() -> list[bytes]:
    """The client's side of the dialogues, and examples of the grammar of commands."""
    return [b"\0\5" + _said(file) for file in IMAP] + [bytes((flags, 3)) + said for flags in (4, 14) for said in _IMAP]


def _client() -> list[bytes]:
    """Operations, their numbers and the canned replies to them, as `targets/client.py` counts them."""
    begin = b"\0\0\1\1\1\2"
    message = b"\2\0\4\3\0\4\4\0\6\x17\1\4"
    chunks = b"\2\0\4\3\0\4\x15\1\4\x16\1\4"
    return [
        b"\0\3" + begin + message + message + b"\x13\0\x0e",
        b"\0\3" + begin + chunks + b"\2\1\4\3\1\x0c\x0b\0\4",
        b"\1\3" + begin + message + b"\3\2\4",
        b"\0\3" + begin + b"\7\0\x09" + b"\7\1\x07\x08\0\x08\x08\0\x09" + b"\7\2\7\x09\0\x0c",
        b"\0\3" + begin + b"\6\0\4\x14\0\0\1\1\2",
        b"\0\3" + begin + b"\x10\4\4\x11\1\4",
    ]


def seeds(name: str) -> list[bytes]:
    """The first inputs of a target."""
    match name:
        case "server":
            return _server()
        case "client":
            return _client()
        case "envelope":
            return [b"\0\0" + octets for octets in _ENVELOPES]
        case "content":
            return [
                b"\0\5.\r\n..\r\n\xff.\r\n\r\n.\r\nNOOP\r\n",
                b"\1\3\5ab\r\nc\3\0\r\n",
                b"\0\1\n.\n\r.\r\0\r\n.\r\n",
            ]
        case "replies":
            return [
                b"\0\x04250-mx\r\n250-SIZE 10\r\n250 LIMITS RCPTMAX=3\r\n550 5.1.1 no\r\n354\r\n",
                b"\0\x01250-a\nb\n250 c\n",
            ]
        case "header":
            return [b"\0\0" + _HEADER]
        case "mime":
            return [b"\0\0" + octets for octets in _MIME]
        case "dnsmessage":
            return [bytes((1, kind)) + _RESPONSE for kind in range(5)]
        case "sasl":
            return [bytes((side, kind)) + octets for side in range(4) for kind in range(12) for octets in _SASL]
        case "pop3":
            return [b"\0\5" + _said(file) for file in POP3]
        case "imap":
            return _imap()
        case "proxy":
            written = (write_v1(*_ENDS), write_v2(*_ENDS), write_v2(*_ENDS, checksum=True), SIGNATURE)
            return [b"\0\3" + octets + b"EHLO x\r\n" for octets in written]
    raise ValueError(f"no seeds for {name}")
