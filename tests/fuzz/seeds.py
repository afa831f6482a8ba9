"""What the fuzzer begins with: the dialogues of the tests, and one honest example of each language."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding
from tests.fuzz.targets import certificates, server
from tests.wire.dialogue import FILES, Dialogue, read

from estafeta.wire.imap.compression import Compression
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
_REPEATED = (
    b"From: \xfe(\xfe\r\n\r\n",
    b'From: \xfe"\xfe\r\n\r\n',
    b"Subject: \xfe=?utf-8?q?a?= \xfe\r\n\r\n",
    b"X:\xfe\r\n a\xfe\r\n\r\n\xff",
    b"X: \xfeabc \xfe\r\n\r\n\xff",
    b"Message-ID: <\xfea\xfe\r\n\r\n",
    b'Content-Type: a/b\xfe;a="\xfe\r\n\r\n\xff',
    b"Content-Type: multipart/mixed; boundary=b\r\n\r\n\xfe--b\r\n\r\n\r\n\xff\r\n\xfe",
    b"\xfeContent-Type: message/rfc822\r\n\r\n\xfe\xff",
    b"Content-Type: text/html\r\n\r\n\xfe<!--\xfe",
    b"<>\xfe[fwd: \xfe]",
    b"v=STSv1;\xfea=b;\xfe",
    b"version: STSv1\nmode: none\nmax_age: 1\n\xfemx: a.b\n\xfe",
    b'{"keys":[{"kty":"RSA","e":"AQAB","d":"AQAB","n":"\xfeAQAB\xfe"}]}',
)
_POLICY = b"version: STSv1\r\nmode: enforce\r\nmx: mx.example.org\r\nmx: *.example.net\r\nmax_age: 86400\r\n"
_HTTPS = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 3\r\n\r\nabc",
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 404 No\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n0\r\n\r\n",
    b"HTTP/1.0 200\r\nConnection: close\r\n\r\nabc",
    b"HTTP/1.1 204 \r\n\r\n",
)
_TOKENS = (
    (4, b'{"alg":"EdDSA","kid":"first"}\xff{"iss":"https://login.example.org/","aud":["mail"],"exp":1800000060,'
        b'"email":"ana@example.org","email_verified":true,"nbf":1,"scope":"a b"}'),
    (0, b'{"alg":"none"}\xff{}'),
    (0, b"eyJhbGciOiJub25lIn0.e30."),
    (2, b'{"active":true,"iss":"https://login.example.org/","exp":1800000060.5,"email":"ana@example.org","scp":["a"]}'),
    (2, b'{"active":false}'),
    (1, b'{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"a","use":"sig","alg":"EdDSA",'
        b'"x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"},{"kty":"RSA","n":"AQAB","e":"AQAB"},'
        b'{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",'
        b'"y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"},{"kty":"oct","k":"AAAA"}]}'),
)  # fmt: skip
_REPORTED = (
    b"550-5.1.1 There is no such user here, ask\n550 5.1.1 postmaster@example.net",
    b"ana@example.net",
    b"rfc822;ana+40example.com",
    b"mx.example.net",
    b"From: luis@example.org\r\nSubject: =?utf-8?Q?=C3=B1?= and more\r\nDate: Mon, 1 Jan 2029 00:00:00 +0100\r\n"
    b"Message-ID: <1@example.org>\r\n\r\nText\r\n",
)
_REPORTED_UTF8 = (
    b"451 4.7.1 \xc3\xb1 later",
    b"\xc3\xb1@example.net",
    b"utf-8;\xc3\xb1@example.com",
    b"[192.0.2.1]",
    b"Subject: \xc3\xb1\r\n\r\n\xff\r\n",
)
_EIGHT_BIT = (
    b'MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary="b c"\r\nContent-Transfer-Encoding: 8bit\r\n\r\n'
    b"--b c\r\n\r\n\xc3\xb1 = .\r\n--b c\r\nContent-Type: message/rfc822\r\n\r\nSubject: a\r\n\r\n\xff\r\n--b c\r\n"
    b"Content-Type: image/png\r\nContent-Transfer-Encoding: binary\r\n\r\n\x89PNG\r\n--b c--\r\nepilogue \xff\r\n",
    b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
    b"a=C3=B1\xff=\r\n.\r\n",
    b"Content-Type: multipart/digest; boundary=b\r\n\r\n--b\r\n\r\nX: y\r\n\r\n\xff\r\n--b--\r\n",
    b"Content-Type: application/x\r\nContent-Transfer-Encoding: base64\r\n\r\nYW\xffJj\r\n",
    b"X: abc def ",
)
_SEARCHED = (
    b"a\xc3\xb1o\xfeEl a\xc3\xb1o nuevo",
    b'" OR body : (*\xfeSubject: a" OR b*\r\nFrom: ana@example.org\r\n\r\n' + b"a1" * 60,
    b'ana@example\xfeFrom: "Ana" <ana@example.org>\r\nTo: luis@example.net\r\nSubject: =?utf-8?Q?=C3=B1?=\r\n\r\nx',
    b"x\xfeContent-Type: text/html\r\n\r\n<p>a<b>b</b>&amp;\xef\xb7\xba",
)

_SHOWN = (
    b"El a\xc3\xb1o \xe5\xad\x97 e\xcc\x81\xcc\x81\xcc\x81\xcc\x81\r\n\ttab\x1b[31m\xe2\x80\xaered\xc2\x85\r\n",
    b"Subject: =?utf-8?Q?a=1B=5B31m?=\r\nContent-Type: multipart/alternative; boundary=b\r\n\r\n"
    b"--b\r\n\r\nplain\r\n--b--",
)
_ADDRESSES = (
    b'"a b\\"c"@Example.org',
    b"\xc3\xb1+news@xn--espaa-rta.example",
    b"SRS0=abcdef=AB=example.com=ana@example.org",
    b"SRS1=abcdef=example.com==abcdef=AB=example.net=ana@example.org",
    b"-rf@[IPv6:2001:db8::1]",
    b"../../x/y@[x-tag:a=b]",
    b"a=40b+40@example.org\xe3\x80\x82",
)
_FETCHED = (
    b"BODY[] BODY[HEADER] BODY[TEXT] BODY[1] BODY.PEEK[2.HEADER] BODY[1.MIME] BODY[2.1.TEXT] BINARY[1]",
    b"BODY[]<3.9> BODY[HEADER.FIELDS (Subject To)] BODY[2.HEADER.FIELDS.NOT (X)]<0.5> BINARY.SIZE[1] BINARY[]<1.2>",
)
_FILES = (
    b"\nFrom a\n>From b\nFrom: c\nStatus: RO\nX-Keywords: a $b\nDate: Mon, 1 Jan 2029 00:00:00 +0000\n\nFrom x\n\n",
    b"Subject: a\r\n\r\nFrom here\r\n\r\nFrom there\r\n",
    b"X-IMAP: 1\nSubject: FOLDER INTERNAL DATA\n\n\nFrom a Thu Jan  1 00:00:00 1970\nX-UID: 1\n\nb",
)
_URLS = (
    b"imap://ana;AUTH=*@example.org:143/INBOX/a%20b;UIDVALIDITY=5/;UID=7/;SECTION=1.2.MIME/;PARTIAL=0.9"
    b";EXPIRE=2029-12-31T23:59:59+01:00;URLAUTH=submit+ana:INTERNAL:91354a473744909de610943775f92038",
    b"/INBOX;UID=7;SECTION=HEADER.FIELDS%20(Subject%20To)",
    b";UID=1",
)
_SUBJECTS = (
    b"\0\0Re: [a] Fwd[2]: [fwd: =?utf-8?Q?=C3=B1?= b] (fwd)",
    b"\1\0Mon, 29 Feb 2028 23:59:59 +0130",
    b"\1\0Mon Feb 28 23:59:59 CET 2028 (c)",
    b"\1\x002028-02-29T00:00:00Z",
    b'\2\0<a@b> (c) <"d e"@f>\r\n <g>',
)
_SENT = (
    b"From: \xc3\xb1 <ana@espa\xc3\xb1a.example>\r\nTo: g: luis@example.net;\r\nBcc: x@example.org\r\n"
    b"Subject: \xc3\xb1\r\nContent-Type: text/plain; charset=utf-8\r\n"
    b"Content-Transfer-Encoding: 8bit\r\n\r\n\xc3\xb1\r\n",
    b"Resent-Date: Mon, 1 Jan 2029 00:00:00 +0000\nResent-From: a@b\nResent-Bcc: c@d\nFrom: \xff@e\n\nx\n",
)
_GET = (
    b"GET /health HTTP/1.1\r\nHost: x\r\nAccept: text/plain\r\n\r\nHEAD /health?a HTTP/1.1\r\nHost: x\r\n\r\n",
    b"POST /health HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc",
    b"GET /health HTTP/1.0\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
)


def _certificates() -> Iterator[bytes]:
    """An honest chain, with its signatures and without, and with records that fit."""
    chain = certificates.honest()
    for count in (1, 2, 3):
        shown = chain[:count]
        for cut in range(0, 64, 3 if count > 1 else 1):
            yield b"\1" + bytes((cut,)) + certificates.written(tuple(each.tbs_certificate_bytes for each in shown))
        yield b"\0\x07" + certificates.written(tuple(each.public_bytes(Encoding.DER) for each in shown))


def _flags(dialogue: Dialogue) -> int:
    """Those that come next to what the dialogue is played with."""
    options, session = dialogue.options, dialogue.session
    return (
        (options.refuse_early_commands << server.STRICT)
        | (options.lmtp << server.LMTP)
        | (session.get("is_secure", False) << server.SECURE)
        | (session.get("is_authenticated", False) << server.LOGGED_IN)
        | (bool(options.xclient or options.xforward) << server.SPEAKS)
        | ((options.burl or options.repairs_line_ends or options.bare_addresses) << server.OWN)
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
        case "proportion":
            return [bytes((0, 5 * number % 31)) + octets for number, octets in enumerate(_REPEATED)]
        case "https":
            answers = [bytes((0, cut)) + octets for cut in (0, 3) for octets in _HTTPS]
            return [*answers, b"\1\0https://Example.org:8443/a?b=c", b"\1\0http://[::1]/keys"]
        case "sts":
            records = b"v=STSv1; id=20260101T0;\nv=TLSRPTv1; rua=mailto:a%2Bb@example.org,https://example.org/r"
            return [b"\0\0" + _POLICY, b"\1\0" + records, b"\2\0certificate verify failed: \xc3\xb1"]
        case "tokens":
            return [bytes((flags, 0)) + octets for flags, octets in _TOKENS]
        case "notification":
            told = [b"\xfe".join(each) for each in (_REPORTED, _REPORTED_UTF8)]
            return [bytes((flags, 17)) + octets for flags in (0, 6, 7, 13, 16) for octets in told]
        case "sevenbit":
            long = [b"\x08\x04" + _EIGHT_BIT[-1], b"\x08\x01" + _EIGHT_BIT[1]]
            return [*long, *(bytes((flags, 0)) + octets for flags in (0, 1, 2, 4) for octets in _EIGHT_BIT)]
        case "search":
            return [bytes((flags, 21)) + octets for flags in range(8) for octets in _SEARCHED]
        case "screen":
            return [bytes((flags, cut)) + octets for flags in range(4) for cut in (9, 163) for octets in _SHOWN]
        case "addresses":
            return [bytes((flags, 0)) + octets for flags in range(3) for octets in _ADDRESSES]
        case "mailfiles":
            return [bytes((flags, 0)) + octets for flags in range(3) for octets in _FILES]
        case "compressed":
            deflated = Compression().deflate(b"a LIST\r\n" * 9) + Compression().deflate(b"b")
            bomb = Compression().deflate(bytes(700_000))
            return [b"\0\5" + deflated, b"\0\5" + bomb, b"\1\3abc", b"\3\xffabcd" * 80, b"\0\0\3\0"]
        case "imapurl":
            return [*(b"\0\0" + octets for octets in _URLS), b"\1\0&AOE-b&-c", "\1\0ñ&ü/😀".encode()]
        case "sorting":
            return list(_SUBJECTS)
        case "flattening":
            return [bytes((flags, 0)) + octets for flags in range(16) for octets in _SENT]
        case "pages":
            return [b"\0\5" + octets for octets in _GET]
        case "fetching":
            return [
                bytes((flags, 0)) + asked + b"\xfe" + message
                for flags in range(4)
                for asked in _FETCHED
                for message in (*_MIME, b"\n\0x\r\n", b" a: b\r\nSubject: \0\r\nTo: x\r\n y")
            ]
        case "conversations":
            said = b"\1\0\5\0" + b"\2\x08\6\1\1" + b"\3\0\1\2\1\2" + b"\4\1\2\3\x81\x09\5" + b"\xff\xff\0\1\7"
            return [b"\0\0" + said, b"\1\0" + said, b"\0\0" + b"\1\0\0\1\2" + b"\2\0\0\1\1"]
        case "certificates":
            return list(_certificates())
        case "proxy":
            written = (write_v1(*_ENDS), write_v2(*_ENDS), write_v2(*_ENDS, checksum=True), SIGNATURE)
            return [b"\0\3" + octets + b"EHLO x\r\n" for octets in written]
    raise ValueError(f"no seeds for {name}")
