"""Choose and make the engine that the config asks for."""

import logging
from pathlib import Path

from tac_rl.config.engine import EngineSection
from tac_rl.errors import ConfigError
from tac_rl.serving import leftovers
from tac_rl.serving.base import Engine
from tac_rl.serving.hardware import has_gpu, has_vllm
from tac_rl.serving.transformers_engine import TransformersEngine
from tac_rl.serving.vllm_engine import VllmEngine
from tac_rl.serving.vllm_server import Server

_LOG = logging.getLogger(__name__)


def choose_engine(config: EngineSection) -> tuple[str, str]:
    """The engine's kind, and why. Raises `ConfigError` where `vllm` is asked for and not installed."""
    if config.kind == "transformers":
        return "transformers", "engine.kind asks for it"
    if config.vllm.url is not None:
        return "vllm", "engine.vllm.url names a server"
    if config.kind == "auto" and config.socket is not None:
        return "transformers", "engine.socket names a service"
    vllm = has_vllm(config.vllm.python)
    if config.kind == "vllm":
        if not vllm:
            where = config.vllm.python or "this environment"
            raise ConfigError(
                f"engine.kind is vllm, but vLLM is not installed in {where}; install it, name its interpreter "
                "in engine.vllm.python, or set engine.kind: transformers"
            )
        return "vllm", "engine.kind asks for it"
    if not has_gpu():
        return "transformers", "no GPU here, where it is the faster one for small models"
    if not vllm:
        return "transformers", "there is a GPU, but vLLM is not installed"
    return "vllm", "there is a GPU, and vLLM is installed"


def build_engine(
    config: EngineSection, model_path: Path, logs: Path | None = None, *, server: Server | None = None
) -> Engine:
    """The engine for the model in `model_path`, not started yet; its process writes `logs/engine.log`.

    `server`: a vLLM server that somebody else has in hand, in place of what the config says.
    """
    if server is not None:
        return VllmEngine(model_path, config, logs, server=server)
    kind, why = choose_engine(config)
    _LOG.info("engine: %s (%s)", kind, why)
    for folder in leftovers.sweep():
        _LOG.warning("engine: removed what a killed vLLM server left (%s)", folder)
    if kind == "vllm":
        return VllmEngine(model_path, config, logs)
    return TransformersEngine(model_path, config, logs)
