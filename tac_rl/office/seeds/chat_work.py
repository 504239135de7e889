"""What is said about work: stand-ups, issues, reviews, releases, incidents, decisions, sprints."""

from datetime import date, datetime, timedelta

from tac_rl.office.seeds.calendar import (
    FIRST,
    HOLIDAYS,
    LAST,
    SPRINTS,
    Sprint,
    at,
    workday_near,
    workdays,
    working_time,
)
from tac_rl.office.seeds.meetings import Meeting
from tac_rl.office.seeds.people import BY_NAME
from tac_rl.office.seeds.products import Product, data
from tac_rl.office.seeds.repositories import History
from tac_rl.office.seeds.talk import Talk, about
from tac_rl.office.seeds.tracker import tracker_refs
from tac_rl.office.seeds.world import Release, Work

PROJECT_ROOMS = {
    "TIDE": "project-data",
    "SEEK": "project-search",
    "TREL": "project-trellis",
    "SHOP": "project-web",
    "EMBR": "project-ai",
    "OPS": "engineering",
}
"""The tracker's identifier -> the channel in which that work is talked about."""
_SOON = ("this afternoon", "tomorrow morning", "right after the stand-up", "today", "before lunch")
_ROOM = (
    "Yes, there is a gap on Thursday.",
    "If nobody falls ill, yes.",
    "Rather the next one.",
    "I'll squeeze it in.",
)


def room_of(product: Product) -> str:
    return PROJECT_ROOMS[product.tracker]


def talk_about_work(talk: Talk, histories: tuple[History, ...], meetings: tuple[Meeting, ...]) -> None:
    _standups(talk)
    for work in talk.world.works:
        _issue(talk, work)
    _requests(talk, histories)
    _releases(talk)
    _incidents(talk)
    _meetings(talk, meetings)
    for sprint in SPRINTS:
        _sprint(talk, sprint)


def _in_weeks(when: datetime) -> bool:
    return FIRST <= when.date() <= LAST


def _standups(talk: Talk) -> None:
    refs = tracker_refs(talk.world)
    for identifier, room in PROJECT_ROOMS.items():
        products = [product for product in talk.world.products if product.tracker == identifier]
        people = sorted({name for p in products for name in (p.lead, *p.members)} - {"sarah_johnson"})
        works = [work for work in talk.world.works if work.product in products]
        for day in workdays():
            minute = talk.chance.randint(0, 12)
            for person in talk.chance.sample(people, len(people)):
                if talk.world.away(person, day) or talk.chance.random() < 0.25:
                    continue
                minute += talk.chance.randint(1, 5)
                _standup(talk, room, person, at(day, 8, minute, talk.chance.randrange(60)), works, refs)


def _standup(
    talk: Talk, room: str, person: str, when: datetime, works: list[Work], refs: dict[str, str]
) -> None:
    chance = talk.chance
    mine = [w for w in works if w.assignee == person and w.opened < when and not w.declined]
    done = [w for w in mine if w.closed and when - timedelta(4) < w.closed < when]
    now = [w for w in mine if w.closed is None or w.closed >= when]
    now.sort(key=lambda w: (w.closed or at(date(2026, 4, 1), 8), w.number))
    helped = [
        w
        for w in works
        if w.reviewer == person
        and w.opened < when
        and w.closed
        and timedelta() <= w.closed - when < timedelta(3)
    ]
    doing = [chance.choice((w.ref, f"tests for {w.ref}", refs.get(w.ref, w.ref))) for w in now[:2]]
    doing += [f"the review of {w.ref}" for w in helped[:1]]
    doing += [
        chance.choice(("questions of customers", "old merge requests", "the open questions from planning"))
    ]
    before = [w.ref for w in done] or [
        chance.choice(("reviews", "the build", "a long call with a customer", "mails"))
    ]
    today = chance.choice(doing[:2])
    slots = {
        "doing": today,
        "doing_cap": today[0].upper() + today[1:] if " " in today else today,
        "done": before[0],
    }
    text = chance.choice(data("talk")["standup"]).format(**slots)
    talk.say(room, person, when, text)


def _issue(talk: Talk, work: Work) -> None:
    chance, room = talk.chance, room_of(work.product)
    people = tuple(dict.fromkeys((work.product.lead, *work.product.members)))
    others = [person for person in people if person not in (work.author, work.assignee)] or ["sarah_johnson"]
    lead = work.product.lead
    roles = {
        "author": work.author,
        "assignee": work.assignee,
        "reviewer": work.reviewer,
        "other": chance.choice(others),
        "lead": lead if lead not in (work.author, work.assignee) else chance.choice(others),
    }
    users = [c.name for c in talk.world.customers if work.product.name in c.products] or ["the survey"]
    slots = about(work) | {
        "soon": chance.choice(_SOON),
        "room": chance.choice(_ROOM),
        "customer": chance.choice(users),
    }
    incident = any(i.product == work.product.name and i.key == work.key for i in talk.world.incidents)
    if _in_weeks(work.opened) and not incident and chance.random() < 0.85:
        talk.play("opened", room, work.opened + timedelta(minutes=2), roles, slots)
    end = work.closed.date() - timedelta(1) if work.closed else LAST
    between = workdays(max(FIRST, work.opened.date() + timedelta(1)), end)
    for _ in range(chance.choice((0, 1, 1)) if between and work.sprint else 0):
        talk.play("question", room, working_time(chance, chance.choice(between), 9, 15), roles, slots)
    if work.closed and _in_weeks(work.closed):
        if work.declined:
            declined = roles | {
                "lead": lead,
                "author": work.author if work.author != lead else roles["other"],
            }
            talk.play("declined", room, work.closed + timedelta(minutes=3), declined, slots)
        else:
            talk.play("closed", room, work.closed + timedelta(minutes=3), roles, slots)


