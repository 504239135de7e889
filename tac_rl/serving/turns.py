"""Engine and learner take turns on one accelerator: requests wait while the engine sleeps.

    awake --close--> draining --(nothing in flight)--> asleep --open--> awake

A request that arrives while the gate is closed waits for it to open; one that is in flight is finished before
the engine sleeps. So no request is lost, and none is answered by an engine without its weights.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Gate:
    """Counts the requests in flight; `close` lets them finish and holds new ones until `open`."""

    def __init__(self) -> None:
        self._open = True
        self._in_flight = 0
        self._changed = asyncio.Condition()

    @property
    def is_open(self) -> bool:
        return self._open

    @asynccontextmanager
    async def request(self) -> AsyncIterator[None]:
        """Around one request: waits at a closed gate."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._open)
            self._in_flight += 1
        try:
            yield
        finally:
            async with self._changed:
                self._in_flight -= 1
                self._changed.notify_all()

    async def close(self) -> None:
        """Hold new requests and wait until those in flight are finished; opens again where that is cancelled."""
        try:
            async with self._changed:
                self._open = False
                await self._changed.wait_for(lambda: not self._in_flight)
        except BaseException:
            await self.open()
            raise

    async def open(self) -> None:
        async with self._changed:
            self._open = True
            self._changed.notify_all()
