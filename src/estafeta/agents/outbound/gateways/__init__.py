"""Ways out of the house that the DNS does not know: other servers by name, Maildirs, mboxes, commands."""
