"""The training rollouts of a run, kept token for token, and dealt out again to a warm start of a later run.

    runs/NAME/rows/model.json     the model whose tokens these are
    runs/NAME/rows/it0001.npz     what the learner was given in iteration 1 (compressed arrays, nothing that is code)

Arrays are those of `rows.py`: `token_ids` int32, `sampled` uint8, `logprobs` float32, all rows end to end; `groups`
is the JSON that says whose they are, as bytes.
"""

import json
import random
import re
import zipfile
import zlib
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tac_rl.config.learner import LearnerSection
from tac_rl.config.run import RunConfig
from tac_rl.errors import LearnerError, RunError
from tac_rl.learning.base import Group
from tac_rl.learning.identity import ModelIdentity, identity_of
from tac_rl.learning.rows import pack, unpack
from tac_rl.learning.selection import learnt_from
from tac_rl.learning.stages import Stage, stages_of
from tac_rl.runs.reader import find_run
from tac_rl.runs.schema import translated

FOLDER = "rows"
FORMAT = 1
_FILE = re.compile(r"it(\d+)\.npz")


class RowKeeper:
    """Keeps the rows of a run's iterations in its directory. Raises `RunError` where the disk fails."""

    def __init__(self, run: Path, model: ModelIdentity) -> None:
        self.folder = run / FOLDER
        self.model = model

    def keep(self, iteration: int, groups: Sequence[Group]) -> None:
        """Write an iteration's rows: whole or, if the process dies, not at all."""
        described, arrays = pack(groups)
        contents: dict[str, Any] = {
            "groups": np.frombuffer(json.dumps(described).encode(), np.uint8),
            **arrays,
        }
        path = self.folder / f"it{iteration:04d}.npz"
        part = path.with_suffix(".part")
        with translated(path):
            self.folder.mkdir(exist_ok=True)
            header = {"format": FORMAT, **asdict(self.model)}
            (self.folder / "model.json").write_text(json.dumps(header), encoding="utf-8")
            with part.open("wb") as file:
                np.savez_compressed(file, **contents)
            part.replace(path)


def load_rows(path: Path) -> tuple[Group, ...]:
    """What `RowKeeper.keep` wrote; raises `RunError` where it is damaged."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            described = json.loads(arrays["groups"].tobytes())
            return unpack(described, {name: arrays[name] for name in arrays.files if name != "groups"})
    except (OSError, EOFError, ValueError, KeyError, TypeError, zipfile.BadZipFile, zlib.error) as error:
        raise RunError(f"{path}: damaged rows ({error}); delete the file to go on without it") from error
    except LearnerError as error:
        raise RunError(f"{path}: {error}; delete the file to go on without it") from error


@dataclass(frozen=True)
class Traces:
    """The recorded groups of an earlier run that a stage can learn from."""

    places: tuple[tuple[Path, int], ...]
    """File and place in it of each group."""
    batch_groups: int
    """Groups of one iteration."""
    seed: str
    """Of the order in which each pass goes through them."""
    rollouts: int
    """How many rollouts are learnt from in one pass."""

    @property
    def batches(self) -> int:
        """Iterations of one pass."""
        return -(-len(self.places) // self.batch_groups)

    def batch(self, at: int) -> list[Group]:
        """The groups of the stage's iteration `at`, from 0. Each pass deals all groups out once, in another order."""
        number, within = divmod(at, self.batches)
        order = list(range(len(self.places)))
        random.Random(f"{self.seed} {number}").shuffle(order)
        chosen = [
            self.places[place]
            for place in order[within * self.batch_groups : (within + 1) * self.batch_groups]
        ]
        files = {path: load_rows(path) for path in {path for path, _ in chosen}}
        return [files[path][place] for path, place in chosen]


def find_traces(
    run: Path, stage: Stage, model: ModelIdentity, *, batch_groups: int, seed: int, heldout: Collection[str]
) -> Traces:
    """What `stage` can learn from in the run directory `run`.

    Groups of the tasks in `heldout` are left out: this run is measured on them. Raises `RunError` where nothing is
    left, or the rows are those of another model.
    """
    folder = run / FOLDER
    files = sorted(file for file in folder.glob("it*.npz") if _FILE.fullmatch(file.name))
    if not files:
        raise RunError(
            f"{run}: holds no rows to learn from (stage {stage.number}, from_run): it finished no iteration with "
            "rollouts, or ran with keep_rows: false"
        )
    _check_model(folder / "model.json", model)
    places, rollouts, seen = list[tuple[Path, int]](), 0, 0
    for file in files:
        for place, group in enumerate(load_rows(file)):
            seen += 1
            useful = learnt_from(group, stage.settings) if group.task not in heldout else 0
            if useful:
                places.append((file, place))
                rollouts += useful
    if not places:
        raise RunError(
            f"{run}: none of its {seen} groups gives stage {stage.number} something to learn from "
            f"({_wanted(stage.settings)})"
        )
    return Traces(tuple(places), batch_groups, f"{seed} stage {stage.number}", rollouts)


def traces_of(config: RunConfig, heldout: Collection[str], *, after: int) -> dict[int, Traces]:
    """By number of stage: the recorded rollouts that the stages still to come after iteration `after` learn from.

    Raises `RunError` where there are none.
    """
    return {
        stage.number: find_traces(
            find_run(config.runs_dir, stage.from_run),
            stage,
            identity_of(config.model),
            batch_groups=config.rollouts.groups,
            seed=config.seed,
            heldout=heldout,
        )
        for stage in stages_of(config)
        if stage.from_run is not None and stage.last > after
    }


def planned_stages(config: RunConfig, heldout: Collection[str], *, after: int) -> list[dict[str, Any]]:
    """The run's stages as plain JSON, with what there is to learn from where that is recorded already."""
    traces = traces_of(config, heldout, after=after)
    planned = []
    for stage in stages_of(config):
        entry: dict[str, Any] = {
            "kind": stage.kind,
            "iterations": [stage.first, stage.last],
            "loss": stage.settings.loss,
            "learning_rate": stage.settings.learning_rate,
            "from_run": stage.from_run,
        }
        if stage.number in traces:
            found = traces[stage.number]
            entry |= {
                "recorded_groups": len(found.places),
                "recorded_rollouts": found.rollouts,
                "passes": round(stage.iterations / found.batches, 2),
            }
        planned.append(entry)
    return planned


def _check_model(path: Path, model: ModelIdentity) -> None:
    try:
        header = json.loads(path.read_text(encoding="utf-8"))
        theirs = ModelIdentity(header["path"], header["base"], header["tokenizer"])
        known = header["format"] == FORMAT
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(
            f"{path}: can't be read ({error}), so nobody knows whose tokens the rows are; put it back"
        ) from error
    if not known:
        raise RunError(f"{path}: format {header['format']!r}, this program reads {FORMAT}")
    for what, mine, other in (
        ("tokenizer", model.tokenizer, theirs.tokenizer),
        ("base model", model.base, theirs.base),
    ):
        if mine != other:
            raise RunError(
                f"{path.parent}: rows of another {what} ({theirs.path}, this run has {model.path}); take a run of "
                "the same model for from_run, or set model to the one of that run"
            )


def _wanted(settings: LearnerSection) -> str:
    if settings.loss == "sft":
        return f"wanted: rewards of at least {settings.sft.min_reward:g}"
    return f"wanted: rewards {settings.dpo.min_margin:g} apart in one group"
