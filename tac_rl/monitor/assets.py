"""The report's style sheet and its script: inline, so that the page needs nothing else."""

STYLE = """
:root { color-scheme: light dark;
  --bg: #fbfbf9; --card: #ffffff; --ink: #1d2126; --dim: #68707a; --rule: #e4e5e1; --code: #f4f4f0;
  --good: #15803d; --bad: #b42318;
  --c0: #0f6fb8; --c1: #d97706; --c2: #15803d; --c3: #9333a8; --c4: #b42318; --c5: #0e7c86; --c6: #8a6d3b;
  --c7: #8b929b; --full: #15803d; --part: #e0a526; --zero: #c2564b; --ours: #9333a8; }
@media (prefers-color-scheme: dark) { :root {
  --bg: #14171a; --card: #1b1f23; --ink: #e6e8ea; --dim: #959da6; --rule: #2d3238; --code: #121518;
  --good: #4ade80; --bad: #f58b80;
  --c0: #5cb3f5; --c1: #f5a84a; --c2: #58c97d; --c3: #cf8ee0; --c4: #f58b80; --c5: #4cc4cf; --c6: #cbb077;
  --c7: #7d858e; --full: #45b96d; --part: #e0ae3f; --zero: #d9675c; --ours: #cf8ee0; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--bg); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
main { max-width: 1120px; margin: 0 auto; padding: 32px 24px 80px; }
h1 { font-size: 26px; margin: 0 0 4px; letter-spacing: -.01em; }
h2 { font-size: 18px; margin: 44px 0 12px; }
h3 { font-size: 13px; margin: 0 0 6px; font-weight: 600; color: var(--dim); }
p { margin: 0 0 10px; }
.dim, .none { color: var(--dim); }
.problem { color: var(--bad); margin: 0; }
.card { background: var(--card); border: 1px solid var(--rule); border-radius: 8px; padding: 16px 18px; }
.cards { display: grid; gap: 14px; grid-template-columns: repeat(auto-fit, minmax(320px, 1fr)); }
.facts { display: grid; gap: 14px; grid-template-columns: repeat(auto-fit, minmax(150px, auto)); margin-top: 20px; }
.facts b { display: block; white-space: nowrap; font-size: 24px; font-weight: 600; letter-spacing: -.02em; }
.facts span { color: var(--dim); font-size: 13px; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; min-width: min(100%, 360px); font-variant-numeric: tabular-nums; }
table.wide { width: 100%; }
th { text-align: left; font-weight: 500; font-size: 13px; color: var(--dim); padding: 6px 14px 6px 0;
  border-bottom: 1px solid var(--rule); white-space: nowrap; }
td { padding: 5px 14px 5px 0; border-bottom: 1px solid var(--rule); vertical-align: middle; }
tr:last-child td { border-bottom: 0; }
th.n, td.n { text-align: right; white-space: nowrap; }
td.task { white-space: nowrap; }
.up { color: var(--good); } .down { color: var(--bad); }
svg { display: block; } svg.plot { width: 100%; height: auto; }
svg.stack { width: 100%; height: 22px; border-radius: 4px; }
.grid { stroke: var(--rule); stroke-width: 1; }
.tick { fill: var(--dim); font-size: 12px; }
.line { fill: none; stroke: var(--c); stroke-width: 2; stroke-linejoin: round; }
.band { fill: var(--c); opacity: .14; }
.hit { fill: var(--c); opacity: 0; } .hit.dot, .hit:hover { opacity: 1; }
.fill { fill: var(--c); }
.s0 { --c: var(--c0); } .s1 { --c: var(--c1); } .s2 { --c: var(--c2); } .s3 { --c: var(--c3); }
.s4 { --c: var(--c4); } .s5 { --c: var(--c5); } .s6 { --c: var(--c6); } .s7 { --c: var(--c7); }
.full { fill: var(--full); } .part { fill: var(--part); } .zero { fill: var(--zero); } .ours { fill: var(--ours); }
.legend { display: flex; flex-wrap: wrap; gap: 4px 16px; margin-top: 8px; font-size: 13px; color: var(--dim); }
.key { display: inline-block; width: 10px; height: 10px; border-radius: 2px; margin-right: 6px; background: var(--c); }
.key.full { background: var(--full); } .key.part { background: var(--part); } .key.zero { background: var(--zero); }
.key.ours { background: var(--ours); }
.filters { display: flex; flex-wrap: wrap; gap: 10px; margin-bottom: 12px; align-items: center; }
select, input { font: inherit; font-size: 14px; color: inherit; background: var(--card); border: 1px solid var(--rule);
  border-radius: 6px; padding: 4px 8px; }
details { border: 1px solid var(--rule); border-radius: 8px; background: var(--card); margin-bottom: 8px; }
details[hidden] { display: none; }
summary { cursor: pointer; padding: 9px 14px; display: flex; flex-wrap: wrap; gap: 4px 14px; align-items: baseline; }
summary::before { content: "\\25B8"; color: var(--dim); } details[open] > summary::before { content: "\\25BE"; }
summary b { font-weight: 600; }
.badge { font-size: 12px; padding: 1px 8px; border-radius: 99px; border: 1px solid currentColor; }
.badge.full { color: var(--full); } .badge.part { color: var(--c1); } .badge.zero { color: var(--zero); }
.badge.ours { color: var(--ours); }
.body { padding: 4px 16px 16px; border-top: 1px solid var(--rule); }
.turn { border-left: 3px solid var(--rule); padding-left: 12px; margin: 14px 0; }
.turn h4 { margin: 0 0 4px; font-size: 12px; font-weight: 500; color: var(--dim); }
pre { margin: 4px 0; padding: 8px 10px; background: var(--code); border-radius: 6px; overflow: auto; max-height: 360px;
  font: 13px/1.45 ui-monospace, "SF Mono", Menlo, Consolas, monospace; white-space: pre-wrap; overflow-wrap: anywhere; }
pre.command { border-left: 3px solid var(--c0); }
pre.instruction { font-family: inherit; font-size: 14px; }
.error { color: var(--bad); }
"""

SCRIPT = """
const list = document.getElementById('trajectories');
if (list) {
  const filters = ['task', 'outcome', 'part'].map(id => document.getElementById('filter-' + id));
  const count = document.getElementById('filter-count');
  const apply = () => {
    let shown = 0;
    for (const one of list.querySelectorAll('details[data-task]')) {
      const fits = filters.every(f => !f.value || one.dataset[f.id.slice(7)] === f.value);
      one.hidden = !fits;
      shown += fits ? 1 : 0;
    }
    count.textContent = shown + ' shown';
  };
  for (const f of filters) f.addEventListener('change', apply);
  apply();
}
"""
