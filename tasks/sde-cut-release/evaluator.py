"""Is the milestone settled as the assignees say, is the release as RELEASING.md has it, and does the channel know?"""

import re

from common import facts, grader
from office import (
    AGENT,
    chat_messages,
    commits,
    direct_messages,
    issues,
    milestones,
    releases,
    repo_file,
    repo_names,
    tags,
    written_to,
)
from scoring import Checkpoint, Result

BRANCH = "main"


def told(who: str, words: str) -> bool:
    """Whether a colleague told the agent something."""
    return any(m["author"] == who and words in m["text"] for m in direct_messages(who))


@grader
def both_were_asked() -> bool:
    """And nobody else."""
    asked = all(told(who, words) for who, words in facts()["told"].items())
    return asked and set(written_to()) <= set(facts()["told"])


@grader
def issues_are_settled() -> bool:
    """The two as their assignees want, all others as they were."""
    wanted = {issue["iid"]: dict(issue) for issue in facts()["issues"]}
    wanted[facts()["done"]]["state"] = "closed"
    wanted[facts()["waiting"]]["milestone"] = facts()["later"]
    found = {
        issue["number"]: {
            "iid": issue["number"],
            "title": issue["title"],
            "state": issue["state"],
            "assignees": issue["assignees"],
            "labels": sorted(issue["labels"]),
            "milestone": issue["milestone"],
        }
        for issue in issues(facts()["project"])
    }
    return found == wanted


def lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.strip().splitlines()]


def file(path: str) -> str:
    return repo_file(facts()["project"], path, BRANCH)


@grader
def the_right_issues_are_listed() -> bool:
    """In whatever form, above the old sections and each once."""
    old = lines(facts()["files"]["CHANGELOG.md"])
    heading = next(line for line in old if line.startswith("## "))
    section = file("CHANGELOG.md").partition(heading)[0]
    numbers = [int(n) for n in re.findall(r"#(\d{1,6})\b", section)]
    return sorted(numbers) == sorted(facts()["listed"])


@grader
def the_changelog_is_right() -> bool:
    return the_right_issues_are_listed() and lines(file("CHANGELOG.md")) == lines(facts()["changelog"])


@grader
def the_version_alone_is_raised() -> bool:
    """Apart from the changelog."""
    same = {
        path: text for path, text in facts()["files"].items() if path not in ("CHANGELOG.md", facts()["path"])
    }
    names = sorted({path.partition("/")[0] for path in facts()["files"]})
    return (
        lines(file(facts()["path"])) == lines(facts()["raised"])
        and all(file(path) == text for path, text in same.items())
        and repo_names(facts()["project"], "", BRANCH) == names
    )


def history(ref: str) -> list[dict]:
    return commits(facts()["project"], ref)


@grader
def it_is_one_commit() -> bool:
    titles = [commit["title"].strip() for commit in history(BRANCH)]
    return titles == [f"Release {facts()['version']}", *reversed(facts()["commits"])]


@grader
def it_is_released() -> bool:
    """The newest commit is tagged, and the release has its name and notes."""
    tag, project = f"v{facts()['version']}", facts()["project"]
    if tag not in tags(project) or history(tag)[0]["id"] != history(BRANCH)[0]["id"]:
        return False
    if len(history(BRANCH)) == len(facts()["commits"]):
        return False
    found = [release for release in releases(project) if release["tag"] == tag]
    named = len(found) == 1 and found[0]["name"].strip() == f"{project} {facts()['version']}"
    return named and lines(found[0]["description"]) == lines(facts()["notes"])


@grader
def the_milestone_alone_is_closed() -> bool:
    found = {milestone["title"]: milestone["state"] for milestone in milestones(facts()["project"])}
    return found == facts()["milestones"]


@grader
def the_channel_was_told() -> bool:
    texts = [m["text"].strip().rstrip(".") for m in chat_messages(facts()["room"]) if m["author"] == AGENT]
    return texts == [facts()["announcement"]]


def grade_checkpoints(trajectory: str = "") -> Result:
    changelog = int(the_right_issues_are_listed()) + 2 * int(the_changelog_is_right())
    return Result(
        [
            Checkpoint(1, int(both_were_asked())),
            Checkpoint(2, 2 * int(issues_are_settled())),
            Checkpoint(3, changelog),
            Checkpoint(1, int(the_version_alone_is_raised())),
            Checkpoint(2, int(it_is_one_commit()) + int(it_is_released())),
            Checkpoint(1, int(the_milestone_alone_is_closed())),
            Checkpoint(1, int(the_channel_was_told())),
        ]
    )
