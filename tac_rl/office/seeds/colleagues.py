"""What the colleagues of the default company know when they are asked."""

from tac_rl.office.overlay import ColleagueOverlay, FactOverlay
from tac_rl.office.seeds.calendar import TODAY, short
from tac_rl.office.seeds.people import BY_NAME, COLLEAGUES, Employee
from tac_rl.office.seeds.world import World


def colleagues_section(world: World) -> dict[str, ColleagueOverlay]:
    """A persona and a few facts for everybody: what they work on, when they are away, whom to ask instead."""
    return {e.username: ColleagueOverlay(persona=_persona(e), facts=_facts(world, e)) for e in COLLEAGUES}


def _persona(employee: Employee) -> str:
    manager = f"Reports to {BY_NAME[employee.manager].name}." if employee.manager else "Answers to the board."
    return f"{employee.name}, {employee.title}, in {employee.city}. {employee.bio} {manager}"


def _facts(world: World, employee: Employee) -> tuple[FactOverlay, ...]:
    facts = []
    leads = [p for p in world.products if p.lead == employee.username]
    for product in world.products:
        if employee.username in (product.lead, *product.members):
            names = " and ".join(sorted({BY_NAME[n].name for n in product.members if n != employee.username}))
            own = "I lead it" if product in leads else f"{BY_NAME[product.lead].name} leads it"
            answer = (
                f"{product.name}: {product.tagline[0].lower()}{product.tagline[1:]}. {own}, with {names}."
            )
            facts.append(FactOverlay(about=(product.name,), answer=answer))
    mine = [
        w for w in world.works
        if w.assignee == employee.username and w.closed is None and w.sprint is not None
    ]  # fmt: skip
    if mine:
        listed = "; ".join(f"{w.ref} ({w.title_in_text})" for w in mine[:4])
        facts.append(
            FactOverlay(
                about=("working on", "your tasks", "this sprint"), answer=f"In this sprint: {listed}."
            )
        )
    away = [leave for leave in world.leaves if leave.person == employee.username and leave.last >= TODAY]
    if away:
        spans = " and ".join(f"from {short(leave.first)} to {short(leave.last)}" for leave in away)
        answer = f"I'm away {spans}. {BY_NAME[away[0].cover].name} covers for me."
    else:
        answer = "I have no leave planned at the moment."
    facts.append(FactOverlay(about=("leave", "vacation", "away", "holiday"), answer=answer))
    for words, knows in (
        (("salary", "payroll", "budget", "invoice", "expenses"), "david_wong"),
        (("hiring", "policy", "training"), "chen_xinyi"),
        (("customer", "contract"), "mark_johnson"),
    ):
        if knows != employee.username:
            answer = f"{BY_NAME[knows].name} knows that best."
            facts.append(FactOverlay(about=words, answer=answer, refer_to=knows))
    return tuple(facts)
