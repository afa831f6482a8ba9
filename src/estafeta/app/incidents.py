"""Errors that nobody waits for: a task or a callback of the event loop that failed is logged under an id."""

from __future__ import annotations

import asyncio
from secrets import token_hex
from typing import Any

import structlog

_log = structlog.get_logger("estafeta.app.incidents")


def log_incidents(loop: asyncio.AbstractEventLoop) -> None:
    """Have the loop log what fails in it, in the form of all other lines."""
    loop.set_exception_handler(_failed)


def _failed(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    error = context.get("exception")
    task = context.get("task") or context.get("future")
    facts = {"task": task.get_name()} if isinstance(task, asyncio.Task) else {}
    _log.error(
        "something of the server failed",
        incident=token_hex(4),
        what=str(context.get("message", "")),
        exc_info=error if isinstance(error, BaseException) else None,
        **facts,
    )
