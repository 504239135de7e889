"""From the config to a judge: which model, where it is, and how long its questions may be."""

from pathlib import Path
from typing import Any

from tac_rl.config.rewards import RulerJudgeSection, RulerSection
from tac_rl.errors import ConfigError
from tac_rl.rewards.judge import JudgeModel
from tac_rl.rewards.openpipe import check_installed
from tac_rl.rewards.ruler import OVERHEAD_TOKENS, Ruler
from tac_rl.rewards.truncation import Count
from tac_rl.serving.endpoint import Endpoint

DEFAULT_CONTEXT = 32768
"""Tokens, of a judge that is not the run's own engine."""
BYTES_PER_TOKEN = 3
"""A careful guess where the judge's tokenizer isn't at hand; English has about 4."""
NO_KEY = "none"
"""What is sent as the key to an endpoint that wants none: OpenAI's client insists on one."""


def check_ruler(settings: RulerSection, *, own_context: int) -> None:
    """`ConfigError` for what is wrong with the settings; starts and imports nothing."""
    if settings.mode == "off":
        return
    check_installed("rewards.ruler.mode")
    judge = settings.judge
    if judge.base_url is not None:
        if not judge.base_url.startswith(("http://", "https://")):
            raise ConfigError(f"rewards.ruler.judge.base_url: {judge.base_url!r} is no http or https address")
        if judge.model is None:
            raise ConfigError("rewards.ruler.judge.model: name the model to ask for at base_url")
    elif judge.model is not None and "/" not in judge.model:
        raise ConfigError(
            f"rewards.ruler.judge.model: {judge.model!r} names no provider; write it as PROVIDER/MODEL "
            "(anthropic/..., openai/...), or give base_url"
        )
    _key(judge)
    context = judge.context_tokens or (own_context if judge.model is None else DEFAULT_CONTEXT)
    least = judge.answer_tokens + OVERHEAD_TOKENS + 200
    if context < least:
        raise ConfigError(
            f"rewards.ruler.judge: a context of {context} tokens has no room for a question beside an answer of "
            f"{judge.answer_tokens} (it needs {least}); lower answer_tokens or use another judge"
        )


async def build_ruler(
    settings: RulerSection, own: Endpoint, *, own_context: int, own_count: Count
) -> Ruler | None:
    """The judge that the config names; None where the mode is off.

    `own`: the run's own engine with the base model, `own_context` its context in tokens, `own_count` its tokenizer.
    """
    check_ruler(settings, own_context=own_context)
    if settings.mode == "off":
        return None
    judge = settings.judge
    if judge.model is None:
        model = JudgeModel(
            f"openai/{own.model}",
            {"api_base": own.base_url, "api_key": own.api_key, **_sampling(judge)},
            structured=False,
            own=True,
        )
        context = min(judge.context_tokens or own_context, own_context)
        return await Ruler.load(settings, model, context_tokens=context, count=own_count)
    where: dict[str, Any] = {}
    if (key := _key(judge)) is not None:
        where["api_key"] = key
    if judge.base_url is not None:
        where = {"api_base": judge.base_url, "api_key": NO_KEY} | where
    name = judge.model if judge.base_url is None else f"openai/{judge.model}"
    model = JudgeModel(name, where | _sampling(judge), structured=judge.structured)
    context = judge.context_tokens or DEFAULT_CONTEXT
    return await Ruler.load(settings, model, context_tokens=context, count=guess_tokens)


def guess_tokens(text: str) -> int:
    return -(-len(text.encode("utf-8", "replace")) // BYTES_PER_TOKEN)


def _sampling(judge: RulerJudgeSection) -> dict[str, Any]:
    return {"temperature": judge.temperature, "max_tokens": judge.answer_tokens}


def _key(judge: RulerJudgeSection) -> str | None:
    path: Path | None = judge.api_key_file
    if path is None:
        return None
    try:
        key = path.expanduser().read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"rewards.ruler.judge.api_key_file: {path} can't be read: {error}") from None
    if not key:
        raise ConfigError(f"rewards.ruler.judge.api_key_file: {path} is empty; put the key into it")
    return key
