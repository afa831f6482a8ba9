"""Where the parts of a message stand, whatever the world makes of MIME."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from estafeta.mail.mime.index import Limits, Part, find, index, pack, unpack


def multipart(boundary: bytes, *parts: bytes, subtype: bytes = b"mixed", end: bytes = b"\r\n") -> bytes:
    lines = b"".join(b"--%b%b%b%b" % (boundary, end, part, end) for part in parts)
    head = b'Content-Type: multipart/%b; boundary="%b"%b%b' % (subtype, boundary, end, end)
    return head + lines + b"--%b--%b" % (boundary, end)


def bodies(octets: bytes, limits: Limits | None = None) -> list[bytes]:
    return [octets[part.body : part.end] for part in index(octets, limits).parts]


def tree(part: Part) -> object:
    """The kinds of the parts, nested as they are."""
    kind = f"{part.media_type}/{part.subtype}"
    return [kind, *map(tree, part.parts)] if part.parts else kind


@pytest.mark.rfc("2045 §5.2", "What does not say its type, or says none, is plain text in US-ASCII.")
@pytest.mark.parametrize("field", [b"", b"Content-Type: text\r\n", b"Content-Type: ;\r\n", b"Content-Type:\r\n"])
def test_what_has_no_type_is_plain_text(field: bytes) -> None:
    part = index(field + b"\r\nhello\r\n")
    assert (part.media_type, part.subtype, part.parameters) == ("text", "plain", (("charset", b"us-ascii"),))
    assert (part.body, part.size, part.lines, part.encoding) == (len(field) + 2, 7, 1, "7bit")


@pytest.mark.rfc("2045 §5.1", "Type, encoding and parameters are read in any case, folded, quoted and with comments.")
def test_fields_are_read_as_the_world_writes_them() -> None:
    part = index(
        b'Content-type: TEXT/Plain (plain "text);\r\n\tCharset = ISO-8859-1 ; name="a\\"b; c"(x);\r\n'
        b" x=a'b\r\nCONTENT-TRANSFER-ENCODING : Quoted-Printable (sic)\r\nContent-ID: <a@b>\r\n"
        b"Content-Description: say\r\n  what\r\nContent-MD5: Q2hlY2s=\r\nContent-Language: en, de\r\n"
        b'Content-Location: http://a.example/\r\nContent-Disposition: ATTACHMENT; filename="a b.txt"\r\n\r\nx'
    )
    assert (part.media_type, part.subtype, part.encoding) == ("text", "plain", "quoted-printable")
    assert part.parameters == (("charset", b"ISO-8859-1"), ("name", b'a"b; c'), ("x", b"a'b"))
    assert (part.content_id, part.description, part.md5) == (b"<a@b>", b"say  what", b"Q2hlY2s=")
    assert (part.language, part.location) == (b"en, de", b"http://a.example/")
    assert part.disposition == ("attachment", (("filename", b"a b.txt"),))


@pytest.mark.rfc("2231 §3", "Continued and encoded parameters stay as they are: IMAP gives them raw.")
def test_continued_parameters_stay_raw() -> None:
    part = index(b"Content-Type: text/plain; name*0*=utf-8'es'ma%C3%B1;\r\n name*1=\"ana\"; \xf1=\xe9\r\n\r\n")
    assert part.parameters == (("name*0*", b"utf-8'es'ma%C3%B1"), ("name*1", b"ana"), ("\xf1", b"\xe9"))


@pytest.mark.rfc("2046 §5.1.1", "The line end before a delimiter belongs to it; preamble and epilogue are no parts.")
@pytest.mark.parametrize("end", [b"\r\n", b"\n"])
def test_a_multipart_is_parted_at_its_delimiters(end: bytes) -> None:
    octets = multipart(b"b c", end + b"one" + end, b"X: y" + end + end + b"two", end=end)
    octets = octets.replace(b"--b c" + end, b"preamble" + end + b"--b c" + end, 1) + b"--b c" + end + b"epilogue"
    assert bodies(octets) == [b"one" + end, b"two"]
    assert [octets[part.start : part.body] for part in index(octets).parts] == [end, b"X: y" + end + end]


@pytest.mark.parametrize(
    ("body", "parts"),
    [
        (b"--b\r\n\r\ncut off", [b"cut off"]),
        (b"--b\r\n\r\none\r\n--b", [b"one", b""]),
        (b"--b \t\r\n\r\none\r\n--b-- \r\n", [b"one"]),
        (b"--b\r\n--b\r\n\r\n--b--", [b"", b""]),
        (b"--b--\r\n", [b"--b--\r\n"]),
        (b"--b\r\n\r\none\r\n--bb\r\ntwo\r\n--b--\r\n", [b"one\r\n--bb\r\ntwo"]),
        (b"--b\r\n\r\none\n--b\n\ntwo\r\n--b--\r\n", [b"one", b"two"]),
        (b"--b;\r\n\r\none\r\n--b; last--\r\n", [b"one", b""]),
        (b"nothing\r\n", [b"nothing\r\n"]),
        (b"--b\r\nno field and no empty line", [b"no field and no empty line"]),
        (b"--b\r\nX: only a field\r\n--b--", [b""]),
    ],
)
def test_broken_delimiters_are_read_as_they_are_meant(body: bytes, parts: list[bytes]) -> None:
    assert bodies(b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + body) == parts


@pytest.mark.parametrize("parameter", [b"", b"; boundary", b"; boundary=", b'; boundary="  "', b"; boundary=other"])
def test_a_multipart_without_its_boundary_is_one_text(parameter: bytes) -> None:
    part = index(b"Content-Type: multipart/mixed" + parameter + b"\r\n\r\n--b\r\n\r\none\r\n--b--\r\n")
    assert tree(part) == ["multipart/mixed", "text/plain"]
    assert part.parts[0].size == part.size


@pytest.mark.rfc("2046 §5.1.2", "The outer delimiter ends what is within, also where the inner one begins with it.")
def test_the_outer_boundary_counts() -> None:
    inner = multipart(b"bb", b"\r\none", b"\r\ntwo")
    octets = multipart(b"b", inner.replace(b"--bb--\r\n", b""), b"\r\nthree")
    assert tree(index(octets)) == ["multipart/mixed", ["multipart/mixed", "text/plain", "text/plain"], "text/plain"]


@pytest.mark.rfc("2046 §5.1.5", "In a digest what does not say its type is a message.")
def test_parts_of_a_digest_are_messages() -> None:
    octets = multipart(b"b", b"\r\nSubject: a\r\n\r\none", b"Content-Type: text/plain\r\n\r\ntwo", subtype=b"digest")
    root = index(octets)
    assert tree(root) == ["multipart/digest", ["message/rfc822", "text/plain"], "text/plain"]
    message = root.parts[0].parts[0]
    assert octets[message.start : message.body] == b"Subject: a\r\n\r\n"
    assert octets[message.body : message.end] == b"one"


@pytest.mark.rfc("6532 §3.7", "A message/global part holds a message, as message/rfc822 does.")
def test_messages_in_messages() -> None:
    inner = b"Content-Type: message/global\r\n\r\nSubject: \xc3\xb1\r\n\r\nhola\r\n"
    octets = b"Content-Type: message/rfc822\r\n\r\n" + inner
    root = index(octets)
    assert tree(root) == ["message/rfc822", ["message/global", "text/plain"]]
    assert root.lines == 5


@pytest.mark.rfc("2046 §5.2.1", "An encoded message is a leaf: nothing in it has a place in the message.")
@pytest.mark.parametrize("encoding", [b"base64", b"quoted-printable", b"x-unheard-of"])
def test_an_encoded_message_is_a_leaf(encoding: bytes) -> None:
    part = index(
        b"Content-Type: message/rfc822\r\nContent-Transfer-Encoding: " + encoding + b"\r\n\r\nU3ViamVjdDogeA0K"
    )
    assert part.is_message
    assert not part.parts


@pytest.mark.rfc("9051 §6.4.5.1", "Parts are found by number, through multiparts and messages; 1 is an only body.")
def test_parts_are_found_by_their_numbers() -> None:
    message = b"Subject: in\r\n" + multipart(b"c", b"\r\n4.2.1", b"\r\n4.2.2")
    plain = b"Content-Type: message/rfc822\r\n\r\nSubject: plain\r\n\r\n3.1"
    four = multipart(b"d", b"\r\n4.1", b"Content-Type: message/rfc822\r\n\r\n" + message)
    octets = multipart(b"b", b"\r\n1", b"Content-Type: image/png\r\n\r\n2", plain, four)
    root = index(octets)

    def said(*path: int) -> bytes | None:
        part = find(root, path)
        return None if part is None else octets[part.body : part.end]

    for path in ((1,), (2,), (3, 1), (4, 1), (4, 2, 1), (4, 2, 2)):
        assert said(*path) == ".".join(map(str, path)).encode()
    assert said(3) == b"Subject: plain\r\n\r\n3.1"
    assert said(4, 2) == message
    assert find(root, ()) is root
    for path in ((0,), (5,), (1, 1), (2, 1), (3, 2), (3, 1, 1), (4, 3), (4, 2, 3), (-1,)):
        assert find(root, path) is None, path
    alone = index(b"Subject: x\r\n\r\nonly")
    assert find(alone, (1,)) is alone
    assert find(alone, (2,)) is find(alone, (1, 1)) is None
    wrapped = index(b"Content-Type: message/rfc822\r\n\r\nSubject: y\r\n\r\ninner")
    assert find(wrapped, (1,)) is wrapped
    assert find(wrapped, (1, 1)) is wrapped.parts[0]
    assert find(wrapped, (1, 1, 1)) is None


def test_depth_and_number_of_parts_are_limited() -> None:
    octets = multipart(b"b", *[b"\r\nx"] * 10)
    few = index(octets, Limits(parts=4))
    assert len(few.parts) == 3
    assert few.parts[-1].end == few.end  # the rest is not lost
    nested = b"\r\nx"
    for level in range(6):
        nested = multipart(b"b%d" % level, nested)
    part = index(nested, Limits(depth=3))
    depth = 0
    while part.parts:
        part, depth = part.parts[0], depth + 1
    assert depth == 4
    assert b"--b1" in nested[part.body : part.end]
    messages = index(b"Content-Type: message/rfc822\r\n\r\n" * 5, Limits(depth=2))
    assert tree(messages) == ["message/rfc822", ["message/rfc822", "message/rfc822"]]


def test_only_so_much_of_a_header_section_is_looked_at() -> None:
    octets = b"X: " + b"y" * 1000 + b"\r\nContent-Type: text/html\r\n\r\nx"
    assert index(octets).subtype == "html"
    limited = index(octets, Limits(header=1000))
    assert (limited.subtype, limited.size) == ("plain", 1)
    many = index(b"Content-Type: text/html" + b"; a=b" * 100 + b"\r\n\r\n", Limits(parameters=7))
    assert len(many.parameters) == 7


def test_what_is_packed_comes_out_as_it_was() -> None:
    octets = multipart(
        b"\xff",
        b"Content-Disposition: inline; a=\xfe\r\nContent-ID: <\xf1>\r\n\r\none",
        b"Content-Language: es\r\n\r\n",
    )
    root = index(octets)
    assert unpack(pack(root)) == root
    shifted = unpack(pack(root), 100)
    assert (shifted.start, shifted.body, shifted.end) == (0, root.body + 100, root.end + 100)
    assert shifted.parts[0].start == root.parts[0].start + 100
    for broken in (b"", b"{}", b"[]", b"[1]", b"nonsense", b"\xff"):
        with pytest.raises(ValueError):
            unpack(broken)


@given(
    st.lists(
        st.sampled_from(
            [
                b"--b",
                b"--bb",
                b"--",
                b"\r\n",
                b"\n",
                b"\r",
                b"Content-Type: ",
                b"multipart/mixed",
                b"; boundary=b",
                b"x: y",
                b"message/rfc822",
                b"multipart/digest; boundary=bb",
                b"\r\n\r\n",
                b" ",
                b'"',
                b"(",
                b"\0",
                b"\xff",
                b"base64",
            ]
        ),
        max_size=60,
    ).map(b"".join)
)
def test_every_part_stands_within_the_one_around_it(octets: bytes) -> None:
    root = index(b"Content-Type: multipart/mixed; boundary=b\r\n" + octets)
    waiting = [root]
    while waiting:
        part = waiting.pop()
        assert part.start <= part.body <= part.end
        at = part.body
        for inner in part.parts:
            assert at <= inner.start <= inner.end <= part.end
            at = inner.end
        waiting.extend(part.parts)
    assert unpack(pack(root)) == root
