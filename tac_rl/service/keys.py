"""The file of API keys: one a line; empty lines and lines that begin with # are passed over."""

from pathlib import Path

from tac_rl.errors import ConfigError

SHORTEST = 16
"""Characters of a key: what is shorter can be guessed over a network."""


def read_keys(path: Path) -> tuple[str, ...]:
    """The keys; `ConfigError` names the file and the fix, and never shows a key."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"--api-key-file {path}: can't be read: {error}") from error
    keys = tuple(line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#"))
    make_one = f"make one: python -c 'import secrets; print(secrets.token_urlsafe(32))' > {path}"
    if not keys:
        raise ConfigError(f"--api-key-file {path}: holds no key; {make_one}")
    for number, key in enumerate(keys, start=1):
        if len(key) < SHORTEST or not key.isascii() or any(letter.isspace() for letter in key):
            raise ConfigError(
                f"--api-key-file {path}: key {number} must be at least {SHORTEST} ASCII characters without spaces; "
                f"{make_one}"
            )
    return keys
