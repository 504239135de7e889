"""The `vllm` engine: the same contract over a vLLM server, on GPUs or with its CPU build.

Each policy version is loaded under a name and from a path of its own, because vLLM's prefix cache has
served stale results for a name that was loaded again. Requests carry token ids both ways.

On an accelerator that the learner uses too the server sleeps in between (level 1: its weights in the host's memory,
its KV cache dropped). Adapters are loaded anew, under new names, when it wakes: they have come back corrupt.
"""

import asyncio
import contextlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import aiohttp

from tac_rl.config.engine import EngineSection
from tac_rl.errors import AdapterError, EngineError
from tac_rl.serving.adapters import check_adapter
from tac_rl.serving.base import BASE_VERSION, Completion, Sampling
from tac_rl.serving.model_folder import linear_shapes
from tac_rl.serving.turns import Gate
from tac_rl.serving.vllm_server import BASE_NAME, RunningVllm, Server, VllmServer

_CHECK_SECONDS = 10.0
_REASONS = {"stop": "stop", "length": "length"}
_ADAPTER_NAME = re.compile(r"policy-v[0-9]{4,}(-w[0-9]+)?")


def adapter_name(version: int, wakes: int = 0) -> str:
    """The name under which the server knows a policy version, after it was woken so many times."""
    if version == BASE_VERSION:
        return BASE_NAME
    return f"policy-v{version:04d}" + (f"-w{wakes}" if wakes else "")


@dataclass(frozen=True)
class _Loaded:
    """How the server knows a version."""

    name: str
    path: Path


