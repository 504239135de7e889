"""Python modules that travel with their compiled form into sandboxes, where short processes import them."""

import marshal
import sys
from collections.abc import Mapping
from functools import lru_cache
from importlib.util import MAGIC_NUMBER, source_hash


@lru_cache(maxsize=256)
def with_compiled(name: str, source: bytes) -> Mapping[str, bytes]:
    """The module `name`'s files: its source, and its compiled form where an interpreter of this version looks for it.

    Compiling anew would take longer than starting Python. Another version ignores the file.
    """
    code = compile(source, f"{name}.py", "exec", dont_inherit=True)
    # PEP 552: magic number, flags (1: hash-based, not to be checked), hash of the source, the code.
    header = MAGIC_NUMBER + (1).to_bytes(4, "little") + source_hash(source)
    return {
        f"{name}.py": source,
        f"__pycache__/{name}.{sys.implementation.cache_tag}.pyc": header + marshal.dumps(code),
    }
