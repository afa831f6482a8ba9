"""What the fuzzer puts into its inputs: the words of each language, out of the tables that the engines read them by."""

from __future__ import annotations

from estafeta.wire.imap.commands import COMMANDS as IMAP_COMMANDS
from estafeta.wire.imap.searching import Return, SortKey
from estafeta.wire.pop3.commands import COMMANDS
from estafeta.wire.smtp.extensions import EXTENSIONS
from estafeta.wire.smtp.verbs import VERBS

_LINE_ENDS = ("\r\n", "\n", "\r", "\r\n.\r\n", "\n.\n", "\r.\r", ".", "\0", "\u0085", "\u2028", "é")
_PARAMETERS = (
    *(f"{parameter.keyword}=" for extension in EXTENSIONS for parameter in extension.mail_parameters),
    *(f"{parameter.keyword}=" for extension in EXTENSIONS for parameter in extension.rcpt_parameters),
)
_ENVELOPE = (
    *_PARAMETERS,
    *("FROM:<", "TO:<", ">", "@", '"', "\\", "[IPv6:", "[192.0.2.1]", "rfc822;", "utf-8;", "\\x{2028}", "+0D", "+0A"),
    *("BINARYMIME", "8BITMIME", "NEVER", "SUCCESS,FAILURE", "Postmaster", " SMTPUTF8", "xn--", "example.org"),
)
_WORDS: dict[str, tuple[str, ...]] = {
    "server": (*(f"{verb.name} " for verb in VERBS), *_ENVELOPE, "BDAT 5 LAST\r\n", "EHLO x\r\n", "PLAIN", "*\r\n"),
    "client": ("250-", "250 ", "354 ", "421 ", "5.1.1 ", *(extension.keyword for extension in EXTENSIONS)),
    "replies": ("250-", "250 ", "354 ", "421 ", "5.1.1 ", "SIZE 10", "LIMITS RCPTMAX=3", "AUTH=PLAIN"),
    "envelope": _ENVELOPE,
    "sasl": ("n,,", "n=", "r=", "c=biws", "p=", "a=", ",", "=2C", "v=", "s=", "i=1", "p=tls-server-end-point,,", "e="),
    "header": (
        "Received: ",
        "Message-ID: <",
        "From: ",
        "Date: ",
        "\r\n\r\n",
        "\r\n ",
        "=?utf-8?B?",
        "=?utf-8?Q?",
        "?=",
    ),
    "mime": (
        *(
            "Content-Type: ",
            "multipart/mixed; boundary=b",
            "message/rfc822",
            "multipart/digest; boundary=bb",
            "\r\n\r\n",
        ),
        *("--b", "--b--", "--bb", "Content-Transfer-Encoding: ", "base64", "quoted-printable", "text/html", "charset="),
        *("Content-Disposition: ", "From: ", "Subject: ", "Date: ", "References: ", "=?utf-8?B?", "=?utf-8?Q?", "?="),
        *("<!--", "-->", "<style>", "&#", "&amp;", "[fwd:", "(fwd)", "Re: ", "utf-7", "iso-2022-jp", "name*0*="),
    ),
    "dnsmessage": ("\xc0\x0c", "\0\1\0\1", "\0\x0f\0\1", "\0\x10\0\1", "\0\5\0\1", "\0\x1c\0\1", "\0\x34\0\1"),
    "proxy": ("PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n", "PROXY TCP6 2001:db8::1 ::1 65535 25\r\n", "PROXY UNKNOWN"),
    "imap": (
        *(f"a {command.name} " for command in IMAP_COMMANDS),
        *(
            "{1+}\r\n",
            "{1}\r\n",
            "~{2+}\r\n",
            "{0}\r\n",
            "{99999999999+}\r\n",
            "DONE\r\n",
            "*\r\n",
            "(",
            ")",
            '"',
            "\\",
        ),
        *(
            "CATENATE (",
            "TEXT ",
            "URL ",
            "UTF8 (~",
            "RETURN (",
            "CHARSET ",
            "BODY[",
            "HEADER.FIELDS (",
            "<0.1>",
            "1:*,$",
        ),
        *(
            *(word.value for word in Return),
            *(word.value for word in SortKey),
            "OR ",
            "NOT ",
            "UID ",
            "KEYWORD ",
            "SINCE ",
        ),
        *(
            "(CHANGEDSINCE ",
            "VANISHED",
            "(QRESYNC (",
            "(CONDSTORE)",
            "NONE",
            "SET ",
            "selected",
            "subtree ",
            "MessageNew",
        ),
        *(
            "MAXSIZE ",
            "DEPTH ",
            "/shared/a",
            "&AOE-",
            "INBOX/",
            "1-Feb-2026",
            "PREVIEW (LAZY)",
            "STATUS (",
            "PLAIN",
            "NIL",
        ),
    ),
    "pop3": (*(f"{command.name} " for command in COMMANDS), "USER ana\r\nPASS x\r\n"),
}


def dictionary(name: str) -> str:
    """The words in the form of libFuzzer's dictionaries."""
    words = (*_WORDS.get(name, ()), *_LINE_ENDS)
    coding = "latin-1" if name == "dnsmessage" else "utf-8"
    return "".join(
        '"' + "".join(f"\\x{octet:02x}" for octet in word.encode(coding, "replace")) + '"\n' for word in words
    )