class VllmEngine:
    """An `Engine` over a model folder; see `tac_rl.serving.base` for the methods.

    `start` after a death (or `stop`) starts afresh, with the base only. `logs`: the folder in which a
    server of ours writes `engine.log`. `server`: one that somebody else has in hand, in place of our own.
    """

    kind = "vllm"

    def __init__(
        self,
        model_path: Path,
        config: EngineSection | None = None,
        logs: Path | None = None,
        *,
        server: Server | None = None,
    ) -> None:
        self.model_path = Path(model_path)
        self._given = server
        self._logs = logs
        self._config = config or EngineSection()
        self.context_length = 0
        """Tokens of prompt and completion together; known after `start`."""
        self._server: Server | None = None
        self._session: aiohttp.ClientSession | None = None
        self._shapes: dict[str, tuple[int, int]] = {}
        self._loaded: dict[int, _Loaded] = {}
        self._gate = Gate()
        self._wakes = 0
        self._calls: set[asyncio.Task[dict[str, Any]]] = set()
        self._dead = "the engine is not started"

    async def start(self) -> None:
        await self.stop()
        self._loaded, self._gate, self._wakes = {}, Gate(), 0
        self._shapes = linear_shapes(self.model_path)
        server: Server
        if self._given is not None:
            server = self._given
        elif self._config.vllm.url is not None:
            server = RunningVllm(self._config)
        else:
            server = VllmServer(self.model_path.resolve(), self._config, self._logs, self._on_death)
        await server.start()
        self._server = server
        self._session = aiohttp.ClientSession(
            base_url=server.base_url,
            headers={"Authorization": f"Bearer {server.api_key}"},
            connector=aiohttp.TCPConnector(limit=0),
        )
        self._dead = ""
        try:
            models = await self._call("GET", "/v1/models", None, _CHECK_SECONDS)
            self.context_length = _context_length(models, server.base_url)
            await self._tidy(models)
            # The first request takes seconds; let it not be one that somebody waits for.
            await self.generate([0], Sampling(max_tokens=1), BASE_VERSION)
        except BaseException:
            await self.stop()
            raise

    async def generate(self, prompt_ids: Sequence[int], sampling: Sampling, version: int) -> Completion:
        room = self.context_length - len(prompt_ids)
        if room < 1:
            raise EngineError(
                f"a prompt of {len(prompt_ids)} tokens leaves no room in a context of {self.context_length}; "
                "raise engine.max_model_len or shorten the history"
            )
        answer = await self._complete(
            version,
            prompt=list(prompt_ids),
            max_tokens=min(sampling.max_tokens, room),
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            seed=sampling.seed,
            stop_token_ids=list(sampling.stop_token_ids),
            # Only the caller's stop tokens stop; the model folder's are not ours to add.
            ignore_eos=True,
            logprobs=0,
            return_token_ids=True,
        )
        try:
            choice = answer["choices"][0]
            token_ids = tuple(choice["token_ids"])
            logprobs = tuple(choice["logprobs"]["token_logprobs"])
            reason = choice["finish_reason"]
        except (KeyError, IndexError, TypeError) as error:
            raise EngineError(f"vLLM's answer lacks {error!r}; this needs vLLM 0.31 or newer") from error
        if len(token_ids) != len(logprobs) or reason not in _REASONS:
            raise EngineError(
                f"vLLM answered {len(token_ids)} tokens, {len(logprobs)} log-probabilities, {reason!r}"
            )
        return Completion(token_ids, logprobs, reason)

    async def score(self, token_ids: Sequence[int], version: int) -> tuple[float, ...]:
        # The server must generate at least one token, so the last token is not part of the prompt that
        # fills the context; it is scored with the others because prompt_logprobs covers it.
        answer = await self._complete(
            version, prompt=list(token_ids), max_tokens=1, temperature=0.0, prompt_logprobs=0
        )
        try:
            entries = answer["choices"][0]["prompt_logprobs"][1:]
            return tuple(
                float(entry[str(token)]["logprob"])
                for entry, token in zip(entries, token_ids[1:], strict=True)
            )
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise EngineError(f"vLLM's answer lacks prompt log-probabilities ({error!r})") from error

    async def load(self, adapter: Path, version: int) -> None:
        if version in self.loaded_versions():
            raise EngineError(f"policy version {version} is loaded already; each adapter gets a new number")
        path = Path(adapter).resolve()
        spec = check_adapter(path, self._shapes)
        if spec.rank > self._config.vllm.max_lora_rank:
            raise AdapterError(
                f"{path}: rank {spec.rank} is above engine.vllm.max_lora_rank={self._config.vllm.max_lora_rank}"
            )
        async with self._gate.request():
            loaded = _Loaded(adapter_name(version, self._wakes), path)
            try:
                await self._load(loaded)
            except _Refused as error:
                raise AdapterError(f"{path}: vLLM refused the adapter: {error}") from error
            self._loaded[version] = loaded

    async def retire(self, version: int) -> None:
        if version not in self._loaded:
            raise EngineError(
                f"policy version {version} can't be retired; loaded: {sorted(self.loaded_versions())}"
            )
        loaded = self._loaded.pop(version)
        async with self._gate.request():
            await self._unload(loaded)

    def loaded_versions(self) -> frozenset[int]:
        return frozenset({BASE_VERSION, *self._loaded})

    async def sleep(self) -> None:
        """Finish what is in flight and give the accelerator's memory back; requests wait until `wake`.

        `EngineError` where the server doesn't sleep within `request_timeout_s`; it is then stopped, which gives
        the memory back too.
        """
        try:
            async with asyncio.timeout(self._config.request_timeout_s):
                await self._gate.close()
            if self._rests_by_itself:
                return
            # mode=wait: the default aborts what another client may have in flight.
            await self._call("POST", "/sleep?level=1&mode=wait", None, self._config.request_timeout_s)
            await self._expect_sleeping(True)
        except (EngineError, TimeoutError) as error:
            await self._give_up(
                f"vLLM could not be put to sleep: {error or 'requests in flight did not end'}"
            )

    async def wake(self) -> None:
        """Take the memory again, load every version anew, and let the waiting requests through.

        `EngineError` where that fails; the server is then stopped, and `start` makes a new one.
        """
        try:
            if not self._rests_by_itself:
                await self._call("POST", "/wake_up", None, self._config.request_timeout_s)
            await self._expect_sleeping(False)
            self._wakes += 1
            for version, before in sorted(self._loaded.items()):
                await self._unload(before)
                loaded = _Loaded(adapter_name(version, self._wakes), before.path)
                await self._load(loaded)
                self._loaded[version] = loaded
        except EngineError as error:
            await self._give_up(f"vLLM could not be woken: {error}")
        await self._gate.open()

    async def check(self) -> None:
        await self._call("GET", "/health", None, _CHECK_SECONDS)

    async def stop(self) -> None:
        await self._end("the engine was stopped")

    async def _end(self, reason: str) -> None:
        self._fail(reason)
        await self._gate.open()  # Whoever waits there is told the reason.
        session, self._session = self._session, None
        server, self._server = self._server, None
        if session is not None:
            await session.close()
        if server is not None:
            await server.stop()

    @property
    def _rests_by_itself(self) -> bool:
        return self._server is not None and self._server.rests_by_itself

    @property
    def base_url(self) -> str:
        """Where the server listens; empty when not started."""
        return self._server.base_url if self._server else ""

    @property
    def process_group(self) -> int | None:
        """The process group of the server; None when not started."""
        return self._server.process_group if self._server else None

    @property
    def folder(self) -> Path | None:
        """The server's own folder for temporary files and sockets; None when not started."""
        return self._server.folder if self._server else None

    # Calls -------------------------------------------------------------------------------------------

    async def _tidy(self, models: dict[str, Any]) -> None:
        """What an earlier trainer left in a server that is not ours: its sleep, its adapters."""
        if isinstance(self._server, VllmServer):
            return
        with contextlib.suppress(_Refused):  # A server that can't sleep has no such path.
            if (await self._call("GET", "/is_sleeping", None, _CHECK_SECONDS)).get("is_sleeping"):
                await self._call("POST", "/wake_up", None, self._config.request_timeout_s)
        for name in (model["id"] for model in models["data"]):
            if _ADAPTER_NAME.fullmatch(name):
                await self._unload(_Loaded(name, self.model_path))

    async def _complete(self, version: int, **body: Any) -> dict[str, Any]:
        async with self._gate.request():
            # Named only now: the version may have been loaded anew, or retired, while this waited.
            if not self._dead and version not in self.loaded_versions():
                loaded = sorted(self.loaded_versions())
                raise EngineError(f"policy version {version} is not loaded; loaded: {loaded}")
            body["model"] = self._loaded[version].name if version in self._loaded else BASE_NAME
            return await self._call("POST", "/v1/completions", body, self._config.request_timeout_s)

    async def _load(self, loaded: _Loaded) -> None:
        body = {"lora_name": loaded.name, "lora_path": str(loaded.path)}
        await self._call("POST", "/v1/load_lora_adapter", body, self._config.request_timeout_s)

    async def _unload(self, loaded: _Loaded) -> None:
        body = {"lora_name": loaded.name}
        await self._call("POST", "/v1/unload_lora_adapter", body, self._config.request_timeout_s)

    async def _expect_sleeping(self, expected: bool) -> None:
        answer = await self._call("GET", "/is_sleeping", None, _CHECK_SECONDS)
        if answer.get("is_sleeping") is not expected:
            raise EngineError(f"/is_sleeping answers {answer}")

    async def _give_up(self, reason: str) -> NoReturn:
        await self._end(reason)
        raise EngineError(reason)

    async def _call(self, method: str, path: str, body: Any, limit_s: float) -> dict[str, Any]:
        """One HTTP call. Raises `EngineError`, at once where the server dies meanwhile."""
        if self._dead or self._session is None:
            raise EngineError(self._dead)
        call = asyncio.create_task(self._exchange(self._session, method, path, body, limit_s))
        self._calls.add(call)
        call.add_done_callback(self._calls.discard)
        try:
            await asyncio.wait({call})
        finally:
            call.cancel()  # The caller gave up: so does the server, when the connection closes.
        if call.cancelled():  # By `_fail`: nobody else has this task.
            raise EngineError(self._dead)
        return call.result()

    async def _exchange(
        self, session: aiohttp.ClientSession, method: str, path: str, body: Any, limit_s: float
    ) -> dict[str, Any]:
        try:
            timeout = aiohttp.ClientTimeout(total=limit_s)
            async with session.request(method, path, json=body, timeout=timeout) as response:
                if response.status != 200:
                    raise _Refused(f"{path} answered {response.status}: {(await response.text())[:500]}")
                if response.content_type != "application/json":
                    return {}
                answer: dict[str, Any] = await response.json()
                return answer
        except TimeoutError as error:
            raise EngineError(f"vLLM did not answer {path} within {limit_s:.0f} s") from error
        except (aiohttp.ClientError, OSError) as error:
            raise EngineError(self._dead or f"vLLM's connection failed on {path}: {error!r}") from error

    def _on_death(self, reason: str) -> None:
        self._fail(reason)

    def _fail(self, reason: str) -> None:
        self._dead = reason
        for call in self._calls:
            call.cancel()


def _context_length(models: dict[str, Any], url: str) -> int:
    """Of the base model, as the server lists it."""
    for model in models.get("data", ()):
        if model.get("id") == BASE_NAME:
            return int(model["max_model_len"])
    raise EngineError(
        f"{url} serves no model named {BASE_NAME!r}: start it with --served-model-name {BASE_NAME} and the other "
        "arguments of docs/compose.md"
    )


class _Refused(EngineError):
    """The server answered, with an error status."""
