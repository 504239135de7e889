"""Calls to a service that is being read: with timeouts, patience for rate limits, and errors that say what to do."""

import asyncio
import json
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any

import aiohttp

from tac_rl.errors import OfficeError

Tell = Callable[[str], None]
"""Told of what could not be taken over, a line each."""
CALL_SECONDS = 60.0
MAX_WAITS = 20
"""How often a call waits when the service says that it is asked too often."""
_LONGEST_WAIT = 60.0
_MAX_BYTES = 256 << 20


class Api:
    """One service. Use it as an asynchronous context."""

    def __init__(self, name: str, url: str, headers: Mapping[str, str] | None = None) -> None:
        """`name` is for errors; `url` without a path, such as `http://localhost:3000`."""
        self.name = name
        self.url = url.rstrip("/")
        self.headers = dict(headers or {})
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> "Api":
        timeout = aiohttp.ClientTimeout(total=CALL_SECONDS, connect=10.0)
        self._session = aiohttp.ClientSession(timeout=timeout, cookie_jar=aiohttp.DummyCookieJar())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def send(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str | int] | None = None,
        headers: Mapping[str, str] | None = None,
        body: Any = None,
        data: str | None = None,
        allowed: tuple[int, ...] = (),
    ) -> tuple[int, Mapping[str, str], bytes]:
        """(status, headers, body) of a call; `OfficeError` for a status of 400 or more that isn't `allowed`."""
        assert self._session is not None, "use it as a context"
        url = f"{self.url}{path}"
        for _ in range(MAX_WAITS):
            try:
                async with self._session.request(
                    method,
                    url,
                    params=dict(query or {}),
                    headers={**self.headers, **(headers or {})},
                    json=body,
                    data=data,
                ) as answer:
                    if answer.status == 429:
                        await asyncio.sleep(_wait_of(answer.headers))
                        continue
                    content = await answer.content.read(_MAX_BYTES)
                    if answer.status >= 400 and answer.status not in allowed:
                        raise self._refused(method, path, answer.status, content)
                    return answer.status, answer.headers, content
            except (aiohttp.InvalidURL, ValueError) as error:
                raise OfficeError(
                    f"{self.name}: {url} is no address: write http://HOST:PORT ({error})"
                ) from None
            except TimeoutError:
                raise OfficeError(
                    f"{self.name}: {url} did not answer within {CALL_SECONDS:.0f} s; is the service healthy?"
                ) from None
            except aiohttp.ClientError as error:
                raise OfficeError(
                    f"{self.name}: {url} can't be reached: {error}; is the address right?"
                ) from None
        raise OfficeError(f"{self.name}: {url} still says that it is asked too often; try again later")

    async def json(self, path: str, **options: Any) -> Any:
        """What a GET answers, which must be JSON."""
        return self.parsed(path, (await self.send("GET", path, **options))[2])

    def parsed(self, path: str, content: bytes) -> Any:
        try:
            return json.loads(content)
        except ValueError:
            raise OfficeError(
                f"{self.name}: {self.url}{path} answered something other than JSON; is this the right service?"
            ) from None

    def _refused(self, method: str, path: str, status: int, content: bytes) -> OfficeError:
        said = content[:200].decode("utf-8", "replace").strip()
        hint = {
            401: "; check the account or token",
            403: "; the account needs an administrator's rights",
        }.get(status, "")
        return OfficeError(f"{self.name}: {method} {self.url}{path} answered {status}: {said}{hint}")


def _wait_of(headers: Mapping[str, str]) -> float:
    given = headers.get("Retry-After", "")
    return min(float(given), _LONGEST_WAIT) if given.replace(".", "", 1).isdigit() else 5.0
