"""The HTML report: self-contained, readable at every stage of a run, and inert whatever a model wrote."""

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from runs_fakes import HOSTILE, FakeRun

from tac_rl.monitor.compare import compare, wilson
from tac_rl.monitor.report import write_report
from tac_rl.monitor.svg import Series, heat_map, line_plot, strip
from tac_rl.monitor.text import duration, escaped, number, one_line, plain
from tac_rl.monitor.transcripts import choose
from tac_rl.runs.reader import RunReader

VOID = {"meta", "br", "input", "line", "circle", "rect", "polyline", "polygon"}


class Strict(HTMLParser):
    """Collects tags and attributes, and insists that every tag is closed in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert tag in VOID or self.open.pop() == tag


def parsed(page: str) -> Strict:
    parser = Strict()
    parser.feed(page)
    parser.close()
    assert parser.open == []
    return parser


def whole_run(tmp_path: Path) -> FakeRun:
    run = FakeRun(tmp_path, iterations=4)
    run.evaluate(0, attempts=8)
    for n in range(1, 5):
        run.iterate(n)
    run.evaluate(4, attempts=8)
    run.store.event("engine_restarted", HOSTILE)
    run.store.close("finished")
    return run


def test_the_report_is_well_formed_and_needs_nothing_else(tmp_path: Path) -> None:
    page = write_report(whole_run(tmp_path).store.directory).read_text(encoding="utf-8")
    seen = parsed(page).seen
    assert not [
        tag for tag, attrs in seen if tag in ("link", "img", "iframe") or {"src", "href"} & set(attrs)
    ]
    assert "http" not in page.replace("http-equiv", "")
    assert "url(" not in page and "@import" not in page
    for title in ("Before and after", "Held-out curve", "Training", "Where the time went", "Tasks", "Curriculum",
                  "Trajectories", "Events"):  # fmt: skip
        assert f"<h2>{title}</h2>" in page


def test_hostile_output_is_shown_and_inert(tmp_path: Path) -> None:
    run = whole_run(tmp_path)
    page = write_report(run.store.directory).read_text(encoding="utf-8")
    assert "&lt;script&gt;alert(&#x27;x&#x27;)&lt;/script&gt;" in page
    assert sum(tag == "script" for tag, _ in parsed(page).seen) == 1
    assert not re.search("[\x00-\x08\x0b-\x1f\u202e\u2066]", page)


def test_a_report_can_be_written_at_every_stage(tmp_path: Path) -> None:
    run = FakeRun(tmp_path, iterations=3)
    assert "no evaluation has finished" in write_report(run.store.directory).read_text()
    run.start_iteration(1)
    parsed(write_report(run.store.directory).read_text())
    run.rollout("r", "sde-parse-logs", iteration=1, failed=True)
    parsed(write_report(run.store.directory).read_text())
    run.store.close("failed", "the <engine> died")
    assert "the &lt;engine&gt; died" in write_report(run.store.directory).read_text()


def test_a_damaged_trajectory_does_not_cost_the_report(tmp_path: Path) -> None:
    run = whole_run(tmp_path)
    for path in (run.store.directory / "trajectories").glob("*/*"):
        path.write_bytes(b"junk")
    assert "damaged trajectory" in write_report(run.store.directory).read_text()


def test_each_task_shows_an_early_failure_and_a_late_success(tmp_path: Path) -> None:
    run = whole_run(tmp_path)
    with RunReader(run.store.directory) as reader:
        rollouts = reader.rollouts()
    chosen = choose(rollouts)
    for why, complete in (("early failure", False), ("late success", True)):
        picked = {r.task: r for r, reason in chosen if reason == why}
        expected = {r.task for r in rollouts if r.complete == complete and not r.infrastructure}
        assert set(picked) == expected
        assert all(r.complete == complete for r in picked.values())
    assert len({r.rollout_id for r, _ in chosen}) == len(chosen)


def test_before_and_after_come_from_the_first_and_the_last_evaluation(tmp_path: Path) -> None:
    run = whole_run(tmp_path)
    with RunReader(run.store.directory) as reader:
        (comparison,) = compare(reader)
    assert (comparison.before.evaluation.version, comparison.after.evaluation.version) == (0, 4)
    assert comparison.before.overall.attempts == 80
    low, high = comparison.after.overall.interval
    assert low < comparison.after.overall.full_completion < high
    assert len(comparison.tasks()) == 10


@pytest.mark.parametrize(
    ("successes", "attempts", "low", "high"),
    [(0, 10, 0.0, 0.2775), (5, 10, 0.2366, 0.7634), (0, 0, 0.0, 1.0)],
)
def test_the_interval_is_wilsons(successes: int, attempts: int, low: float, high: float) -> None:
    assert wilson(successes, attempts) == pytest.approx((low, high), abs=1e-4)


def test_plots_survive_empty_constant_and_infinite_data() -> None:
    assert "nothing recorded" in line_plot([Series("x", [])], label="x")
    assert "nothing recorded" in line_plot([Series("x", [(1, float("nan")), (2, None)])], label="x")
    for values in ([0.0, 0.0], [5.0], [1e-9, 2e-9], [-3.0, float("inf"), 4e7]):
        parsed(line_plot([Series("x", list(enumerate(values)))], label="x"))
    parsed(heat_map({}, []))
    parsed(heat_map({"a": {1: float("nan")}, "<b>": {2: 0.0}}, [1, 2]))
    parsed(strip([]))


def test_text_becomes_harmless_and_numbers_short() -> None:
    assert plain("a\x1b[2Jb\r\nc\td\x7f") == "a␛[2Jb\nc\td␡"
    assert one_line("a\n  b\u202e") == "a b\ufffd"
    assert escaped('<a href="x">') == "&lt;a href=&quot;x&quot;&gt;"
    assert escaped("x" * 50, 20).count("x") == 20
    assert [number(v) for v in (None, 0.0, 1234.5, 0.1234, 1.5e-5, float("nan"))] == [
        "–", "0", "1,234", "0.123", "1.5e-5", "nan",
    ]  # fmt: skip
    assert [duration(s) for s in (7.6, 192, 7500)] == ["8s", "3m12s", "2h05m"]
