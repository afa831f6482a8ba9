"""Mail that leaves: the dispatcher, the relay, the gateways, and what its senders are told."""
