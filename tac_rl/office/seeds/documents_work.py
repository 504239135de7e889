"""Work's documents: incident reports, roadmap, on-call roster, meeting notes, products' numbers, usability tests."""

from collections.abc import Iterator
from datetime import date, timedelta

from tac_rl.office.seeds import formats
from tac_rl.office.seeds.calendar import SPRINTS, short, workdays
from tac_rl.office.seeds.formats import Block, Cell
from tac_rl.office.seeds.meetings import Meeting
from tac_rl.office.seeds.people import BY_NAME
from tac_rl.office.seeds.products import Incident, Product
from tac_rl.office.seeds.world import World

_ON_CALL = ("zhang_wei", "emma_lewis", "mike_chen", "emily_zhou", "alex_turner", "li_ming")


def work_files(world: World, meetings: tuple[Meeting, ...]) -> Iterator[tuple[str, bytes]]:
    for incident in world.incidents:
        name = f"{incident.at:%Y-%m-%d} {incident.product}"
        yield f"Engineering/Incidents/{name}.docx", _report(world, incident)
    yield "Engineering/Incidents/Overview.csv", formats.to_csv(_incidents(world))
    yield "Engineering/On-call roster.csv", formats.to_csv(_roster())
    yield "Engineering/Roadmap 2026.xlsx", formats.to_xlsx(_roadmap(world))
    yield "Engineering/Roadmap 2026.docx", _roadmap_text(world)
    yield "Engineering/Sprints.xlsx", formats.to_xlsx({"Sprints": _sprints(world)})
    for meeting in meetings:
        path = f"Meetings/{meeting.day.isoformat()} {meeting.name}"
        if meeting.room == "leadership":
            yield (
                f"{path}.docx",
                formats.to_docx(f"{meeting.name}, {meeting.day}", "Sarah Johnson", _notes(meeting)),
            )
        else:
            yield f"{path}.md", formats.to_markdown(f"{meeting.name}, {meeting.day}", _notes(meeting))
    for product in world.products:
        yield f"Products/{product.name}/Numbers 2026.csv", formats.to_csv(_numbers(world, product))
        if product.name in ("Trellis", "Storefront"):
            yield f"Design/{product.name}/Usability tests.md", _usability(world, product)


def _report(world: World, incident: Incident) -> bytes:
    work = world.by_key[incident.product, incident.key]
    end = incident.at + timedelta(minutes=incident.minutes)
    blocks: list[Block] = [
        ("table", [["Product", incident.product], ["Severity", str(incident.severity)], ["Issue", work.ref],
                   ["Began", f"{incident.at:%Y-%m-%d %H:%M} UTC"], ["Ended", f"{end:%H:%M} UTC"],
                   ["Minutes", str(incident.minutes)], ["Affected", incident.customer],
                   ["Led by", BY_NAME[incident.fixed_by].name]]),
        ("heading", "What happened"),
        ("text", f"{incident.title}. Found by {BY_NAME[incident.found_by].name}."),
        ("heading", "Why"),
        ("text", f"{incident.cause[0].upper()}{incident.cause[1:]}."),
        ("heading", "What we change"),
        ("text", f"{incident.change[0].upper()}{incident.change[1:]}."),
        ("text", "This report blames no one."),
    ]  # fmt: skip
    return formats.to_docx(f"Incident: {incident.title}", BY_NAME[incident.fixed_by].name, blocks)


def _incidents(world: World) -> list[list[Cell]]:
    rows: list[list[Cell]] = [["Day", "Product", "Issue", "Severity", "Minutes", "Customer", "Title"]]
    for i in world.incidents:
        ref = world.by_key[i.product, i.key].ref
        rows.append([i.at.date().isoformat(), i.product, ref, i.severity, i.minutes, i.customer, i.title])
    return rows


def _roster() -> list[list[Cell]]:
    rows: list[list[Cell]] = [["Week from", "On call", "Second"]]
    monday = date(2026, 1, 5)
    for week in range(13):
        first, second = _ON_CALL[week % 6], _ON_CALL[(week + 1) % 6]
        day = monday + timedelta(weeks=week)
        rows.append([day.isoformat(), BY_NAME[first].name, BY_NAME[second].name])
    return rows


