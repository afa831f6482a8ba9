"""What names a conversation (THREADID of RFC 8474 §5.2): the first message that is known of it.

A reply names in References how its conversation began, so messages agree without knowing each other, in every
mailbox, and what was once said stays: the id is made of the message's own octets.
"""

from __future__ import annotations

from hashlib import blake2b


def thread_id(message_ids: str, email_id: str) -> str:
    """The id of a conversation: letters and digits.

    `message_ids` has the message's own id in its first line, which may be empty, and below it what it refers to, as
    descriptions keep it. A message without any is a conversation of its own, by its EMAILID.
    """
    own, _, references = message_ids.partition("\n")
    root = references.partition("\n")[0] or own or email_id
    return "T" + blake2b(root.encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()
