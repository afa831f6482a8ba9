"""The folder of what is damaged: octets as they are, and beside them a document that says what they were."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path

from estafeta.store.files import make_folder, open_private
from estafeta.store.repair.report import Affected

FOLDER = "quarantine"
_PIECE = 1 << 20


class Quarantine:
    """Writes into the folder; nothing where `is_dry_run`."""

    def __init__(self, data_directory: Path, *, is_dry_run: bool = False) -> None:
        self._folder = data_directory / FOLDER
        self._is_dry_run = is_dry_run

    def keep(self, name: str, octets: bytes) -> str:
        """Write octets under this name with `.eml` behind it; gives the file's name. Raises OSError."""
        if not self._is_dry_run:
            self._write(f"{name}.eml", octets)
        return f"{name}.eml"

    def keep_file(self, name: str, source: Path) -> str:
        """The same with what is in a file. Raises OSError."""
        target = f"{name}.eml"
        if not self._is_dry_run:
            make_folder(self._folder)
            path = self._folder / target
            path.unlink(missing_ok=True)
            try:
                os.link(source, path)
            except OSError:  # a file system without links
                with source.open("rb") as file, os.fdopen(open_private(path, is_new=True), "wb") as copy:
                    while piece := file.read(_PIECE):
                        copy.write(piece)
        return target

    def describe(self, affected: Affected) -> None:
        """Write the document beside the file of a message. Raises OSError."""
        if affected.file is not None and not self._is_dry_run:
            text = json.dumps(asdict(affected), ensure_ascii=False, indent=2)
            self._write(Path(affected.file).with_suffix(".json").name, text.encode("utf-8", "backslashreplace"))

    def sync(self) -> None:
        """Make all of it durable."""
        if self._folder.is_dir() and not self._is_dry_run:
            os.sync()  # one for thousands of files

    def _write(self, name: str, octets: bytes) -> None:
        make_folder(self._folder)
        path = self._folder / name
        path.unlink(missing_ok=True)
        with os.fdopen(open_private(path, is_new=True), "wb") as file:
            file.write(octets)
