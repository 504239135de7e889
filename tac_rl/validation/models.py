"""The chosen model's folder, and an adapter that is to go on it."""

import json
from pathlib import Path

from tac_rl.validation.lines import Line, Verdict


def model_line(path: Path) -> Line:
    """Whether the folder is whole and of a kind that can be trained. Needs no libraries."""
    from tac_rl.serving.model_check import model_problems

    problems = model_problems(path)
    if problems:
        found, _, fix = problems[0].partition("; download it with: ")
        return Line("model", Verdict.FAIL, found, fix or "choose another folder, or another model")
    size = sum(file.stat().st_size for file in path.glob("*.safetensors"))
    shown = f"{size / 1e9:.1f} GB" if size > 1e8 else f"{size / 1e6:.0f} MB"
    return Line("model", Verdict.OK, f"{path}: whole, {shown}")


def adapter_line(adapter: Path, model: Path) -> Line:
    """Whether an adapter was made for this base model."""
    from tac_rl.errors import TacRlError

    try:
        from tac_rl.learning.identity import fingerprint
        from tac_rl.serving.adapters import check_adapter
        from tac_rl.serving.model_folder import linear_shapes

        check_adapter(adapter, linear_shapes(model))
        state = adapter / "learner.json"
        made_for = json.loads(state.read_text(encoding="utf-8")).get("base") if state.is_file() else None
        if made_for is not None and made_for != fingerprint(model):
            fix = "name the model that the adapter's run was started with, or train a new one"
            return Line("adapter", Verdict.FAIL, f"{adapter}: made for another base model than {model}", fix)
    except TacRlError as error:
        return Line("adapter", Verdict.FAIL, str(error), "name the model that the adapter was made for")
    except (ImportError, OSError, ValueError) as error:
        return Line("adapter", Verdict.FAIL, f"{adapter}: {error}", "write the adapter again, or run ./setup.sh")
    return Line("adapter", Verdict.OK, f"{adapter}: fits {model}")
