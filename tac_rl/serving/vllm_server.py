"""The vLLM server: one process group on a loopback port, started, watched and ended by us; or one that runs already."""

import asyncio
import contextlib
import os
import secrets
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import IO, Protocol

import aiohttp

from tac_rl.config.engine import EngineSection
from tac_rl.errors import ConfigError, EngineError
from tac_rl.serving import leftovers
from tac_rl.serving.guard import remove_folder
from tac_rl.serving.hardware import can_sleep, gpu_environment, has_gpu
from tac_rl.serving.logs import log_tail, open_log
from tac_rl.serving.model_folder import context_length

HOST = "127.0.0.1"
BASE_NAME = "base"
"""The name under which the server knows the model without an adapter."""

_GUARD = Path(__file__).with_name("guard.py")
_CPU_BATCH = 2048
_POLL_SECONDS = 0.2
_STOP_SECONDS = 15.0


class Server(Protocol):
    """A vLLM server, whoever started it."""

    base_url: str
    api_key: str

    @property
    def process_group(self) -> int | None: ...

    @property
    def folder(self) -> Path | None:
        """Its own for temporary files; None where it isn't ours, or not started."""
        ...

    @property
    def rests_by_itself(self) -> bool:
        """Whether who started it also puts it to sleep and wakes it; the engine only holds requests meanwhile."""
        ...

    async def start(self) -> None: ...

    async def stop(self) -> None: ...


def claim_port(wanted: int | None) -> int:
    """A loopback port that is free now; raises `EngineError` where the wanted one is taken."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, wanted or 0))
        except OSError as error:
            raise EngineError(
                f"port {wanted} is taken ({error.strerror}); choose another engine.vllm.port or leave it out"
            ) from error
        return int(probe.getsockname()[1])


def server_command(model_path: Path, port: int, config: EngineSection, *, gpu: bool) -> list[str]:
    """The command line of a server of ours."""
    context = context_length(model_path, config.max_model_len)
    return [
        *(str(config.vllm.python or sys.executable), "-m", "vllm.entrypoints.openai.api_server"),
        *server_arguments(model_path, HOST, port, config, context, gpu=gpu),
    ]


def server_arguments(
    model_path: Path, host: str, port: int, config: EngineSection, context: int, *, gpu: bool
) -> list[str]:
    """What any server must be started with. `context`: tokens of prompt and completion together."""
    vllm = config.vllm
    command = ["--model", str(model_path), "--served-model-name", BASE_NAME]
    command += ["--host", host, "--port", str(port)]
    command += ["--dtype", config.dtype, "--max-num-seqs", str(config.max_batch)]
    command += ["--max-model-len", str(context)]
    command += [
        "--enable-lora",
        "--max-loras",
        str(vllm.max_loras),
        "--max-lora-rank",
        str(vllm.max_lora_rank),
    ]
    # Old versions stay loaded while rollouts are pinned to them.
    command += ["--max-cpu-loras", str(2 * vllm.max_loras)]
    # Neither the model folder's sampling defaults nor a tokenizer: token ids in, token ids out.
    command += ["--generation-config", "vllm", "--skip-tokenizer-init", "--return-tokens-as-token-ids"]
    # Log-probabilities of the distribution sampled from, also where the temperature is not 1.
    command += ["--logprobs-mode", "processed_logprobs"]
    command += ["--disable-uvicorn-access-log"]
    if gpu:
        command += ["--gpu-memory-utilization", str(vllm.gpu_memory_utilization)]
    else:
        # The CPU build (0.32) dies when a request with a seed is prefilled in parts: it rewinds the request's
        # random generator, which CPU generators can't. Whole prompts need room in one batch.
        command += ["--no-enable-chunked-prefill", "--max-num-batched-tokens", str(max(context, _CPU_BATCH))]
    if len(vllm.gpus) > 1:
        command += ["--tensor-parallel-size", str(len(vllm.gpus))]
    if can_sleep(config):
        command += ["--enable-sleep-mode"]
    if vllm.enforce_eager or not gpu:
        command += ["--enforce-eager"]
    return command + list(vllm.extra_args)


def server_environment(config: EngineSection, api_key: str, folder: Path) -> dict[str, str]:
    """What the server is started with; `folder` is its own for temporary files and sockets."""
    return {
        **os.environ,
        **gpu_environment(config.vllm.gpus),
        **leftovers.environment(folder),
        "VLLM_ALLOW_RUNTIME_LORA_UPDATING": "True",
        "VLLM_API_KEY": api_key,
        "VLLM_NO_USAGE_STATS": "1",
        "DO_NOT_TRACK": "1",
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
        "VLLM_CPU_KVCACHE_SPACE": str(config.vllm.cpu_kvcache_gb),
        # Without it the server has no /sleep. It listens on the loopback address and wants a key.
        **({"VLLM_SERVER_DEV_MODE": "1"} if can_sleep(config) else {}),
        **config.vllm.env,
    }


class VllmServer:
    """One server process. `on_death` is called when it ends without being asked to."""

    rests_by_itself = False

    def __init__(
        self, model_path: Path, config: EngineSection, logs: Path | None, on_death: Callable[[str], None]
    ) -> None:
        self._model_path = model_path
        self._config = config
        self._logs = logs
        self._on_death = on_death
        self._process: asyncio.subprocess.Process | None = None
        self._watching: asyncio.Task[None] | None = None
        self._log: IO[bytes] | None = None
        self._folder: Path | None = None
        self.api_key = secrets.token_urlsafe(16)
        self.base_url = ""

    async def start(self) -> None:
        """Start the server and wait until it answers /health. Raises `EngineError` with the log's tail."""
        port = claim_port(self._config.vllm.port)
        self.base_url = f"http://{HOST}:{port}"
        await asyncio.to_thread(leftovers.sweep)
        self._folder = leftovers.make_folder()
        self._log = open_log(self._logs)
        command = server_command(self._model_path, port, self._config, gpu=has_gpu())
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, str(_GUARD), "--folder", str(self._folder), *command),
            stdin=asyncio.subprocess.PIPE,
            stdout=self._log,
            stderr=self._log,
            env=server_environment(self._config, self.api_key, self._folder),
        )
        try:
            await self._wait_until_healthy()
        except BaseException:
            await self.stop()
            raise
        self._watching = asyncio.create_task(self._watch(self._process))

    @property
    def folder(self) -> Path | None:
        """The server's own folder for temporary files and sockets; None when not started."""
        return self._folder

    @property
    def process_group(self) -> int | None:
        """The group of the guarded command: the guard's only child leads it."""
        if self._process is None:
            return None
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        found = children.read_text().split()
        return int(found[0]) if found else None

    async def _wait_until_healthy(self) -> None:
        process = self._process
        assert process is not None
        limit = self._config.start_timeout_s
        try:
            if await healthy(self.base_url, limit, lambda: process.returncode is None):
                return
        except TimeoutError as error:
            raise EngineError(
                f"vLLM did not answer within {limit:.0f} s (engine.start_timeout_s); end of its log:\n"
                f"{log_tail(self._log)}"
            ) from error
        raise EngineError(f"vLLM ended while starting; end of its log:\n{log_tail(self._log)}")

    async def _watch(self, process: asyncio.subprocess.Process) -> None:
        status = await process.wait()
        self._on_death(
            f"the vLLM server ended unexpectedly (status {status}); end of its log:\n{log_tail(self._log)}"
        )

    async def stop(self) -> None:
        """End the server's whole process group, and remove what it left. Safe to call twice."""
        if self._watching is not None:
            self._watching.cancel()
            self._watching = None
        process, self._process = self._process, None
        if process is not None and process.stdin is not None:
            process.stdin.close()
            try:
                await asyncio.wait_for(process.wait(), _STOP_SECONDS)
            except TimeoutError:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
        folder, self._folder = self._folder, None
        if folder is not None:  # The guard has removed it, unless it was killed itself.
            await asyncio.to_thread(remove_folder, folder)
        if self._log is not None:
            self._log.close()
            self._log = None


