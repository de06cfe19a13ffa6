"""The style and the script of a report's page."""

from __future__ import annotations

STYLE = """
:root { color-scheme: light dark; --back: #f5f7f9; --card: #fff; --text: #1c2733; --faint: #5b6b7b; --line: #dde3e9;
  --accent: #1f4e79; --best: #eaf2fa; }
@media (prefers-color-scheme: dark) {
  :root { --back: #12171d; --card: #1b222a; --text: #e3e9ef; --faint: #98a6b4; --line: #313b46; --accent: #8fbbe6;
    --best: #22303e; }
  .picture { filter: invert(0.9) hue-rotate(180deg); }
}
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem 1rem 4rem; max-width: 72rem; background: var(--back); color: var(--text);
  font: 15px/1.5 system-ui, sans-serif; }
h1 { margin: 0; font-size: 1.6rem; overflow-wrap: anywhere; }
h2 { margin: 0 0 .2rem; font-size: 1.1rem; }
p { margin: 0 0 .8rem; color: var(--faint); }
section { margin-top: 1.2rem; padding: 1rem 1.2rem; background: var(--card); border: 1px solid var(--line);
  border-radius: .6rem; }
dl { margin: 0; }
dt { color: var(--faint); font-size: .85rem; }
dd { margin: 0; overflow-wrap: anywhere; }
.figures { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fit, minmax(8.5rem, 1fr)); }
.figures dd { font-size: 1.45rem; font-variant-numeric: tabular-nums; }
.facts { display: grid; gap: .1rem 1rem; grid-template-columns: max-content 1fr; }
.wide { overflow-x: auto; }
.picture img { display: block; min-width: 34rem; max-width: 100%; height: auto; margin: 0 auto; }
table { border-collapse: collapse; font-size: .87rem; font-variant-numeric: tabular-nums; white-space: nowrap; }
th, td { padding: .25rem .7rem; border-bottom: 1px solid var(--line); text-align: left; }
td.number { text-align: right; }
tr.best { background: var(--best); }
th { position: sticky; top: 0; background: var(--card); }
th button { padding: 0; border: 0; background: none; color: var(--accent); font: inherit; font-weight: 600;
  cursor: pointer; }
th[aria-sort=ascending] button::after { content: " \\25B2"; }
th[aria-sort=descending] button::after { content: " \\25BC"; }
.tall { max-height: 40rem; overflow: auto; }
@media (max-width: 40rem) { .facts { grid-template-columns: 1fr; } .facts dd { margin-bottom: .4rem; } }
@media print { .tall { max-height: none; } }
"""

#: Sorts a table by the column whose button is pressed: numbers by ``data-n``, what lacks is last either way.
SCRIPT = """
for (const button of document.querySelectorAll("th button")) button.addEventListener("click", () => {
  const head = button.parentElement, body = head.closest("table").tBodies[0];
  const down = head.getAttribute("aria-sort") === "ascending", column = head.cellIndex;
  for (const other of head.parentElement.cells) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", down ? "descending" : "ascending");
  const key = row => {
    const cell = row.cells[column];
    return cell.dataset.n !== undefined ? Number(cell.dataset.n) : cell.textContent;
  };
  const rows = Array.from(body.rows, row => [key(row), row]);
  rows.sort(([a], [b]) => {
    if (a === "" || b === "") return (a === "") - (b === "");
    if (typeof a !== typeof b) return typeof a === "number" ? -1 : 1;
    const order = typeof a === "number" ? a - b : a.localeCompare(b);
    return down ? -order : order;
  });
  body.append(...rows.map(([, row]) => row));
});
"""
