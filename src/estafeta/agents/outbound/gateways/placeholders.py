"""Placeholders in paths and commands, and the parts of an envelope that they stand for.

What a stranger wrote into an address never becomes a path's separator, a folder above, or an option of a command.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from string import Formatter

from estafeta.mail.address import Address
from estafeta.store.ids import IdSource
from estafeta.store.records import QueuedMessage, QueuedRecipient

PATH_PLACEHOLDERS = ("local", "user", "domain", "address")
RECIPIENT_PLACEHOLDERS = ("recipient", "original_recipient", "mailbox", "user", "extension", "domain")
"""Those of a command that each recipient has for itself; pipe(8) has the same names."""
COMMAND_PLACEHOLDERS = (*RECIPIENT_PLACEHOLDERS, "sender", "size", "queue_id", "sasl_username", "envid")

_PATH_SAFE = frozenset("+-._=@")
MAX_NAME = 255
"""Octets of one name in a folder (NAME_MAX of Linux and of all its file systems)."""


class UnfitAddress(ValueError):
    """The address cannot be said in this path or to this command; the message says why in words fit for a reply."""


def unknown_in(template: str, known: Sequence[str]) -> Iterator[str]:
    """What is wrong with a template: one sentence, without the dot, for each."""
    try:
        fields = list(Formatter().parse(template))
    except ValueError:
        yield "has a brace that is not closed or not opened"
        return
    for _, name, form, conversion in fields:
        if name is not None and (name not in known or form or conversion):
            yield f"has an unknown placeholder {{{name}}}"


def names_in(template: str) -> frozenset[str]:
    """The placeholders of a template."""
    return frozenset(name for _, name, _, _ in Formatter().parse(template) if name is not None)


def user_and_extension(local_part: str, delimiter: str) -> tuple[str, str]:
    """`ana+news` taken apart at the first delimiter; a local-part that begins with it is whole."""
    if not delimiter or delimiter not in local_part[1:]:
        return local_part, ""
    at = local_part.index(delimiter, 1)
    return local_part[:at], local_part[at + 1 :]


def expand_path(template: str, address: Address, delimiter: str) -> str:
    """The path for a recipient; whatever the address is, it has as many parts as the template. Raises UnfitAddress."""
    local_part = address.local_part.lower()
    user, _ = user_and_extension(local_part, delimiter)
    whole = f"{local_part}@{address.domain}"
    values = {"local": local_part, "user": user, "domain": address.domain, "address": whole}
    path = template.format_map({name: _as_file_name(value) for name, value in values.items()})
    if any(len(part.encode()) > MAX_NAME for part in path.split("/")):
        raise UnfitAddress("the address is too long for a mailbox here")
    return path


def _as_file_name(value: str) -> str:
    """Different values give different names, none of which is empty, `.`, `..` or has a `/`."""
    if not value:
        return "%"
    name = "".join(
        character if character.isalnum() or character in _PATH_SAFE else _percent(character) for character in value
    )
    return "%2E" + name[1:] if name.startswith(".") else name


def _percent(character: str) -> str:
    return "".join(f"%{octet:02X}" for octet in character.encode())


def recipient_values(recipient: QueuedRecipient, delimiter: str) -> dict[str, str]:
    """What the placeholders of a command stand for, those of one recipient."""
    address = recipient.forward_path.address
    user, extension = user_and_extension(address.local_part, delimiter)
    return {
        "recipient": str(address),
        "original_recipient": str(address) if recipient.original is None else recipient.original.address,
        "mailbox": address.local_part,
        "user": user,
        "extension": extension,
        "domain": address.domain,
    }


def message_values(message: QueuedMessage, size: int, null_sender: str) -> dict[str, str]:
    """Those of the message: `size` counts the octets that are handed over."""
    return {
        "sender": null_sender if message.reverse_path.is_null else str(message.reverse_path),
        "size": str(size),
        "queue_id": IdSource.text(message.message_id),
        "sasl_username": message.account or "",
        "envid": message.envid or "",
    }


def expand_command(
    command: Sequence[str], message: Mapping[str, str], recipients: Sequence[Mapping[str, str]]
) -> list[str]:
    """Program and arguments; one that names a part of the recipient is there once for each, as in pipe(8).

    Raises UnfitAddress where a stranger's text would be read as an option.
    """
    arguments: list[str] = []
    options_end = False
    for template in command:
        names = names_in(template)
        options_end = options_end or template == "--"
        for recipient in recipients if names & set(RECIPIENT_PLACEHOLDERS) else ({},):
            argument = _without_controls(template.format_map({**message, **recipient}))
            if argument.startswith("-") and not template.startswith("-") and not options_end:
                raise UnfitAddress("an address that begins with a hyphen is not taken here")
            arguments.append(argument)
    return arguments


def _without_controls(text: str) -> str:
    """ENVID and ORCPT may decode to anything; an argument cannot have a NUL, and should not have a line's end."""
    return text.translate(_CONTROLS)


_CONTROLS = dict.fromkeys((*range(32), 127), "_")
