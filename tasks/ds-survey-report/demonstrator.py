"""Read the rules to their end, ask for what is missing, let SQLite count, put the table on the drive, tell it."""

import re

from tac_rl.tasks.authoring import Slip, Work, WrongEnding

RIGHT = "day between '{first}' and '{last}' and minutes >= {minutes} and score between 1 and {best}"


def work(instruction: str, slip: Slip) -> Work:
    topic = re.findall(r"survey about the (\w+) is", instruction)[0]
    room = re.findall(r"channel ([\w-]+),", instruction)[0]
    asker = re.findall(r"\(@(\w+)\)", instruction)[0]
    found = (yield "drive find answers.csv").splitlines()
    folder = next(path for path in found if f"/{topic}/" in path).rpartition("/")[0]
    talk = yield f"chat read {room}"
    rules = dict(zip(("first", "last"), re.findall(r"from (\S+) to (\d{4}-\d\d-\d\d)", talk)[0], strict=True))
    rules["best"] = re.findall(r"from 1 to (\d+)", talk)[0]
    rules["minutes"] = re.findall(r"less than (\d+) minutes", talk)[0]
    taken = "min" if slip("stop_reading_early") else "max"

    yield f"drive get {folder}/answers.csv && drive get {folder}/departments.csv && head -4 *.csv"
    yield "sqlite3 survey.db '.import --csv answers.csv answers' '.import --csv departments.csv departments'"
    missing = "select distinct department from answers where department not in (select code from departments)"
    code = (yield f'sqlite3 survey.db "{missing}"').strip()
    name = f"{topic}.csv"
    if not slip("own_name"):
        answer = yield f"chat ask {asker} What shall the file with the result of the {topic} survey be called?"
        name = re.findall(r"[\w-]+\.csv", answer)[0]
    if not slip("leave_out_the_new_one"):
        answer = yield f"chat ask {asker} Which department has the code {code}?"
        keeper = re.findall(r"\(@(\w+)\)", answer)[0]
        answer = yield f"chat ask {keeper} Which department has the code {code}?"
        department = re.findall(rf"{code} is (\w+)", answer)[0]
        yield f"sqlite3 survey.db \"insert into departments values ('{code}', '{department}')\""

    where = "1" if slip("take_all_answers") else RIGHT.format(**rules)
    yield "cat > count.sql <<'EOF'\n" + _counting(where, taken) + "EOF\nsqlite3 survey.db < count.sql"
    yield "sqlite3 -header -csv survey.db 'select * from result order by department' > result.csv; cat result.csv"
    if not slip("keep_the_file"):
        yield f"drive put result.csv {folder}/{name}"
    order = "select department, average from result order by cast(average as real)"
    lines = (yield f'sqlite3 -separator " " survey.db "{order}"').splitlines()
    worst, best = lines[0], lines[-1]
    if slip("no_averages"):
        worst, best = worst.split()[0], best.split()[0]
    if slip("worst_first"):
        worst, best = best, worst
    if not slip("no_message"):
        yield f"chat send {room} The best is {best}, and the worst is {worst}."


def _counting(where: str, taken: str) -> str:
    """SQL that makes the table `result`; the scores are texts after the import."""
    return f"""create table scores as select person, department, day, cast(minutes as integer) as minutes,
  cast(score as integer) as score from answers;
create table valid as select * from scores where {where};
create table result as select d.department, count(*) as answers, printf('%.2f', avg(score)) as average
  from valid v join departments d on d.code = v.department
  where day = (select {taken}(day) from valid w where w.person = v.person) group by d.department;
"""


ENDINGS = (
    WrongEnding("the correction not read", results=(1, 1, 2, 0, 1, 0), slips=("stop_reading_early",)),
    WrongEnding("all answers taken", results=(1, 1, 0, 0, 0, 0), slips=("take_all_answers",)),
    WrongEnding("a name of one's own", results=(0, 0, 0, 0, 1, 1), slips=("own_name",)),
    WrongEnding("the new department left out", results=(0, 0, 0, 0, 0, 0), slips=("leave_out_the_new_one",)),
    WrongEnding("the file kept", results=(1, 0, 0, 0, 1, 1), slips=("keep_the_file",)),
    WrongEnding("no averages told", results=(1, 1, 2, 2, 1, 0), slips=("no_averages",)),
    WrongEnding("the worst told first", results=(1, 1, 2, 2, 0, 0), slips=("worst_first",)),
    WrongEnding("nothing told", results=(1, 1, 2, 2, 0, 0), slips=("no_message",)),
)
