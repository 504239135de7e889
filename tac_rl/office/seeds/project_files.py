"""The files that every repository has beside its code."""

from tac_rl.office.seeds.people import BY_NAME
from tac_rl.office.seeds.products import Product

_MIT = """MIT License

Copyright (c) 2025 The Agent Company

Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated
documentation files (the "Software"), to deal in the Software without restriction, including without limitation
the rights to use, copy, modify, merge, publish, distribute, sublicense, and/or sell copies of the Software, and
to permit persons to whom the Software is furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all copies or substantial portions of
the Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO
THE WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE
AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF
CONTRACT, TORT OR OTHERWISE, ARISING FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS
IN THE SOFTWARE.
"""
_NOTICE = """Copyright 2025 The Agent Company

All rights reserved. For use inside the company and by customers under their contract; ask before you pass it on.
"""
_TESTS = {
    "python": "python -m pytest",
    "javascript": "node --test",
    "docs": "python -m pytest && python -m tools.links docs",
}


def first_files(product: Product) -> dict[str, str]:
    """Of the first commit, by path."""
    files = {
        "README.md": readme(product),
        "LICENSE": _MIT if product.licence == "mit" else _NOTICE,
        "CHANGELOG.md": "# Changelog\n",
        ".gitignore": "node_modules/\n"
        if product.language == "javascript"
        else "__pycache__/\n.venv/\n*.egg-info/\n",
        ".gitlab-ci.yml": pipeline(product),
    }
    if product.language == "javascript":
        files["package.json"] = package_json(product, "0.0.0")
    else:
        files["pyproject.toml"] = pyproject(product, "0.0.0", "8.0")
    return files


def readme(product: Product) -> str:
    areas = "\n".join(f"* {area}" for area in product.areas)
    lead = BY_NAME[product.lead].name
    return (
        f"# {product.name}\n\n{product.tagline}.\n\n## Areas\n\n{areas}\n\n## Tests\n\n"
        f"    {_TESTS[product.language]}\n\n## Questions\n\n"
        f"{lead} leads this project. Open an issue, or ask in the chat.\n"
    )


def pyproject(product: Product, version: str, pytest: str) -> str:
    return (
        f'[project]\nname = "{product.path}"\nversion = "{version}"\ndescription = "{product.tagline}"\n'
        f'requires-python = ">=3.11"\n\n[project.optional-dependencies]\ntest = ["pytest>={pytest}"]\n\n'
        '[tool.pytest.ini_options]\ntestpaths = ["tests"]\npythonpath = ["."]\n'
    )


def package_json(product: Product, version: str) -> str:
    return (
        f'{{\n  "name": "{product.path}",\n  "version": "{version}",\n  "description": "{product.tagline}",\n'
        '  "type": "module",\n  "private": true,\n  "scripts": { "test": "node --test" }\n}\n'
    )


def pipeline(product: Product, *, versions: tuple[str, ...] = ("3.11",), runner: str = "linux") -> str:
    """The CI file: tests with each version of the language, on a kind of runner."""
    if product.language == "javascript":
        numbers = ", ".join({"3.11": '"20"', "3.12": '"22"'}[version] for version in versions)
        image, install = "node:$VERSION", "npm install"
    else:
        numbers = ", ".join(f'"{version}"' for version in versions)
        image, install = "python:$VERSION", "pip install -e .[test]"
    return (
        f"stages: [test]\n\ntest:\n  stage: test\n  image: {image}\n  tags: [{runner}]\n  parallel:\n    matrix:\n"
        f"      - VERSION: [{numbers}]\n  script:\n    - {install}\n    - {_TESTS[product.language]}\n"
    )


def codeowners(product: Product) -> str:
    people = " ".join(f"@{person}" for person in dict.fromkeys((product.lead, *product.members)))
    return f"* {people}\n"


def contributing(product: Product) -> str:
    return (
        f"# Working on {product.name}\n\n1. Pick an issue, or open one, and assign it to yourself.\n"
        "2. Branch from `main`; one branch does one thing.\n"
        f"3. Add a test that fails without your change. `{_TESTS[product.language]}` must pass.\n"
        "4. Open a merge request and ask one person to read it.\n"
    )


def support(product: Product) -> str:
    lead = BY_NAME[product.lead]
    return (
        f"# Help with {product.name}\n\n* Questions: #support in the chat.\n* Bugs: an issue here, with the version.\n"
        f"* Something is on fire: #incidents, at any hour.\n* Everything else: {lead.name} <{lead.email}>.\n"
    )


EDITORCONFIG = "root = true\n\n[*]\nend_of_line = lf\ninsert_final_newline = true\nindent_style = space\nindent_size = 4\n\n[*.{js,json,yml,yaml}]\nindent_size = 2\n"  # noqa: E501
