"""A client that sends a picture over TLS with a login: python send_with_attachments.py HOST PORT CA_FILE

The password is in the environment, in SMTP_PASSWORD.
"""

import asyncio
import os
import sys
from email.message import EmailMessage
from email.utils import localtime, make_msgid

from estafeta import CLIENT_ERRORS, Client


def letter() -> EmailMessage:
    message = EmailMessage()
    message["From"] = "Ana Gómez <ana@example.org>"
    message["To"] = "Luis <luis@example.net>, nobody@example.net"
    message["Bcc"] = "archive@example.org"  # gets the message, and stands in no copy of it
    message["Subject"] = "La foto que querías"
    message["Date"] = localtime()
    message["Message-ID"] = make_msgid(domain="example.org")
    message.set_content("Hola, Luis:\n\nva adjunta.\n\nAna\n")
    message.add_alternative("<p>Hola, <b>Luis</b>:</p><p>va adjunta.</p><p>Ana</p>", subtype="html")
    message.add_attachment(b"\x89PNG\r\n\x1a\n...", maintype="image", subtype="png", filename="año.png")
    return message


async def main(host: str, port: int, ca_file: str) -> int:
    # STARTTLS that must succeed, with the certificate checked; "implicit" is TLS from the first octet, as on port 465.
    client = Client(
        host, port=port, tls="starttls", ca_file=ca_file, username="ana", password=os.environ["SMTP_PASSWORD"]
    )
    try:
        async with client:
            result = await client.send(letter())
    except CLIENT_ERRORS as error:
        print(f"not sent: {error}")
        return 1
    for each in result.replies:
        print(f"{each.forward_path}: {each.reply}")
    return 0 if not result.refused else 2


sys.exit(asyncio.run(main(sys.argv[1], int(sys.argv[2]), sys.argv[3])))
