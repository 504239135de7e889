"""Read how it's done, ask about the open issues, write the section in the form of the last one, release, tell."""

import re
from collections.abc import Iterator

from tac_rl.tasks.authoring import Slip, Work, WrongEnding

GIT = "git -c user.name=Assistant -c user.email=assistant@agentcompany.com"


def work(instruction: str, slip: Slip) -> Work:
    project, version = re.findall(r"(\S+) (\d+\.\d+\.\d+) is due", instruction)[0]
    rules = yield f"forge cat {project} RELEASING.md"
    changelog = yield f"forge cat {project} CHANGELOG.md"
    milestones = re.findall(r"^(\S+) \w+ (\S+)$", (yield f"forge milestones {project}"), re.M)
    dates = dict(milestones)
    following = min((day, title) for title, day in milestones if day > dates[version])[1]
    numbers = re.findall(r"^(\d+) ", (yield f"forge issues {project} all"), re.M)
    output = yield f"for n in {' '.join(numbers)}; do echo == $n; forge issue {project} $n; done"
    issues = [issue for issue in _issues(output) if issue.get("milestone") == version]

    for issue in issues:
        if issue["state"] != "opened":
            continue
        answer = "It moves to the next milestone."
        if not slip("ask_nobody"):
            question = f"What shall become of #{issue['n']} ({issue['title']})?"
            answer = yield f"chat ask {issue['assignee']} {question!r}"
        if "moves" not in answer:
            yield f"forge close {project} {issue['n']}"
            issue["state"] = "closed"
        elif not slip("leave_it_open"):
            yield f"forge milestone {project} {issue['n']} {following}"

    dropped = ("chore",) if slip("list_declined") else ("chore", "declined")
    listed = [i for i in issues if i["state"] == "closed" and not set(dropped) & set(i["labels"].split(", "))]
    day = _dates(changelog)[0] if slip("old_date") else dates[version]
    section = _section(changelog, rules, version, day, listed)
    path = re.findall(r"version in (\S+) is", rules)[0]
    yield f"forge clone {project} work && cat > section.md <<'EOF'\n{section}EOF"
    insert = "{ head -2 CHANGELOG.md; cat ../section.md; echo; tail -n +3 CHANGELOG.md; }"
    yield f"cd work && {insert} > ../new && mv ../new CHANGELOG.md"
    old = re.escape(re.findall(r"\d+\.\d+\.\d+", changelog)[0])
    yield f"sed -i {'' if slip('raise_everything') else '/version/'}s/{old}/{version}/ {path}"
    if slip("two_commits"):
        yield f"{GIT} commit -qm 'Release {version}' CHANGELOG.md"
    yield f"{GIT} commit -qam 'Release {version}' && git push -q origin main && cd .. && git -C work log --oneline"
    yield f"forge tag {project} v{version}"
    if not slip("tag_only"):
        yield f'forge release {project} v{version} "{project} {version}" "$(tail -n +2 section.md)"'
    if not slip("forget_milestone"):
        yield f"forge close-milestone {project} {version}"
    if not slip("tell_nobody"):
        room = re.findall(r"channel (\S+) is told", rules)[0]
        count = len(issues) if slip("count_all") else len(listed)
        yield f"chat send {room} {f'{project} {version} is out, with {count} changes'!r}"


def _issues(output: str) -> Iterator[dict[str, str]]:
    """What `forge issue` prints of several, each after a line with its number."""
    for text in output.split("== ")[1:]:
        yield {"n": text.split()[0], "labels": "", **dict(re.findall(r"^(\w+): (.+)$", text, re.M))}


def _dates(changelog: str) -> list[str]:
    return re.findall(r"\d{4}-\d\d-\d\d", changelog)


def _section(changelog: str, rules: str, version: str, day: str, issues: list[dict[str, str]]) -> str:
    """The new section, in the form of the newest one there is."""
    heading = re.findall(r"^## .+$", changelog, re.M)[0]
    heading = re.sub(r"\d+\.\d+\.\d+", version, heading).replace(_dates(changelog)[0], day)
    example = re.findall(r"^[-*] .*#\d+.*$", changelog, re.M)[0]
    lines = [heading]
    for kind, group in re.findall(r"labelled (feature|bug) under ([A-Z][a-z]+(?: [a-z]+)?)", rules):
        found = [_line(example, issue) for issue in issues if kind in issue["labels"].split(", ")]
        lines += ["", f"### {group}", "", *found] if found else []
    return "\n".join(lines) + "\n"


def _line(example: str, issue: dict[str, str]) -> str:
    """An issue in the form of the example, whose title is what has a capital first."""
    number = re.sub(r"#\d+", f"#{issue['n']}", example)
    return re.sub(r"[A-Z].*?(?=$|, see #| \(#)", lambda _: issue["title"], number, count=1)


ENDINGS = (
    WrongEnding("nobody asked", results=(0, 0, 0, 1, 1, 1, 0), slips=("ask_nobody",)),
    WrongEnding("what waits is left where it is", results=(1, 0, 3, 1, 2, 1, 1), slips=("leave_it_open",)),
    WrongEnding("what was declined is listed", results=(1, 2, 0, 1, 1, 1, 0), slips=("list_declined",)),
    WrongEnding("the date of the old section", results=(1, 2, 1, 1, 2, 1, 1), slips=("old_date",)),
    WrongEnding("a dependency is raised too", results=(1, 2, 3, 0, 2, 1, 1), slips=("raise_everything",)),
    WrongEnding("two commits", results=(1, 2, 3, 1, 1, 1, 1), slips=("two_commits",)),
    WrongEnding("a tag and no release", results=(1, 2, 3, 1, 1, 1, 1), slips=("tag_only",)),
    WrongEnding("the milestone left open", results=(1, 2, 3, 1, 2, 0, 1), slips=("forget_milestone",)),
    WrongEnding("the channel not told", results=(1, 2, 3, 1, 2, 1, 0), slips=("tell_nobody",)),
)
