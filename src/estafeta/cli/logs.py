"""What the server logs: structlog to standard error, as text for people or one JSON document a line."""

from __future__ import annotations

import logging
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TextIO, cast

import structlog

from estafeta.cli.damage import DamageTold

if TYPE_CHECKING:
    from estafeta.config.settings import LogSettings

_LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}


class _Unfailing:
    """A stream whose errors are nobody's: a log on a full disk, or a pipe that nobody reads, must stop no server."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        with suppress(OSError):
            self._stream.write(text)

    def flush(self) -> None:
        with suppress(OSError):
            self._stream.flush()


def set_up(settings: LogSettings) -> None:
    """Every log line of this process, those of libraries included, goes where the settings say."""
    from estafeta.app.monitoring import rendering

    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        rendering.about,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    last: list[Any] = [
        # Without the values of local variables, among which are passwords and people's mail.
        structlog.processors.format_exc_info,
        rendering.redacted,
        rendering.json_rendered if settings.format == "json" else rendering.text_rendered,
    ]
    level = _LEVELS[settings.level]
    stream = cast(TextIO, _Unfailing(sys.stderr))
    structlog.configure(
        processors=[DamageTold(), *shared, *last],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(file=stream),
        cache_logger_on_first_use=False,
    )
    # The standard library's loggers (asyncio's above all) end in the same place and form.
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared, processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last]
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(level, logging.WARNING))
