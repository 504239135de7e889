"""Containers that stand ready, so that a start does not wait for Docker.

A ready container has its server connected and has run nothing; it is handed out once. What was handed out is
replaced in the background, and so is what dies while it waits.
"""

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable

from tac_rl.errors import SandboxError
from tac_rl.sandboxes.docker.containers import Shape
from tac_rl.sandboxes.docker.starting import Started

_REPLACEMENTS = 3
"""How many deaths of waiting containers of a shape are made good between two requests for it."""


class _Shelf:
    """What is ready and what is coming for one shape."""

    def __init__(self) -> None:
        self.ready: list[Started] = []
        self.coming: set[asyncio.Task[None]] = set()
        self.lost = 0


class Pool:
    """Ready containers by shape, for the shapes that were asked for last."""

    def __init__(
        self,
        start: Callable[[Shape], Awaitable[Started]],
        discard: Callable[[Started], Awaitable[None]],
        *,
        size: int,
        shapes: int,
    ) -> None:
        """`size`: containers of each shape; `shapes`: how many shapes have some."""
        self._start = start
        self._discard = discard
        self._size = size
        self._shapes = shapes
        self._shelves: OrderedDict[Shape, _Shelf] = OrderedDict()
        self._ending: set[asyncio.Task[None]] = set()
        self._closed = False

    def take(self, shape: Shape) -> Started | None:
        """A ready container of this shape, now the caller's; None where there is none. More are on their way."""
        if self._size == 0 or self._closed:
            return None
        shelf = self._shelves.setdefault(shape, _Shelf())
        self._shelves.move_to_end(shape)
        while len(self._shelves) > self._shapes:
            self._clear(self._shelves.popitem(last=False)[1])
        shelf.lost = 0
        taken = None
        while shelf.ready and taken is None:
            first = shelf.ready.pop(0)
            first.connection.on_close = None
            if first.connection.is_open:
                taken = first
            else:
                self._drop(first)
        self._fill(shape, shelf)
        return taken

    def ready(self) -> int:
        """How many containers are ready, over all shapes."""
        return sum(len(shelf.ready) for shelf in self._shelves.values())

    async def filled(self) -> None:
        """Until nothing is on its way any more."""
        while coming := [task for shelf in self._shelves.values() for task in shelf.coming]:
            await asyncio.wait(coming)

    async def close(self) -> None:
        """Discard what is ready and what is coming; nothing is handed out any more."""
        self._closed = True
        for shelf in self._shelves.values():
            self._clear(shelf)
        self._shelves.clear()
        while self._ending:
            await asyncio.wait(set(self._ending))

    def _fill(self, shape: Shape, shelf: _Shelf) -> None:
        while len(shelf.ready) + len(shelf.coming) < self._size:
            task = asyncio.ensure_future(self._add(shape, shelf))
            shelf.coming.add(task)
            task.add_done_callback(shelf.coming.discard)

    async def _add(self, shape: Shape, shelf: _Shelf) -> None:
        try:
            started = await self._start(shape)
        except SandboxError:
            return  # Whoever asks next starts one itself, and hears why it can't be done.
        if self._shelves.get(shape) is not shelf:
            self._drop(started)
            return
        shelf.ready.append(started)
        started.connection.on_close = lambda: self._replace(shape, shelf, started)

    def _replace(self, shape: Shape, shelf: _Shelf, dead: Started) -> None:
        if dead not in shelf.ready:
            return
        shelf.ready.remove(dead)
        self._drop(dead)
        shelf.lost += 1
        if shelf.lost <= _REPLACEMENTS:
            self._fill(shape, shelf)

    def _clear(self, shelf: _Shelf) -> None:
        for task in shelf.coming:
            task.cancel()
            self._track(task)
        for started in shelf.ready:
            started.connection.on_close = None
            self._drop(started)
        shelf.ready = []

    def _drop(self, started: Started) -> None:
        self._track(asyncio.ensure_future(self._end(started)))

    async def _end(self, started: Started) -> None:
        with contextlib.suppress(SandboxError):  # The next sweep tries again.
            await self._discard(started)

    def _track(self, task: asyncio.Task[None]) -> None:
        if not task.done():
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)
