"""THREAD: messages as conversations, by ORDEREDSUBJECT and by REFERENCES (RFC 5256 §3)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from estafeta.mail.value import value


@value
class Threaded:
    """What a message is threaded by."""

    number: int
    """As it is told: message number or UID."""
    at: float
    subject: str
    is_reply: bool
    message_id: str
    references: Sequence[str]


@dataclass(slots=True, eq=False)
class _Node:
    """A place in a conversation; without a message where one is only referred to."""

    message: Threaded | None = None
    parent: _Node | None = None
    children: list[_Node] = field(default_factory=list)
    below: int = 0
    """How many children it has while they are being found."""

    def key(self) -> tuple[float, int]:
        """What siblings are ordered by: of a place without a message that of its first child."""
        node = self
        while node.message is None:
            node = node.children[0]
        return node.message.at, node.message.number


def ordered_subject(messages: Iterable[Threaded]) -> bytes:
    """Threads of the same base subject, each ordered by date (RFC 5256 §3, ORDEREDSUBJECT)."""
    threads: dict[str, list[Threaded]] = {}
    for message in sorted(messages, key=lambda each: (each.at, each.number)):
        threads.setdefault(message.subject, []).append(message)
    told = []
    for first, *others in threads.values():
        if not others:
            told.append(b"(%d)" % first.number)
        elif len(others) == 1:
            told.append(b"(%d %d)" % (first.number, others[0].number))
        else:
            told.append(b"(%d %b)" % (first.number, b"".join(b"(%d)" % each.number for each in others)))
    return b"".join(told)


def references(messages: Sequence[Threaded]) -> bytes:
    """Threads by Message-ID and References (RFC 5256 §3, REFERENCES)."""
    root = _Node()
    root.children = _linked(messages)  # (1), (2)
    for child in root.children:
        child.parent = root
    _prune(root)  # (3)
    for node in root.children:
        if node.message is None:
            node.children.sort(key=_Node.key)
    root.children.sort(key=_Node.key)  # (4)
    _merge_subjects(root)  # (5)
    _sort_all(root)  # (6)
    return b"".join(b"(" + _told(node) + b")" for node in root.children)


_STEPS = 3_000_000
"""Places that are looked at to find circles: many for any mailbox that people write; half a second at most."""
_FEW_STEPS = 50
"""And beyond these, for each link."""


def _linked(messages: Sequence[Threaded]) -> list[_Node]:
    nodes: dict[str, _Node] = {}
    every: list[_Node] = []
    steps = 0

    def link(node: _Node, parent: _Node) -> None:
        """Unless the parent is the node, or below it."""
        nonlocal steps
        walked: _Node | None = parent
        left = _STEPS - steps if steps < _STEPS else _FEW_STEPS
        while walked is not None:
            steps += 1
            left -= 1
            if walked is node or left < 0:
                return
            # Most have nothing below them yet.
            walked = walked.parent if node.below else None
        node.parent = parent
        parent.below += 1

    for message in messages:
        # (1)(A): a message whose id another has already is as one without
        node = nodes.get(message.message_id) if message.message_id else None
        if node is None or node.message is not None:
            fresh = _Node()
            every.append(fresh)
            if node is None and message.message_id:
                nodes[message.message_id] = fresh
            node = fresh
        node.message = message
        before: _Node | None = None
        for reference in message.references:
            referred = nodes.get(reference)
            if referred is None:
                referred = nodes[reference] = _Node()
                every.append(referred)
            if before is not None and referred.parent is None:
                link(referred, before)
            before = referred
        # (1)(B): the last reference is the parent, whatever was thought before
        if node.parent is not None and node.parent is not before:
            node.parent.below -= 1
            node.parent = None
        if before is not None and node.parent is None:
            link(node, before)
    for node in every:
        if node.parent is not None:
            node.parent.children.append(node)
    return [node for node in every if node.parent is None]


def _put(node: _Node, parent: _Node) -> None:
    node.parent = parent
    parent.children.append(node)


def _prune(root: _Node) -> None:
    """(3): places without a message go, or are replaced by their children."""
    order: list[_Node] = []
    stack = [root]
    while stack:
        node = stack.pop()
        order.append(node)
        stack += node.children
    for node in reversed(order):
        kept: list[_Node] = []
        for child in node.children:
            if child.message is None and not child.children:
                continue
            # At the root a place without a message stays while it has several children.
            if child.message is None and (node is not root or len(child.children) == 1):
                kept += child.children
            else:
                kept.append(child)
        for child in kept:
            child.parent = node
        node.children = kept


def _first(node: _Node) -> Threaded:
    """(5)(B): the message of a thread that its subject is taken from."""
    while node.message is None:
        node = node.children[0]
    return node.message


def _merge_subjects(root: _Node) -> None:
    table: dict[str, _Node] = {}
    for node in root.children:  # (5)(B)
        subject = _first(node).subject
        if not subject:
            continue
        known = table.get(subject)
        if known is None or (
            (node.message is None and known.message is not None)
            or (
                known.message is not None
                and _first(known).is_reply
                and node.message is not None
                and not _first(node).is_reply
            )
        ):
            table[subject] = node
    gone: set[int] = set()
    places = {id(node): place for place, node in enumerate(root.children)}
    for node in list(root.children):  # (5)(C)
        subject = _first(node).subject
        other = table.get(subject) if subject else None
        if other is None or other is node:
            continue
        gone.add(id(node))
        if node.message is None and other.message is None:
            for child in node.children:
                _put(child, other)
        elif other.message is None or (_first(node).is_reply and not _first(other).is_reply):
            _put(node, other)
        else:
            # Both are replies, or neither: they become children of a place without a message.
            between = _Node(parent=root)
            place = places[id(other)]
            root.children[place] = between
            places[id(between)] = place
            _put(other, between)
            _put(node, between)
            table[subject] = between
    root.children = [node for node in root.children if id(node) not in gone]


def _sort_all(root: _Node) -> None:
    order: list[_Node] = []
    stack = [root]
    while stack:
        node = stack.pop()
        order.append(node)
        stack += node.children
    for node in reversed(order):
        if len(node.children) > 1:
            node.children.sort(key=_Node.key)


def _told(node: _Node) -> bytes:
    """One thread without its parentheses; written without recursion, as threads may be thousands deep."""
    out: list[bytes] = []
    stack: list[_Node | bytes] = [node]
    while stack:
        each = stack.pop()
        if isinstance(each, bytes):
            out.append(each)
            continue
        if each.message is not None:
            out.append(b"%d" % each.message.number)
            if each.children:
                out.append(b" ")
        if len(each.children) == 1:
            stack.append(each.children[0])
        else:
            for child in reversed(each.children):
                stack += [b")", child, b"("]
    return b"".join(out)
