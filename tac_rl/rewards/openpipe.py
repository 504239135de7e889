"""Importing ART (openpipe-art) and litellm, which it brings: late, quietly, and without what they do besides.

On import ART reads `.env` files, fetches a price list, imports torch, and replaces a function of transformers by one
that the versions we run on no longer call that way; litellm reads `.env` files too. None of this happens here. What is
left: ART wraps the bodies of httpx's answers, which we don't use.
"""

import importlib
import importlib.metadata
import logging
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tac_rl.errors import ConfigError

DISTRIBUTION = "openpipe-art"
_QUIET = {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # else litellm fetches a list of prices
    "LITELLM_MODE": "PRODUCTION",  # else litellm reads .env files
    "PYTHON_DOTENV_DISABLED": "1",  # else ART does
    "WANDB_MODE": "disabled",
    "WEAVE_DISABLED": "true",
}
_LEFT_ALONE = ("PYTORCH_CUDA_ALLOC_CONF", "PYTHON_DOTENV_DISABLED")
"""Variables that are after the import as they were before it."""
_PATCHES = "art.transformers.patches"
_lock = threading.Lock()


def check_installed(what: str) -> None:
    """`ConfigError` where ART is missing; `what` is the setting that needs it. Imports nothing."""
    try:
        importlib.metadata.version(DISTRIBUTION)
    except importlib.metadata.PackageNotFoundError:
        raise ConfigError(
            f"{what} needs {DISTRIBUTION}, which is not installed; install it with: "
            ".venv/bin/python -m pip install -e '.[art]'"
        ) from None


def load_art(what: str) -> Any:
    """The module `art`. Takes seconds the first time: call it in a thread. `ConfigError` where it can't be imported."""
    with _lock:
        if "art" not in sys.modules:
            check_installed(what)
            with _quietly():
                try:
                    importlib.import_module("art")
                except Exception as error:  # whatever a dependency of it raises
                    raise ConfigError(
                        f"{what}: {DISTRIBUTION} can't be imported ({type(error).__name__}: {error}); "
                        "install it again with: .venv/bin/python -m pip install -e '.[art]'"
                    ) from error
        return sys.modules["art"]


def load_litellm(what: str) -> Any:
    """The module `litellm`, silenced."""
    load_art(what)
    litellm: Any = importlib.import_module("litellm")
    litellm.telemetry = False
    litellm.suppress_debug_info = True
    logging.getLogger("LiteLLM").setLevel(logging.CRITICAL)
    return litellm


@contextmanager
def _quietly() -> Iterator[None]:
    before = {name: os.environ.get(name) for name in _LEFT_ALONE}
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    # ART goes on without its patches where their import fails.
    sys.modules[_PATCHES] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules[_PATCHES]
        for name, was in before.items():
            if was is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = was
