"""What the server logs: structlog to standard error, as text for people or one JSON document a line."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, Any

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
    structlog.configure(
        processors=[DamageTold(), *shared, *last],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=False,
    )
    # The standard library's loggers (asyncio's above all) end in the same place and form.
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared, processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last]
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(level, logging.WARNING))
