"""Two ends of a chain of work in threads of their own: reading ahead, and writing behind."""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Generic, TypeVar

Item = TypeVar("Item")

_WAIT = 0.1  # seconds after which a thread looks whether it is still wanted


class Ahead(Generic[Item]):
    """Goes through `items` in a thread, up to `most` items ahead of who takes them. A context manager, which ends it.

    What `items` raises is raised by the iteration here.
    """

    def __init__(self, items: Iterable[Item], most: int = 2) -> None:
        self._items = items
        self._queue: queue.Queue[tuple[Item] | BaseException | None] = queue.Queue(most)
        self._unwanted = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Ahead[Item]:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._unwanted.set()
        self._thread.join()

    def __iter__(self) -> Iterator[Item]:
        """The items."""
        while (entry := self._queue.get()) is not None:
            if isinstance(entry, BaseException):
                raise entry
            yield entry[0]

    def _run(self) -> None:
        items = iter(self._items)
        try:
            for item in items:
                if not self._put((item,)):
                    break
            else:
                self._put(None)
        except BaseException as error:  # raised where the items are taken
            self._put(error)
        finally:
            if close := getattr(items, "close", None):  # of a generator
                close()

    def _put(self, entry: tuple[Item] | BaseException | None) -> bool:
        while not self._unwanted.is_set():
            try:
                self._queue.put(entry, timeout=_WAIT)
                return True
            except queue.Full:
                continue
        return False


class Behind:
    """Calls functions one after the other in a thread, at most `most` behind. A context manager, which waits for all.

    What a call raises is raised by a later one, or at the end.
    """

    def __init__(self, most: int = 2) -> None:
        self._most = most
        self._calls: deque[Future[object]] = deque()
        self._pool = ThreadPoolExecutor(1)

    def __enter__(self) -> Behind:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._pool.shutdown(wait=True)
        if kind is None:
            while self._calls:
                self._calls.popleft().result()

    def call(self, function: Callable[[Item], object], item: Item) -> None:
        """Call `function` with `item` as soon as the calls before it are done."""
        while len(self._calls) >= self._most:
            self._calls.popleft().result()
        self._calls.append(self._pool.submit(function, item))