def _roadmap(world: World) -> dict[str, list[list[Cell]]]:
    decided: list[list[Cell]] = [["Quarter", "Product", "What", "Decided on", "By"]]
    for d in sorted(world.decisions, key=lambda d: (d.quarter, d.product or "~", d.day)):
        decided.append([d.quarter, d.product or "Company", d.what, d.day.isoformat(), BY_NAME[d.by].name])
    planned: list[list[Cell]] = [["Version", "Product", "Issue", "Title", "Who"]]
    for work in world.works:
        if work.closed is None and work.sprint and work.kind != "chore":
            planned.append(["v0.5.0", work.product.name, work.ref, work.title, BY_NAME[work.assignee].name])
    return {"Decisions": decided, "Next version": planned}


def _roadmap_text(world: World) -> bytes:
    blocks: list[Block] = []
    for quarter in ("Q1", "Q2"):
        blocks.append(("heading", f"{quarter} 2026"))
        own = [d for d in world.decisions if d.quarter == quarter]
        blocks += [("item", f"{d.what} (decided {short(d.day)})") for d in own]
    return formats.to_docx("Roadmap 2026", "Huang Jie", blocks)


def _sprints(world: World) -> list[list[Cell]]:
    rows: list[list[Cell]] = [["Sprint", "From", "To", "Goal", "Planned or done", "Done"]]
    for sprint in SPRINTS:
        own = [work for work in world.works if work.sprint is sprint]
        done = sum(work.closed is not None for work in own)
        rows.append(
            [sprint.number, sprint.start.isoformat(), sprint.end.isoformat(), sprint.goal, len(own), done]
        )
    return rows


def _notes(meeting: Meeting) -> list[Block]:
    blocks: list[Block] = [("text", f"Chair: {BY_NAME[meeting.chair].name}")]
    blocks.append(("text", f"Present: {', '.join(BY_NAME[p].name for p in meeting.present)}"))
    if meeting.excused:
        blocks.append(("text", f"On leave: {', '.join(BY_NAME[p].name for p in meeting.excused)}"))
    if meeting.topics:
        blocks.append(("heading", "Talked about"))
        for work in meeting.topics:
            who = BY_NAME[work.assignee].name
            blocks.append(("item", f"{work.ref}, {work.title_in_text}: {who} looks at it. {work.detail}"))
    blocks.append(("heading", "Decided"))
    for decision in meeting.decisions:
        blocks.append(("item", f"{decision.what} ({decision.quarter}, {BY_NAME[decision.by].name})"))
    if not meeting.decisions:
        blocks.append(("text", "Nothing."))
    return blocks


def _numbers(world: World, product: Product) -> list[list[Cell]]:
    """A row a week: issues opened and done (as in the forge), customers, and the measured load."""
    chance = world.chance(f"numbers {product.path}")
    rows: list[list[Cell]] = [
        ["Week from", "Opened", "Done", "Customers", "Requests (thousands)", "p95 (ms)"]
    ]
    works = world.works_of(product)
    customers = sum(product.name in c.products for c in world.customers)
    load, speed = chance.randint(40, 900) * (customers + 1), chance.randint(60, 240)
    for monday in workdays():
        if monday.weekday() == 0:
            week = {monday + timedelta(n) for n in range(7)}
            opened = sum(work.opened.date() in week for work in works)
            done = sum(w.closed is not None and not w.declined and w.closed.date() in week for w in works)
            hurt = any(i.product == product.name and i.at.date() in week for i in world.incidents)
            load = round(load * chance.uniform(0.97, 1.06))
            rows.append(
                [
                    monday.isoformat(),
                    opened,
                    done,
                    customers,
                    load,
                    round(speed * (1.6 if hurt else chance.uniform(0.9, 1.1))),
                ]
            )
    return rows  # fmt: skip


def _usability(world: World, product: Product) -> bytes:
    chance = world.chance(f"usability {product.path}")
    wishes = [w for w in world.works_of(product) if w.kind == "feature"]
    blocks: list[Block] = [("text", "Five people, forty minutes each, led by Sophia Rodriguez.")]
    rows: list[list[Cell]] = [["Person", "Tasks done (of 6)", "Minutes", "Missed most"]]
    for n in range(1, 6):
        rows.append([f"P{n}", chance.randint(3, 6), chance.randint(22, 39), chance.choice(wishes).title])
    blocks += [
        ("table", rows),
        ("heading", "What to do"),
        ("text", "Menu to the left; see the issues in the forge."),
    ]
    return formats.to_markdown(f"Usability tests of {product.name}, February 2026", blocks)
