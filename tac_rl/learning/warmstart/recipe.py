"""The recipe: tokenizer, demonstrations, drills, clean phase, sloppy phase.

First the policy must be able to do the work (clean demonstrations), only then may it become unreliable
(sloppy ones): trained on sloppy work from the start it would learn nothing that could be reinforced. What a
step has made lies in the work folder; a step whose result is there is not repeated, so an interrupted
recipe goes on where it was, and the sloppy phase can be tried again without the long clean one.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from tac_rl.config.warmstart import WarmstartConfig
from tac_rl.gateway.renderer import Renderer
from tac_rl.learning.warmstart import demonstrations as demos
from tac_rl.learning.warmstart.demonstrations import Demonstration
from tac_rl.learning.warmstart.drills import Drills
from tac_rl.learning.warmstart.episodes import Episode, Renaming, conversation, to_episode
from tac_rl.learning.warmstart.model import load_model, new_model, save_weights
from tac_rl.learning.warmstart.tokenizer import END_OF_TEXT, TURN_END, build_tokenizer, save_tokenizer
from tac_rl.learning.warmstart.training import train
from tac_rl.sandboxes.select import make_limits, make_provider
from tac_rl.tasks.packages import TaskPackage
from tac_rl.tasks.words import POOLS

Tell = Callable[[str], None]

WORDS = tuple(word for pool in POOLS.values() for word in pool)


@dataclass(frozen=True)
class Played:
    """All demonstrations."""

    clean: list[Demonstration]
    sloppy: list[Demonstration]


@dataclass(frozen=True)
class Losses:
    """The loss of every optimiser step, in nats a token."""

    drill: list[float]
    clean: list[float]
    sloppy: list[float]


async def play(config: WarmstartConfig, packages: Sequence[TaskPackage], tell: Tell) -> Played:
    """Play the demonstrations in real sandboxes, or read those of the work folder."""
    clean_file, sloppy_file = config.work / "clean.jsonl", config.work / "sloppy.jsonl"
    if not (clean_file.is_file() and sloppy_file.is_file()):
        section = config.demonstrations
        provider = make_provider(config.sandbox)
        limits = make_limits(config.sandbox)
        try:
            async with demos.players(provider, limits, section.sandboxes, config.seed) as players:
                clean = await demos.play_clean(packages, section.clean, players)
                sloppy = await demos.play_sloppy(
                    packages,
                    section.sloppy,
                    lambda package: section.completion[package.difficulty],
                    clean,
                    players,
                )
        finally:
            await provider.close()
        demos.save(clean, clean_file)
        demos.save(sloppy, sloppy_file)
        tell(f"played {len(clean)} clean and {len(sloppy)} sloppy demonstrations")
    return Played(demos.load(clean_file), demos.load(sloppy_file))


def make_tokenizer(config: WarmstartConfig, played: Played) -> Renderer:
    """Build the tokenizer for the demonstrations' texts and write it to the work folder."""
    folder = config.work / "tokenizer"
    # The first tokenizer knows only the words; its template renders the corpus for the real one.
    save_tokenizer(build_tokenizer(WORDS, [], config.model.vocabulary), folder)
    renderer = Renderer.from_path(folder)
    corpus = [renderer.text(conversation(d, renderer)[0]) for d in (*played.clean, *played.sloppy)]
    save_tokenizer(build_tokenizer(WORDS, corpus, config.model.vocabulary), folder)
    return Renderer.from_path(folder)


class Recipe:
    """The phases of training, over one tokenizer and one set of demonstrations."""

    def __init__(self, config: WarmstartConfig, played: Played, renderer: Renderer, tell: Tell) -> None:
        torch.set_num_threads(config.threads)
        self._config = config
        self._renderer = renderer
        self._tell = tell
        self.clean = [to_episode(d, renderer) for d in played.clean]
        self.sloppy = [to_episode(d, renderer) for d in played.sloppy]
        self._token_of = {word: renderer.text_ids(word)[0] for word in WORDS}
        self._renaming = Renaming(self.clean, self._token_of, renderer.vocabulary_size)

    def can_do(self) -> tuple[Any, list[float], list[float]]:
        """Drills and the clean phase: a model that can do the work, and the losses of both."""
        config = self._config
        rng = random.Random(f"{config.seed} clean")
        model = new_model(
            config.model,
            self._renderer.vocabulary_size,
            end=self._renderer.text_ids(TURN_END)[0],
            pad=self._renderer.text_ids(END_OF_TEXT)[0],
            seed=config.seed,
        )
        drills = Drills(self._renderer, list(self._token_of.values()))
        drilled = train(model, lambda: drills(rng), config.drill, rng, self._phase("drill"))

        def draw() -> Episode:
            return drills(rng) if rng.random() < config.drill_share else self._draw(self.clean, rng)

        losses = train(model, draw, config.clean, rng, self._phase("clean"))
        return model, drilled, losses

    def seldom_does(self, model: Any) -> list[float]:
        """The sloppy phase, in place."""
        rng = random.Random(f"{self._config.seed} sloppy")
        return train(
            model, lambda: self._draw(self.sloppy, rng), self._config.sloppy, rng, self._phase("sloppy")
        )

    def _draw(self, episodes: Sequence[Episode], rng: random.Random) -> Episode:
        episode = rng.choice(episodes)
        return self._renaming(episode, rng) if rng.random() < self._config.renaming else episode

    def _phase(self, name: str) -> Tell:
        return lambda line: self._tell(f"{name}: {line}")


async def rebuild(config: WarmstartConfig, packages: Sequence[TaskPackage], tell: Tell) -> Losses:
    """Make everything and write the policy to `config.out`."""
    played = await play(config, packages, tell)
    renderer = make_tokenizer(config, played)
    recipe = Recipe(config, played, renderer, tell)
    checkpoint = config.work / "clean_model"
    drill: list[float] = []
    clean: list[float] = []
    if (checkpoint / "model.safetensors").is_file():
        tell(f"the clean model is there: {checkpoint}")
        model = load_model(checkpoint)
    else:
        model, drill, clean = recipe.can_do()
        write_policy(model, config.work / "tokenizer", checkpoint)
    sloppy = recipe.seldom_does(model)
    write_policy(model, config.work / "tokenizer", config.out)
    return Losses(drill, clean, sloppy)


def write_policy(model: Any, tokenizer: Path, folder: Path) -> None:
    """A complete model folder: tokenizer, config and weights (the weights last)."""
    folder.mkdir(parents=True, exist_ok=True)
    for source in sorted(tokenizer.iterdir()):
        (folder / source.name).write_bytes(source.read_bytes())
    save_weights(model, folder)
