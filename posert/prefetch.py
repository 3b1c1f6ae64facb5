"""An iterator that works ahead in a thread of its own, by a bounded number of items."""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator, Iterable
from typing import Any, TypeVar

Item = TypeVar("Item")

_END = object()
_PATIENCE = 0.1  # seconds after which a full queue is asked whether anybody still wants its items


def prefetch(items: Iterable[Item], depth: int) -> Generator[Item, None, None]:
    """The same items in the same order, made in another thread while the caller works on those before.

    An error in the other thread is raised here, in its place among the items. When the result is closed, or forgotten, the thread
    ends after the item that it is at.

    Args:
        items: what to iterate over.
        depth: how many items may wait, at least 1; memory is bounded by it.
    """
    waiting: queue.Queue[Any] = queue.Queue(depth)
    stop = threading.Event()

    def put(entry: tuple[object, BaseException | None]) -> bool:
        while not stop.is_set():
            try:
                waiting.put(entry, timeout=_PATIENCE)
                return True
            except queue.Full:
                continue
        return False

    def work() -> None:
        try:
            for item in items:
                if not put((item, None)):
                    return
            put((_END, None))
        except BaseException as error:  # raised again where the items are used
            put((_END, error))

    thread = threading.Thread(target=work, name="posert-prefetch", daemon=True)
    thread.start()
    try:
        while True:
            item, error = waiting.get()
            if error is not None:
                raise error
            if item is _END:
                return
            yield item
    finally:
        stop.set()
        thread.join()
