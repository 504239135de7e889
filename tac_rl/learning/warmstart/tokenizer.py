"""The tiny policy's tokenizer: words as single tokens, digits one by one, the tool-call frame in two tokens.

What a small model must learn first is to copy names, and it copies tokens. So a name from the packages' word
pools is the same single token wherever it stands: `net` in `sum(net)`, ` net `, `net,`. Any other word takes
the space behind it along, which makes the texts a third shorter. Frequent pieces of text are in the vocabulary
as they are (`ignore_merges`), so that no entries are spent on their halves; a few byte-pair merges and the 256
bytes stand below them, and every text can be written and read back exactly.

This is deliberately no general tokenizer: it is made for one policy that lives in a shell.
"""

import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from importlib import resources
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

END_OF_TEXT = "<|endoftext|>"
TURN_START = "<|im_start|>"
TURN_END = "<|im_end|>"
CONTROL = (END_OF_TEXT, TURN_START, TURN_END)
FRAME = ("<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>", "<tools>", "</tools>")
"""As in Qwen2.5 these are single tokens, but not special: decoding keeps them."""

CALL_HEAD = r'\n\{"name": "[a-z_]+", "arguments": \{(?:"[a-z_]+": ")?'
CALL_TAIL = r'"?\}\}\n'
MIN_COUNT = 8
"""A piece of text must be this frequent in the corpus to get an entry of its own."""


def split_pattern(words: Iterable[str]) -> str:
    """The regular expression that cuts a text into pieces; `words` are the names that stand alone."""
    names = "|".join(re.escape(word) for word in sorted(set(words), key=lambda word: (-len(word), word)))
    return "|".join(
        [
            CALL_HEAD,
            CALL_TAIL,
            r"(?:system|user|assistant)\n",
            *([rf"(?:{names})(?![A-Za-z])"] if names else []),
            r"[A-Za-z]+ ?",
            r"[0-9]",
            r'\\+[nt"]?',
            r"\n",
            # Punctuation and spaces, but never into the tail of a call: the tail stays one token.
            rf"(?:(?!{CALL_TAIL})[^A-Za-z0-9\\\n])+",
        ]
    )


def build_tokenizer(
    words: Sequence[str], corpus: Sequence[str], vocabulary: int = 1152, merges: int = 96
) -> Tokenizer:
    """A tokenizer of at most `vocabulary` entries for `corpus`, in which each of `words` is one token.

    The ids of the control and frame tokens are 0 to 8 and never change; then come the bytes, the merges,
    the words in their order, and the corpus' most frequent pieces.
    """
    splitter = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(split_pattern(words)), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    counts: Counter[str] = Counter()
    frame = re.compile("|".join(re.escape(token) for token in (*CONTROL, *FRAME)))
    for text in corpus:
        for segment in frame.split(text):
            counts.update(piece for piece, _ in splitter.pre_tokenize_str(segment))

    # The few merges: trained by the library on the same pieces.
    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer = splitter
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=len(alphabet) + merges,
        initial_alphabet=alphabet,
        show_progress=False,
        min_frequency=MIN_COUNT,
    )
    trained.train_from_iterator((s for text in corpus for s in frame.split(text)), trainer)
    merged = [(left, right) for left, right in json.loads(trained.to_str())["model"]["merges"]]

    vocab = {token: number for number, token in enumerate((*CONTROL, *FRAME, *alphabet))}
    as_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    names = [as_bytes.pre_tokenize_str(word)[0][0] for word in words]
    frequent = [
        piece for piece, n in sorted(counts.items(), key=lambda item: (-item[1], item[0])) if n >= MIN_COUNT
    ]
    for token in (*("".join(pair) for pair in merged), *names, *frequent):
        if len(vocab) < vocabulary:
            vocab.setdefault(token, len(vocab))
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=merged, ignore_merges=True))
    tokenizer.pre_tokenizer = splitter
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in CONTROL])
    tokenizer.add_tokens([AddedToken(token, special=False, normalized=False) for token in FRAME])
    return tokenizer


def save_tokenizer(tokenizer: Tokenizer, folder: Path) -> None:
    """Write `tokenizer.json`, `tokenizer_config.json` and the chat template.

    `PreTrainedTokenizerFast` reads them as they are; `AutoTokenizer` would rebuild Qwen2's usual tokenizer.
    """
    template = resources.files(__package__).joinpath("chat_template.jinja").read_text()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=TURN_END,
        pad_token=END_OF_TEXT,
        clean_up_tokenization_spaces=False,
        model_max_length=2048,
        chat_template=template,
    )
    fast.save_pretrained(folder)
