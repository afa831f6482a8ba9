"""The protocol engines: octets in, events and octets out; no I/O, no clock, no chance."""
