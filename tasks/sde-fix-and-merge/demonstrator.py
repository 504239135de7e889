"""Read the issue, ask the maintainer, repair and test on a branch of that branch, merge, close, tell."""

import re
from collections.abc import Generator

from tac_rl.tasks.authoring import Slip, Work, WrongEnding

REPAIRS = (
    ("weight > BULK_FROM", "weight >= BULK_FROM"),
    ("items // PAGE_SIZE", "-(-items // PAGE_SIZE)"),
    ("ordered = list(values)", "ordered = sorted(values)"),
    ('.replace(",", ".", 1)', '.replace(",", "")'),
    ("[base for n in", "[base + 1 if n < rest else base for n in"),
    ("key=lambda name: -points[name]", "key=lambda name: (-points[name], name)"),
)
"""What is wrong in such a module, and what the README wants instead."""
REPLACE = "import sys; _, path, old, new = sys.argv; s = open(path).read(); open(path, 'w').write(s.replace(old, new))"


def work(instruction: str, slip: Slip) -> Work:
    module, project = re.findall(r"module (\w+)\.py of the forge project (\S+) gives", instruction)[0]
    number = re.findall(r"^\d+", (yield f"forge issues {project} opened bug"))[0]
    about = yield f"forge issue {project} {number}"
    reporter = re.findall(r"^author: (\w+)$", about, re.MULTILINE)[0]
    call, right = re.findall(r"I get `(.+) == .+`, and by the README it is `(.+)`\.", about)[0]
    target = "" if slip("never_ask") else (yield from _ask(project, number, slip))
    start = "main" if slip("start_on_main") or not target else target
    branch = f"fix-{number}"
    yield f"forge clone {project} && cd {project} && git checkout -q -b {branch} origin/{start} && cat README.md"
    source = yield f"cat {module}.py"
    if slip("only_the_example"):
        yield f"cat >> {module}.py <<'END'\n{_patched(call, right)}END"
    else:
        wrong, better = next(pair for pair in REPAIRS if pair[0] in source)
        yield f"python3 -c {_quoted(REPLACE)} {module}.py {_quoted(wrong)} {_quoted(better)} && git diff"
    if target and not slip("no_test"):
        yield f"cat >> tests/test_{module}.py <<'END'\n{_test(number, call, right)}END"
    yield f"python3 -m unittest tests/test_{module}.py"
    identity = "-c user.name=Agent -c user.email=agent@company.com"
    message = f"Repair {module}" if slip("unnamed") else f"Repair {module}, see #{number}"
    yield f"git add {module}.py tests && git {identity} commit -qm '{message}' && git push -q origin {branch}"
    request = re.findall(r"\d+", (yield f"forge open-mr {project} {branch} '{message}'"))[0]
    if target and not slip("into_main"):
        yield f"forge retarget {project} {request} {target}"
    if not slip("never_merge"):
        yield f"forge merge {project} {request}"
    if not slip("never_close"):
        yield f"forge close {project} {number}"
    if not slip("never_tell"):
        yield f"chat dm {reporter} 'Issue #{number} is repaired.'"


def _ask(project: str, number: str, slip: Slip) -> Generator[str, str, str]:
    """The branch that the maintainer wants; '' where they did not say."""
    maintainer = re.findall(r"^(\w+) maintainer$", (yield f"forge members {project}"), re.MULTILINE)[0]
    which = "the bug" if slip("ask_vaguely") else f"issue #{number}"
    question = f"Into which branch does the fix for {which} go, and is there anything else to heed?"
    answer = yield f"chat ask {maintainer} '{question}'"
    return "".join(re.findall(r"has to go into (\S+),", answer)[:1])


def _patched(call: str, right: str) -> str:
    """Code that answers the one call of the issue as it should, and no other."""
    function, arguments = re.findall(r"^(\w+)\((.*)\)$", call)[0]
    head = f"\n\n_was = {function}\n\n\ndef {function}(*given):\n"
    return f"{head}    return {right} if given == ({arguments},) else _was(*given)\n"


def _test(number: str, call: str, right: str) -> str:
    head = f"\n\nclass Issue{number}Test(unittest.TestCase):\n    def test_reported(self):\n"
    return f"{head}        self.assertEqual({call}, {right})\n"


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


ENDINGS = (
    WrongEnding("nobody asked: into main, untested", results=(0, 2, 0, 0, 0, 2), slips=("never_ask",)),
    WrongEnding("asked without saying which", results=(0, 2, 0, 0, 0, 2), slips=("ask_vaguely",)),
    WrongEnding("only the example of the issue", results=(1, 0, 0, 0, 0, 2), slips=("only_the_example",)),
    WrongEnding("into main all the same", results=(1, 2, 0, 0, 0, 2), slips=("into_main",)),
    WrongEnding("what is new on main comes along", results=(1, 2, 2, 1, 0, 2), slips=("start_on_main",)),
    WrongEnding("no test", results=(1, 2, 2, 0, 1, 2), slips=("no_test",)),
    WrongEnding("the request doesn't name the issue", results=(1, 0, 0, 0, 0, 2), slips=("unnamed",)),
    WrongEnding("never merged", results=(1, 2, 0, 0, 0, 2), slips=("never_merge",)),
    WrongEnding("neither closed nor told", results=(1, 2, 2, 1, 1, 0), slips=("never_close", "never_tell")),
)
