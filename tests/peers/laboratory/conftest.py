"""The laboratory: a machine with its own network, DNS and mail servers; one for each module of tests."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.peers.conftest import program
from tests.peers.laboratory.isolation import Laboratory
from tests.peers.laboratory.names import Names

PEERS = Path(os.environ.get("ESTAFETA_PEERS", "/var/cache/estafeta-peers"))
"""Where `.ci/run` unpacks the packages that cannot be installed beside Postfix."""


@pytest.fixture(scope="module")
def laboratory() -> Iterator[Laboratory]:
    """The machine; root only. It and all in it end with the module, or with the process of the tests."""
    for name, package in (("unshare", "util-linux"), ("nsenter", "util-linux"), ("ip", "iproute2")):
        program(name, package)
    if os.geteuid() != 0:
        if os.environ.get("CI"):
            pytest.fail("the laboratory needs root")
        pytest.skip("the laboratory needs root")
    with tempfile.TemporaryDirectory(prefix="estafeta-laboratory-") as name:
        laboratory = Laboratory(Path(name), tuple(path for path in sorted(PEERS.glob("[!.]*")) if path.is_dir()))
        laboratory.start()
        try:
            yield laboratory
        finally:
            laboratory.stop()


@pytest.fixture(scope="module")
def names(laboratory: Laboratory) -> Names:
    """Its DNS."""
    names = Names(laboratory)
    names.start()
    return names
