"""Where next: what becomes of each forward-path."""
