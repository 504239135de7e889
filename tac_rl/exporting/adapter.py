"""The adapter as PEFT reads it, and the base model with it merged in."""

import json
import shutil
from pathlib import Path

from tac_rl.errors import AdapterError, ConfigError

_ADAPTER_FILES = ("adapter_config.json", "adapter_model.safetensors")
_TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "vocab.json",
    "merges.txt",
    "chat_template.jinja",
    "generation_config.json",
)


def write_adapter(adapter: Path, base_model: str, out: Path) -> None:
    """Copy the PEFT files of `adapter` into `out`, with `base_model` as the base that they name.

    Optimiser state and probe stay behind: they are for going on with the run.
    """
    for name in _ADAPTER_FILES:
        if not (adapter / name).is_file():
            raise AdapterError(f"{adapter / name}: is missing; choose another --version")
        shutil.copyfile(adapter / name, out / name)
    config = json.loads((out / _ADAPTER_FILES[0]).read_text(encoding="utf-8"))
    config["base_model_name_or_path"] = base_model
    (out / _ADAPTER_FILES[0]).write_text(
        json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8"
    )


def write_merged(base: Path, adapter: Path | None, out: Path) -> None:
    """Write `base` with `adapter` merged into its weights, tokenizer and chat template beside them.

    `adapter` None: the base as it is. Raises `ConfigError` where the base can't be loaded and `AdapterError`
    where the adapter doesn't fit it.
    """
    # Here, because the import takes seconds.
    from transformers import AutoModelForCausalLM
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    try:
        model = AutoModelForCausalLM.from_pretrained(str(base), dtype="auto", local_files_only=True)
    except (OSError, ValueError) as error:
        raise ConfigError(f"model: {base} can't be loaded: {error}") from error
    if adapter is not None:
        from peft import PeftModel

        try:
            model = PeftModel.from_pretrained(model, str(adapter)).merge_and_unload(safe_merge=True)
        except (OSError, ValueError, RuntimeError, KeyError) as error:
            raise AdapterError(f"{adapter}: doesn't fit {base}: {error}") from error
    model.save_pretrained(out)
    for name in _TOKENIZER_FILES:
        if (base / name).is_file():
            shutil.copyfile(base / name, out / name)
