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

from tac_rl.config.warmstart import PhaseSection, WarmstartConfig
from tac_rl.errors import ConfigError
from tac_rl.gateway.renderer import Renderer
from tac_rl.learning.warmstart import demonstrations as demos
from tac_rl.learning.warmstart.demonstrations import Demonstration
from tac_rl.learning.warmstart.drills import Drills
from tac_rl.learning.warmstart.episodes import Episode, Renaming, conversation, to_episode
from tac_rl.learning.warmstart.model import load_model, new_model, save_weights
from tac_rl.learning.warmstart.tokenizer import END_OF_TEXT, TURN_END, build_tokenizer, save_tokenizer
from tac_rl.learning.warmstart.training import train
from tac_rl.office.build import build_office
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
    """Play the demonstrations in real sandboxes, or read those of the work folder.

    Raises `ConfigError` where the work folder holds those of other packages.
    """
    section = config.demonstrations
    clean_file, sloppy_file = config.work / "clean.jsonl", config.work / "sloppy.jsonl"
    if clean_file.is_file() and sloppy_file.is_file():
        played = Played(demos.load(clean_file), demos.load(sloppy_file))
        if {d.task for d in played.clean} != {package.name for package in packages}:
            raise ConfigError(f"work: {config.work} has demonstrations of other packages; delete it")
        return played
    unknown = sorted({p.difficulty for p in packages} - set(section.completion))
    if unknown:
        raise ConfigError(f"demonstrations.completion: has no share for difficulty {unknown[0]}; add one")
    provider = make_provider(config.sandbox)
    office = build_office(config.office) if any(p.services for p in packages) else None
    try:
        limits = make_limits(config.sandbox)
        async with demos.players(provider, limits, office, section.sandboxes, config.seed) as players:
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
        if office is not None:
            await office.stop()
    demos.save(clean, clean_file)
    demos.save(sloppy, sloppy_file)
    tell(f"played {len(clean)} clean and {len(sloppy)} sloppy demonstrations")
    return Played(clean, sloppy)


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
        token_of = {word: renderer.text_ids(word)[0] for word in WORDS}
        self._renaming = Renaming(self.clean, token_of, renderer.vocabulary_size)
        self._drills = Drills(renderer, list(token_of.values()))

    def can_do(self) -> tuple[Any, Losses]:
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
        drill = self._train(model, config.drill, [], rng, "drill")
        clean = self._train(model, config.clean, self.clean, rng, "clean")
        return model, Losses(drill, clean, [])

    def seldom_does(self, model: Any) -> list[float]:
        """The sloppy phase, in place."""
        rng = random.Random(f"{self._config.seed} sloppy")
        return self._train(model, self._config.sloppy, self.sloppy, rng, "sloppy")

    def _train(
        self, model: Any, section: PhaseSection, episodes: Sequence[Episode], rng: random.Random, name: str
    ) -> list[float]:
        def draw() -> Episode:
            if section.drills == 1.0 or rng.random() < section.drills:
                return self._drills(rng)
            episode = rng.choice(episodes)
            return self._renaming(episode, rng) if rng.random() < self._config.renaming else episode

        return train(model, draw, section, rng, lambda line: self._tell(f"{name}: {line}"))


async def rebuild(config: WarmstartConfig, packages: Sequence[TaskPackage], tell: Tell) -> Losses:
    """Make everything and write the policy to `config.out`."""
    played = await play(config, packages, tell)
    checkpoint = config.work / "clean_model"
    losses = Losses([], [], [])
    if (checkpoint / "model.safetensors").is_file():
        tell(f"the clean model is there: {checkpoint}")
        # Its own tokenizer, whatever the demonstrations are by now.
        recipe = Recipe(config, played, Renderer.from_path(checkpoint), tell)
    else:
        recipe = Recipe(config, played, make_tokenizer(config, played), tell)
        model, losses = recipe.can_do()
        write_policy(model, config.work / "tokenizer", checkpoint)
    model = load_model(checkpoint)  # rounded as it is kept, so that both ways here are the same
    losses.sloppy.extend(recipe.seldom_does(model))
    write_policy(model, checkpoint, config.out)
    return losses


TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja")


def write_policy(model: Any, tokenizer: Path, folder: Path) -> None:
    """A complete model folder: the tokenizer of another folder, config and weights (the weights last)."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in TOKENIZER_FILES:
        (folder / name).write_bytes((tokenizer / name).read_bytes())
    save_weights(model, folder)
