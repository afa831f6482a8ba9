"""Messages that others have found hard, and the trees that they found in them.

Where we read one otherwise than the suite does, the reason stands here.
"""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest

from estafeta.mail.mime.decoding import UnknownEncoding
from estafeta.mail.mime.index import Part, index
from estafeta.mail.mime.section import decoded

Tree = tuple[str, object]

ENCODED = {
    "multi-2gifs-base64.msg",
    "bad-newlines-multiple-parts-base64.msg",
    "base64encoded-rfc822message-nested.msg",
    "base64encoded-rfc822message.msg",
}
"""An encoded message/rfc822 is a leaf (RFC 2046 §5.2.1 forbids the encoding); its decoded octets have the tree."""
CUT_OFF = {"frag.msg", "multi-frag.msg"}
"""Base64 that ends within a group of four: the suite drops the group, we keep the octets that are whole."""
NO_FIELDS = {"malformedHeaderStartsBody-nocrlfcrlf.msg", "malformedHeaderStartsBody-noheader.msg"}
"""A header section ends with the first empty line, as POP3's TOP has it too; the suite ends it at what is no field."""


def expected(element: ElementTree.Element, folder: Path) -> Tree:
    inner = [each for each in element if each.tag in ("multipart", "message", "text-body", "binary-body")]
    assert len(inner) == 1
    if inner[0].tag == "multipart":
        return "multipart", [expected(each, folder) for each in inner[0].findall("body-part")]
    if inner[0].tag == "message":
        return "message", expected(inner[0], folder)
    return "leaf", lines((folder / inner[0].attrib["name"]).read_bytes())


def lines(octets: bytes) -> bytes:
    return octets.replace(b"\r\n", b"\n")


def found(octets: bytes, part: Part, *, opens: bool = False) -> Tree:
    if part.is_multipart:
        parts = part.parts if part.parts[0].start != part.body else ()  # one that is all preamble has none
        return "multipart", [found(octets, each, opens=opens) for each in parts]
    if part.parts:
        return "message", found(octets, part.parts[0], opens=opens)
    try:
        body = decoded(octets, part)
    except UnknownEncoding:
        body = octets[part.body : part.end]
    if opens and part.is_message:
        return "message", found(body, index(body), opens=True)
    return "leaf", lines(body)


def test_messages_of_strangers_have_the_trees_that_strangers_found(suites: Path) -> None:
    files = sorted((suites / "mime" / "mime4j").rglob("*.msg"))
    assert len(files) == 80
    otherwise = set()
    for file in files:
        octets = file.read_bytes()
        tree = expected(ElementTree.fromstring(file.with_name(f"{file.stem}_decoded.xml").read_bytes()), file.parent)
        if found(octets, index(octets)) != tree:
            otherwise.add(file.name)
            if file.name in ENCODED:
                assert found(octets, index(octets), opens=True) == tree
    assert otherwise == ENCODED | CUT_OFF | NO_FIELDS


def leaves(tree: Tree) -> list[bytes]:
    kind, inner = tree
    if kind == "leaf":
        return [inner]  # type: ignore[list-item]
    return [leaf for each in ([inner] if kind == "message" else inner) for leaf in leaves(each)]  # type: ignore


@pytest.mark.parametrize("name", sorted(CUT_OFF))
def test_of_cut_off_base64_nothing_whole_is_lost(suites: Path, name: str) -> None:
    file = suites / "mime" / "mime4j" / "mimetools-testmsgs" / name
    octets = file.read_bytes()
    tree = expected(ElementTree.fromstring(file.with_name(f"{file.stem}_decoded.xml").read_bytes()), file.parent)
    ours, theirs = leaves(found(octets, index(octets))), leaves(tree)
    assert len(ours) == len(theirs)
    differing = [(mine, other) for mine, other in zip(ours, theirs, strict=True) if mine != other]
    assert len(differing) == 1
    mine, other = differing[0]
    assert mine.startswith(other)
    assert len(mine) == len(other) + 2
