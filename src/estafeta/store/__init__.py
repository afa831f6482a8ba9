"""Everything durable: accounts, mailboxes, queue, content and journal in one transactional store."""
