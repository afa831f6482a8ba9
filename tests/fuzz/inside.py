"""One run of libFuzzer over one harness, in a process of its own: `python -m tests.fuzz.inside NAME [options]`."""

from __future__ import annotations

import sys
from importlib import import_module

import atheris

name = sys.argv[1]
with atheris.instrument_imports(include=["estafeta"], enable_loader_override=False):
    run = import_module(f"tests.fuzz.targets.{name}").run

atheris.Setup(sys.argv[1:], run)
atheris.Fuzz()
