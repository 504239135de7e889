"""Was everybody asked, are the rooms and the folder right, was the new colleague greeted, and nobody bothered?"""

from common import facts, grader
from office import (
    AGENT,
    all_members,
    channel,
    direct_messages,
    drive_names,
    drive_read,
    drive_text,
    members,
    written_to,
)
from scoring import Checkpoint, Result

EVERYBODYS = {"general"}
"""Who has an account is in it."""
KNOWN = ("Name", "Account", "First day", "Team", "Manager")
"""Lines of the checklist that the form answers; the others had to be asked for or made."""


def told(who: str, word: str) -> bool:
    """Whether a colleague told the agent something."""
    return any(m["author"] == who and word in m["text"] for m in direct_messages(who))


@grader
def the_right_people_were_asked() -> bool:
    return told(facts()["manager"], facts()["buddy_name"]) and told(facts()["keeper"], facts()["number"])


@grader
def the_private_room_is_right() -> bool:
    room = channel(facts()["room"])
    wanted = {AGENT, facts()["person"], facts()["manager"], facts()["buddy"]}
    return bool(room) and room["private"] and set(members(facts()["room"])) == wanted


@grader
def the_channels_are_right() -> bool:
    """The new colleague is where the manager wants it, and the others who start are nowhere yet."""
    everywhere = all_members()
    rooms = {room for room, people in everywhere.items() if facts()["person"] in people}
    others = {other for room, people in everywhere.items() if room not in EVERYBODYS for other in people}
    wanted = set(facts()["wanted"])
    return rooms - EVERYBODYS - {facts()["room"]} == wanted and not others & set(facts()["others"])


@grader
def the_folder_is_a_copy() -> bool:
    """Of the template, which is as it was; only the checklist may differ. There is no other new folder."""
    template, copy, root = facts()["template"], facts()["folder"], facts()["root"]
    expected = {"Forms/", "Guide.md", "Template/", copy.rpartition("/")[2] + "/"}
    if set(drive_names(root)) != expected or drive_names(copy) != sorted(template):
        return False
    for name, text in template.items():
        if drive_read(f"{root}/Template/{name}") != text.encode():
            return False
        if name != "Checklist.md" and drive_read(f"{copy}/{name}") != text.encode():
            return False
    return True


def plain(key: str, value: str) -> object:
    """A value, as it is compared: case, a dot at the end and the order of channels don't matter."""
    text = " ".join(value.replace("#", "").casefold().rstrip(".").split())
    return sorted(part.strip() for part in text.split(",")) if key == "Channels" else text


def answers() -> dict[str, str]:
    """The lines of the filled-in checklist; {} where a line is missing or there twice."""
    lines = drive_text(f"{facts()['folder']}/Checklist.md").splitlines()
    pairs = [line[2:].partition(":") for line in lines if line.startswith("- ") and ":" in line]
    found = {key.strip(): value.strip() for key, _, value in pairs}
    return found if len(pairs) == len(found) and set(found) == set(facts()["filled"]) else {}


@grader
def filled_in(known: bool) -> bool:
    found = answers()
    wanted = {key: value for key, value in facts()["filled"].items() if (key in KNOWN) == known}
    return bool(found) and all(plain(key, found[key]) == plain(key, value) for key, value in wanted.items())


@grader
def the_new_colleague_was_greeted() -> bool:
    """With both names; nobody was written to who has nothing to do with it, such as the others who start."""
    texts = [m["text"].casefold() for m in direct_messages(facts()["person"]) if m["author"] == AGENT]
    greeted = any(facts()["first"] in text and facts()["buddy_name"].casefold() in text for text in texts)
    involved = {facts()[role] for role in ("person", "manager", "buddy", "keeper", "requester")}
    return greeted and set(written_to()) <= involved


def grade_checkpoints(trajectory: str = "") -> Result:
    return Result(
        [
            Checkpoint(1, int(the_right_people_were_asked())),
            Checkpoint(2, 2 * int(the_private_room_is_right())),
            Checkpoint(2, 2 * int(the_channels_are_right())),
            Checkpoint(1, int(the_folder_is_a_copy())),
            Checkpoint(1, int(filled_in(known=True))),
            Checkpoint(1, int(filled_in(known=False))),
            Checkpoint(1, int(the_new_colleague_was_greeted())),
        ]
    )
