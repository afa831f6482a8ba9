"""The simulator: post offices as they are, in a world of virtual time that breaks in every way that it can."""
