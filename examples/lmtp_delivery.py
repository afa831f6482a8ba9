"""LMTP: each recipient has a reply of its own. A server and a client in one program: python lmtp_delivery.py"""

import asyncio

from estafeta import Client, Handler, Message, Reply, Server, Session

STORED = Reply.of(250, "delivered", "2.1.5")
FULL = Reply.of(452, "mailbox full", "4.2.2")


class Mailboxes(Handler):
    """Three mailboxes; that of Luis is full."""

    async def on_message(self, session: Session, message: Message) -> list[Reply]:
        return [FULL if path.startswith("luis@") else STORED for path in message.forward_paths]


async def main() -> None:
    async with Server(Mailboxes(), lmtp=True) as server, Client(server.host, port=server.port, lmtp=True) as client:
        result = await client.send(
            b"Subject: three at once\r\n\r\nHello.\r\n",
            sender="ana@example.org",
            recipients=["eva@example.net", "luis@example.net", "noa@example.net"],
        )
    for each in result.replies:
        print(f"{each.forward_path}: {each.reply}")


asyncio.run(main())
