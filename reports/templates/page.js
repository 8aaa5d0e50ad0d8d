"use strict";
// Tables with data-sortable: a click on a header sorts by its column, best first, then worst first, then as printed.
for (const table of document.querySelectorAll("table[data-sortable]")) {
  const body = table.tBodies[0];
  const printed = [...body.rows];
  const headers = [...table.querySelectorAll("th[data-sort]")];
  const value = (row, key) => {
    const cell = row.querySelector(`[data-c="${key}"]`);
    return cell === null || cell.dataset.v === "" ? null : Number(cell.dataset.v);
  };
  for (const head of headers) {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const best = head.dataset.better === "higher" ? "descending" : "ascending";
      const worst = best === "descending" ? "ascending" : "descending";
      const before = head.getAttribute("aria-sort");
      const order = before === null ? best : before === best ? worst : null;
      for (const other of headers) other.removeAttribute("aria-sort");
      let rows = printed;
      if (order !== null) {
        head.setAttribute("aria-sort", order);
        const sign = order === "ascending" ? 1 : -1;
        const last = (row) => (row.classList.contains("constant") ? 2 : value(row, head.dataset.sort) === null ? 1 : 0);
        rows = [...printed].sort(
          (a, b) => last(a) - last(b) || sign * (value(a, head.dataset.sort) - value(b, head.dataset.sort)) || 0,
        );
      }
      body.append(...rows);
    });
  }
}
// A link to something inside of closed details opens them.
const reveal = () => {
  const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (!target) return;
  for (let at = target; at !== null; at = at.parentElement) if (at.tagName === "DETAILS") at.open = true;
  target.scrollIntoView();
};
window.addEventListener("hashchange", reveal);
reveal();