class RunningVllm:
    """A server that somebody else starts and ends (`engine.vllm.url`)."""

    process_group = None
    folder = None
    rests_by_itself = False

    def __init__(self, config: EngineSection) -> None:
        assert config.vllm.url is not None
        self.base_url = config.vllm.url
        self._limit = config.start_timeout_s
        self.api_key = ""
        if config.vllm.api_key_file is not None:
            try:
                self.api_key = config.vllm.api_key_file.read_text(encoding="utf-8").strip()
            except (OSError, UnicodeDecodeError) as error:
                raise ConfigError(f"engine.vllm.api_key_file: can't be read: {error}") from error

    async def start(self) -> None:
        """Wait until it answers /health; `EngineError` where it doesn't."""
        try:
            await healthy(self.base_url, self._limit, lambda: True)
        except TimeoutError as error:
            raise EngineError(
                f"engine.vllm.url: {self.base_url} did not answer within {self._limit:.0f} s "
                "(engine.start_timeout_s)"
            ) from error

    async def stop(self) -> None:
        """It goes on."""


async def healthy(base_url: str, limit_s: float, alive: Callable[[], bool]) -> bool:
    """Wait for an answer to /health; False where the server is not alive any more. Raises `TimeoutError`."""
    async with asyncio.timeout(limit_s), aiohttp.ClientSession() as session:
        while alive():
            with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                timeout = aiohttp.ClientTimeout(total=5)
                async with session.get(f"{base_url}/health", timeout=timeout) as response:
                    if response.status == 200:
                        return True
            await asyncio.sleep(_POLL_SECONDS)
    return False
