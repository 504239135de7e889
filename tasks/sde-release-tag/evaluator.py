"""Three steps: the branch is in main, the release's tag exists, and the tag is on the merged main."""

from common import facts, git, grader
from scoring import Checkpoint, Result, bonus_for_completing_final


def commit(reference: str) -> str:
    """The commit that a reference stands for (tag objects followed), or '' where there is none."""
    return git("app", "rev-parse", "--verify", "--quiet", f"{reference}^{{commit}}")


@grader
def branch_is_merged() -> bool:
    """Main descends from the branch's commit, and holds its release name."""
    subjects = git("app", "log", "--format=%s", "-n", "50", "refs/heads/main").split("\n")
    version = git("app", "cat-file", "blob", "refs/heads/main:VERSION").split("\n")
    return facts()["branch"] in subjects and f"release {facts()['release']}" in version


@grader
def tag_exists() -> bool:
    return commit(f"refs/tags/{facts()['release']}") != ""


@grader
def tag_is_on_merged_main() -> bool:
    return branch_is_merged() and commit(f"refs/tags/{facts()['release']}") == commit("refs/heads/main") != ""


def grade_checkpoints(trajectory: str = "") -> Result:
    return Result(
        [
            Checkpoint(1, int(branch_is_merged())),
            Checkpoint(1, int(tag_exists())),
            Checkpoint(2, 2 * int(tag_is_on_merged_main())),
        ],
        scoring_strategy=bonus_for_completing_final,
    )
