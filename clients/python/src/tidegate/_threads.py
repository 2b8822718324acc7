"""Runs a function in a thread of its own that does not keep the process alive."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import threading
from collections.abc import Callable
from typing import Any, TypeVar

A = TypeVar("A")


class HandlerEnded(Exception):
    """A function in a thread wanted to end the process, which only the main thread may."""


async def in_thread(function: Callable[[A], Any], argument: A) -> Any:
    """What the function returns; raises what it raises. If this is cancelled, the function works on unseen."""
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[tuple[Any, BaseException | None]] = loop.create_future()

    def tell(value: Any, error: BaseException | None) -> None:
        if not ended.done():
            ended.set_result((value, error))

    def body() -> None:
        value, error = None, None
        try:
            value = context.run(function, argument)
        except BaseException as raised:
            error = raised
        # The loop may be gone.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(tell, value, error)

    context = contextvars.copy_context()
    threading.Thread(target=body, name="tidegate-handler", daemon=True).start()
    value, error = await ended
    if error is None:
        return value
    if isinstance(error, Exception):
        raise error
    raise HandlerEnded(f"{type(error).__name__}: {error}") from error
