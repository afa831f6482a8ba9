"""`estafeta mailbox export` and `import`: mail that goes to files, or comes from elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from estafeta.cli.faults import CommandFault
from estafeta.cli.mailbox_care import fit_name, new_mailbox
from estafeta.cli.mailbox_lookup import account_of, mailbox_of
from estafeta.cli.opening import OpenedStore, opened
from estafeta.cli.options import config_option, json_option
from estafeta.cli.output import answer
from estafeta.store.records import Content, Instant, Mailbox, MailboxId

if TYPE_CHECKING:
    from estafeta.cli.mailbox_files import Filed
    from estafeta.store.messages import Draft

_STEP_MESSAGES, _STEP_OCTETS = 200, 4 * 1024 * 1024
"""What is put into a mailbox in one change, so that a server that runs meanwhile is not held up."""
_name = click.option("--mailbox", "name", metavar="NAME", default="INBOX", show_default=True, help="The mailbox.")


@click.command("export")
@click.argument("address")
@click.argument("path", type=click.Path(path_type=Path))
@_name
@click.option(
    "--format", "kind", type=click.Choice(["mbox", "maildir"]), default="mbox", show_default=True, help="What to write."
)
@config_option
@json_option
def export(address: str, path: Path, name: str, kind: str, config: Path | None, as_json: bool) -> None:
    """Write a mailbox of ADDRESS to the new file or folder PATH, with flags and dates; nothing is changed."""
    from estafeta.cli.mailbox_files import write_maildir, write_mbox

    with opened(config) as store:
        account = account_of(store, address)
        box = mailbox_of(store, account, name)
        write = write_mbox if kind == "mbox" else write_maildir
        try:
            count = write(path, _messages_of(store, box))
        except OSError as error:
            raise CommandFault(f"{path}: {error.strerror or error}") from error
    told = {"address": account.address, "name": box.name, "path": str(path), "messages": count}
    answer(as_json, told, f"{count} messages of {box.name} are in {path}")


def _messages_of(store: OpenedStore, box: Mailbox) -> Iterator[Filed]:
    from estafeta.cli.mailbox_files import Filed
    from estafeta.store import messages
    from estafeta.store.errors import NotFound

    keywords = store.read(lambda tx: messages.keywords(tx, box.mailbox_id))
    after, last = 0, box.uid_next - 1
    while True:
        found = store.read(
            lambda tx, after=after: messages.list_of(  # type: ignore[misc]
                tx, box.mailbox_id, after_uid=after, last_uid=last, limit=_STEP_MESSAGES
            )
        )
        for message in found:
            try:
                octets = store.read(
                    lambda tx, uid=message.uid: messages.read_content(  # type: ignore[misc]
                        tx, store.store.content, box.mailbox_id, uid
                    )
                )
            except NotFound:  # removed meanwhile
                continue
            yield Filed(octets, keywords.of(message.flags), message.internal_at)
        if not found:
            return
        after = found[-1].uid


@click.command("import")
@click.argument("address")
@click.argument("paths", metavar="PATH...", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True))
@_name
@click.option("--seen", is_flag=True, help="Mark everything as seen.")
@config_option
@json_option
def import_(address: str, paths: tuple[Path, ...], name: str, seen: bool, config: Path | None, as_json: bool) -> None:
    """Put the mail at each PATH into a mailbox of ADDRESS, which is made when it is not there.

    A PATH is an mbox, a Maildir, one message, or a folder of messages (*.eml). Flags and dates come along where the
    format has them. Nothing is looked for twice: what is imported again is there again.
    """
    from estafeta.cli.mailbox_files import UnreadableMail, read
    from estafeta.store import mailboxes

    with opened(config) as store:
        account = account_of(store, address)
        proper = fit_name(name)
        box = store.read(lambda tx: mailboxes.find(tx, account.account_id, proper))
        box = box or new_mailbox(store, account, proper)
        try:
            count = _import(store, box.mailbox_id, (filed for path in paths for filed in read(path)), seen=seen)
        except UnreadableMail as error:
            raise CommandFault(str(error)) from error
    answer(
        as_json,
        {"address": account.address, "name": box.name, "messages": count},
        f"{count} messages are in {box.name} now",
    )


def _import(store: OpenedStore, mailbox_id: MailboxId, found: Iterable[Filed], *, seen: bool) -> int:
    """Put messages into a mailbox in steps; gives how many. Raises CommandFault, which says how many are there."""
    from estafeta.store.messages import Draft

    count = octets = 0
    drafts: list[Draft] = []
    for filed in found:
        content = Content(len(filed.octets), filed.octets)
        if content.size > store.store.content.threshold:
            content = store.store.content.write(filed.octets)
        flags = {*filed.flags, *(["\\Seen"] if seen else [])}
        drafts.append(Draft(content, tuple(sorted(flags)), Instant(filed.at)))
        octets += len(filed.octets)
        if len(drafts) >= _STEP_MESSAGES or octets >= _STEP_OCTETS:
            count += _append(store, mailbox_id, drafts, count)
            drafts, octets = [], 0
    return count + _append(store, mailbox_id, drafts, count)


def _append(store: OpenedStore, mailbox_id: MailboxId, drafts: list[Draft], before: int) -> int:
    from estafeta.store import messages
    from estafeta.store.errors import StoreError

    if not drafts:
        return 0
    try:
        store.write(lambda tx: messages.append(tx, mailbox_id, drafts, now=store.now()))
    except StoreError as error:
        for draft in drafts:
            if draft.content.file is not None:
                store.store.content.remove(draft.content.file)
        raise CommandFault(f"{error}; {before} messages are in the mailbox now, the others are not") from error
    return len(drafts)


COMMANDS = (export, import_)
