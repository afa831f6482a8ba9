"""What tests of every room may use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

SUITES = Path(__file__).parents[1].parent / "shared" / "suites"


@pytest.fixture(scope="session")
def suites() -> Path:
    """The folder of outside test data, kept beside the project; without it these tests are skipped."""
    folder = Path(os.environ.get("ESTAFETA_SUITES", SUITES))
    if not folder.is_dir():
        if os.environ.get("CI"):
            pytest.fail(f"the outside test data is missing: {folder}")
        pytest.skip(f"the outside test data is not at {folder}")
    return folder
