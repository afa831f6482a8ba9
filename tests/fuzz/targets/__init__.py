"""The harnesses, one module each: its first words are the invariant, its `run` takes one input of the fuzzer."""
