"""Messages to token ids and back, with the model's own tokenizer and chat template.

A conversation only ever grows at its end: `prompt_ids` renders a whole history once, `suffix_ids` what
comes after a turn that the policy sampled. The suffix is cut out of a rendering in which the sampled turn
is replaced by a sentinel, so sampled text is never tokenised again, and earlier turns are never rendered
again.
"""

import re
import secrets
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from jinja2 import TemplateError

from tac_rl.errors import ConfigError
from tac_rl.gateway.messages import Message
from tac_rl.gateway.protocol import ApiError

_CACHED_SEGMENTS = 2048


class Renderer:
    """Renders for one tokenizer. Not for use by several threads at once."""

    def __init__(self, tokenizer: Any) -> None:
        """`tokenizer` is a transformers tokenizer with a chat template; `ConfigError` if that is unusable."""
        self._tokenizer = tokenizer
        self._sentinel = f"SAMPLED{secrets.token_hex(12)}TURN"
        if not getattr(tokenizer, "chat_template", None):
            raise ConfigError(
                f"model: the tokenizer {getattr(tokenizer, 'name_or_path', '')!r} has no chat template; "
                "add chat_template.jinja to the model's folder"
            )
        if not getattr(tokenizer, "is_fast", False):
            raise ConfigError(
                "model: the tokenizer has no fast form; add its tokenizer.json to the model's folder"
            )
        # transformers' own `encode` goes through a batch call, which hops to a thread pool and back for each
        # text: on a busy machine that waits for the scheduler longer than the whole call takes.
        self._special = re.compile(
            "|".join(re.escape(t.content) for t in tokenizer.added_tokens_decoder.values() if t.special)
            or r"(?!)"
        )
        self._backend = tokenizer.backend_tokenizer
        self._backend.no_truncation()
        self._backend.no_padding()
        self._segment_ids = lru_cache(maxsize=_CACHED_SEGMENTS)(self._tokenise)
        self._turn_end = ""
        turn_end = self._special_at_turn_end()
        self.stop_token_ids: tuple[int, ...] = tuple(
            dict.fromkeys(token for token in (turn_end, tokenizer.eos_token_id) if token is not None)
        )
        """Tokens that end a turn: the template's own first, then the tokenizer's end of text."""
        if not self.stop_token_ids:
            raise ConfigError(
                "model: neither the tokenizer nor its chat template has a token that ends a turn"
            )
        if turn_end is not None:
            # Special tokens split the text before anything else looks at it, so what lies between two
            # ends of turns can be tokenised on its own (and remembered: system prompt and tools repeat).
            added = tokenizer.added_tokens_decoder[turn_end]
            if not (added.lstrip or added.rstrip or added.single_word):
                self._turn_end = added.content

    @property
    def vocabulary_size(self) -> int:
        """Entries of the tokenizer, added tokens included."""
        return len(self._tokenizer)

    @classmethod
    def from_path(cls, model_path: Path) -> "Renderer":
        """The renderer of a model folder; nothing is ever downloaded."""
        # The import takes a second: only those who serve a model pay it.
        from transformers import AutoTokenizer, PreTrainedTokenizerFast

        # tokenizer.json is the tokenizer as it was trained. AutoTokenizer would rebuild it as the architecture's
        # usual one, which is another where a model has its own.
        kind = PreTrainedTokenizerFast if (model_path / "tokenizer.json").is_file() else AutoTokenizer
        try:
            tokenizer = kind.from_pretrained(str(model_path), local_files_only=True)
        except (OSError, ValueError) as error:
            raise ConfigError(f"model: no usable tokenizer in {model_path}: {error}") from error
        return cls(tokenizer)

    def prompt_ids(self, messages: Sequence[Message], tools: Sequence[dict[str, Any]] | None) -> list[int]:
        """Token ids of a whole history, up to where the assistant begins to write."""
        return self._encode(self._render(messages, tools))

    def suffix_ids(
        self,
        new_messages: Sequence[Message],
        tools: Sequence[dict[str, Any]] | None,
        last_sampled: int | None,
    ) -> list[int]:
        """Token ids between a sampled turn and the next: end of turn, `new_messages`, begin of the next.

        `last_sampled` is the turn's last token: if it is the template's end of turn, that is not repeated;
        a turn that was cut at `max_tokens` gets it here, not sampled.
        """
        before: list[Message] = [
            {"role": "user", "content": "."},
            {"role": "assistant", "content": self._sentinel},
        ]
        rendered = self._render([*before, *new_messages], tools)
        _, found, suffix = rendered.partition(self._sentinel)
        if not found:
            raise ApiError.invalid("the chat template does not show assistant turns; it can't be continued")
        ids = self._encode(suffix)
        if ids and ids[0] == last_sampled and last_sampled in self.stop_token_ids:
            del ids[0]
        return ids

    def text_ids(self, text: str) -> list[int]:
        """Token ids of a text as it stands in a rendered history."""
        return self._encode(text)

    def count(self, text: str) -> int:
        """How many tokens a text has; nothing of it is remembered."""
        return len(self._tokenise(text))

    def text(self, completion_ids: Sequence[int]) -> str:
        """The text of a completion without the token that ended it; other special tokens stay visible."""
        ids = list(completion_ids)
        if ids and ids[-1] in self.stop_token_ids:
            del ids[-1]
        decoded: str = self._tokenizer.decode(
            ids, skip_special_tokens=False, clean_up_tokenization_spaces=False
        )
        return decoded

    def _render(
        self, messages: Sequence[Message], tools: Sequence[dict[str, Any]] | None, *, open_turn: bool = True
    ) -> str:
        try:
            rendered: str = self._tokenizer.apply_chat_template(
                [self._harmless(message) for message in messages],
                tools=None if tools is None else list(tools),
                tokenize=False,
                add_generation_prompt=open_turn,
            )
        except (TemplateError, TypeError, ValueError, KeyError) as error:
            raise ApiError.invalid(
                f"the model's chat template can't render these messages: {error}", "messages"
            ) from error
        return rendered

    def _harmless(self, message: Message) -> Message:
        """The message with the spelling of special tokens broken: a file that holds `<|im_end|>` ends no turn."""
        content = message.get("content")
        if not isinstance(content, str) or not self._special.search(content):
            return message
        return {**message, "content": self._special.sub(lambda m: f"{m[0][0]}\u200b{m[0][1:]}", content)}

    def _encode(self, text: str) -> list[int]:
        if not self._turn_end:
            return list(self._segment_ids(text))
        ids: list[int] = []
        position = 0
        while (found := text.find(self._turn_end, position)) >= 0:
            end = found + len(self._turn_end)
            ids.extend(self._segment_ids(text[position:end]))
            position = end
        ids.extend(self._segment_ids(text[position:]))
        return ids

    def _tokenise(self, text: str) -> tuple[int, ...]:
        # JSON may hold lone surrogates, which no tokenizer takes.
        clean = text if text.isascii() else text.encode("utf-8", "replace").decode()
        return tuple(self._backend.encode(clean, add_special_tokens=False).ids)

    def _special_at_turn_end(self) -> int | None:
        """The special token that the template puts right behind an assistant's text, if it is one."""
        try:
            rendered = self._render(
                [{"role": "user", "content": "."}, {"role": "assistant", "content": self._sentinel}],
                None,
                open_turn=False,
            )
        except ApiError as error:
            raise ConfigError(f"model: {error}") from error
        ids = self._tokenise(rendered.partition(self._sentinel)[2])
        added = self._tokenizer.added_tokens_decoder
        return ids[0] if ids and ids[0] in added and added[ids[0]].special else None