def _requests(talk: Talk, histories: tuple[History, ...]) -> None:
    """Reviews: of merge requests by their number, of other changes by their issue's."""
    for history in histories:
        for request in history.requests:
            if not _in_weeks(request.opened) or request.author == request.reviewer:
                continue
            slots = {"ref": request.ref, "area": history.product.name}
            roles = {"assignee": request.author, "reviewer": request.reviewer}
            if request.state == "merged":
                talk.play(
                    "review", room_of(history.product), request.opened + timedelta(minutes=5), roles, slots
                )
            elif not talk.world.away(request.author, request.opened.date()):
                text = f"{request.ref} is open for reading: {request.title}. No hurry."
                talk.say(
                    room_of(history.product), request.author, request.opened + timedelta(minutes=6), text
                )
    for work in talk.world.works:
        by_request = any(r.work is work for h in histories for r in h.requests)
        if (
            work.closed
            and work.kind != "chore"
            and not work.declined
            and not by_request
            and _in_weeks(work.closed)
        ):
            roles = {"assignee": work.assignee, "reviewer": work.reviewer}
            start = work.closed - timedelta(minutes=50)
            talk.play("review", room_of(work.product), start, roles, about(work))


def _releases(talk: Talk) -> None:
    for release in talk.world.releases:
        if _in_weeks(release.at):
            slots = {
                "product": release.product.name,
                "version": release.version,
                "highlights": _highlights(release),
                "thanks": " and ".join(sorted({BY_NAME[c.author].short for c in release.changes}) or ["all"]),
            }
            lead = release.product.lead
            testers = [p for p in (*release.product.members, "liu_qiang") if p != lead]
            when = release.at + timedelta(minutes=4)
            tester = talk.here(when.date(), *talk.chance.sample(testers, len(testers)))
            scribe = talk.here(when.date(), "jessica_lee", "mark_johnson")
            roles = {"lead": lead, "other": tester, "scribe": scribe}
            talk.play("release", "releases", when, roles, slots, certain=True)


def _highlights(release: Release) -> str:
    messages = [change.step.message for change in release.changes]
    return "; ".join(messages[:3]) if messages else "housekeeping only"


def _incidents(talk: Talk) -> None:
    for incident in talk.world.incidents:
        work = talk.world.by_key[incident.product, incident.key]
        manager = BY_NAME[incident.fixed_by].manager or "sarah_johnson"
        roles = {
            "finder": incident.found_by,
            "fixer": incident.fixed_by,
            "scribe": "mark_johnson",
            "lead": talk.here(incident.at.date(), *{manager} - {incident.found_by}),
        }
        if incident.found_by == incident.fixed_by:
            roles["finder"] = "liu_qiang"
        slots = about(work) | {
            "title": incident.title,
            "title_low": incident.title[0].lower() + incident.title[1:],
            "clock": f"{incident.at:%H:%M}",
            "end": f"{incident.at + timedelta(minutes=incident.minutes):%H:%M}",
            "minutes": str(incident.minutes),
            "severity": str(incident.severity),
            "customer": incident.customer,
            "cause": incident.cause,
            "change": incident.change,
        }
        start, lasts = incident.at + timedelta(minutes=2), timedelta(minutes=incident.minutes * 1.12)
        talk.play("incident", "incidents", start, roles, slots, certain=True, lasts=lasts)
        after = at(workday_near(incident.at.date() + timedelta(3)), 13, talk.chance.randrange(60))
        talk.play("postmortem", "incidents", after, roles, slots)


def _meetings(talk: Talk, meetings: tuple[Meeting, ...]) -> None:
    for meeting in meetings:
        topics = ", ".join(work.ref for work in meeting.topics) or "budgets and hiring"
        text = (
            f"Agenda for the {meeting.name[0].lower()}{meeting.name[1:]} today: {topics}, and what you bring."
        )
        talk.say(meeting.room, meeting.chair, at(meeting.day, 8, 20), text)
        for n, decision in enumerate(meeting.decisions):
            other = talk.chance.choice([person for person in meeting.present if person != decision.by])
            slots = {"what": decision.what, "quarter": decision.quarter}
            start = at(meeting.day, 12, 10 + 15 * n)
            talk.play(
                "decision", meeting.room, start, {"by": decision.by, "other": other}, slots, certain=True
            )
            if not decision.product:
                news = f"Decided on Monday: {decision.what}."
                talk.say("announcements", decision.by, at(meeting.day + timedelta(1), 8, 30), news)


def _sprint(talk: Talk, sprint: Sprint) -> None:
    slots = {"sprint": str(sprint.number), "goal": sprint.goal}
    if sprint.start <= LAST:
        start = at(sprint.start, 9, 50)
        talk.play("planning", "engineering", start, {"lead": "sarah_johnson", "other": "liu_qiang"}, slots)
    if sprint.end <= LAST and sprint.end not in HOLIDAYS:
        demo = at(sprint.end, 12, 15)
        done = [w for w in talk.world.works if w.sprint is sprint and w.closed and w.closed < demo]
        there = [w for w in done if not talk.world.away(w.assignee, sprint.end)]
        shown = max(there, key=lambda w: (w.kind != "chore", w.closed or w.opened, w.ref))
        slots |= {"finished": str(len(done)), "showing": f"{shown.ref}, {shown.title_in_text}"}
        roles = {"lead": "sarah_johnson", "other": shown.assignee}
        talk.play("demo", "engineering", demo, roles, slots, certain=True)
