"""What servers are loaded with."""
