"""A server that refuses at every stage what it does not want: python refuse_by_policy.py [PORT]"""

import asyncio
import sys

from estafeta import Handler, MaildirKeeper, Message, Recipient, Reply, Sender, Server, Session

NOT_OURS = Reply.of(550, "no such mailbox here", "5.1.1")
NO_ADVERTISING = Reply.of(550, "advertising is not wanted", "5.7.1")
LOGIN_FIRST = Reply.of(530, "log in to send as one of us", "5.7.0")


class Policy(Handler):
    """Mail for our domain from anyone; mail from our domain only after a login."""

    def __init__(self, domain: str, folder: str) -> None:
        self.domain = domain
        self.maildir = MaildirKeeper(folder)

    async def on_login(self, session: Session, identity: str, password: str) -> bool:
        return (identity, password) == ("ana", "correct horse")

    async def on_mail(self, session: Session, sender: Sender) -> Reply | None:
        address = sender.reverse_path.address  # None for the null reverse-path of notifications
        is_ours = address is not None and address.domain == self.domain
        return LOGIN_FIRST if is_ours and session.identity is None else None

    async def on_recipient(self, session: Session, recipient: Recipient) -> Reply | None:
        return None if recipient.forward_path.address.domain == self.domain else NOT_OURS

    async def on_message(self, session: Session, message: Message) -> Reply | None:
        if "buy now" in str(message.parsed()["Subject"]).lower():
            return NO_ADVERTISING
        await self.maildir.on_message(session, message)
        return None  # the client hears 250 only now, when the message is on the disk


async def main(port: int) -> None:
    async with Server(Policy("example.org", "maildir"), port=port, message_size=1_000_000) as server:
        print(f"listening on port {server.port}", flush=True)
        await server.serve_forever()


asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 8025))
