"""Which programming languages a repository is written in, told by the files' names."""

from pygit2 import Blob, Repository

from tac_rl.office.forge.reading import branch_tip, list_tree

_BY_SUFFIX = {
    "py": "Python", "pyx": "Cython", "js": "JavaScript", "mjs": "JavaScript", "jsx": "JavaScript",
    "ts": "TypeScript", "tsx": "TypeScript", "java": "Java", "kt": "Kotlin", "scala": "Scala", "go": "Go",
    "rs": "Rust", "c": "C", "h": "C", "cc": "C++", "cpp": "C++", "cxx": "C++", "hpp": "C++", "cs": "C#",
    "rb": "Ruby", "php": "PHP", "sh": "Shell", "bash": "Shell", "sql": "PLpgSQL", "html": "HTML", "css": "CSS",
    "scss": "SCSS", "vue": "Vue", "swift": "Swift", "m": "Objective-C", "r": "R", "jl": "Julia", "lua": "Lua",
    "pl": "Perl", "hs": "Haskell", "ex": "Elixir", "exs": "Elixir", "erl": "Erlang", "dart": "Dart",
    "cu": "Cuda", "cmake": "CMake", "tf": "HCL", "ipynb": "Jupyter Notebook",
}  # fmt: skip
_BY_NAME = {"Makefile": "Makefile", "Dockerfile": "Dockerfile", "CMakeLists.txt": "CMake"}


def languages_of(repo: Repository, branch: str) -> dict[str, float]:
    """Percentages of the bytes, largest first; empty for a repository without code."""
    tip = branch_tip(repo, branch)
    sizes: dict[str, int] = {}
    for entry in (tip and list_tree(repo, tip, "", recursive=True)) or ():
        language = _BY_NAME.get(entry.name) or _BY_SUFFIX.get(entry.name.rpartition(".")[2].lower())
        blob = repo.get(entry.id) if entry.kind == "blob" and language is not None else None
        if isinstance(blob, Blob) and language is not None:
            sizes[language] = sizes.get(language, 0) + blob.size
    total = sum(sizes.values())
    ranked = sorted(sizes.items(), key=lambda item: (-item[1], item[0]))
    return {language: round(100 * size / total, 2) for language, size in ranked if size}
