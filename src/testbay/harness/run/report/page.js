// Comfort only: the page says everything without it.
"use strict";
const form = document.getElementById("filters");
if (form) {
  const body = document.getElementById("rows");
  const rows = Array.from(body.rows, (row) => ({
    row,
    outcome: row.dataset.outcome.split(" "),
    number: Number(row.dataset.number),
    seconds: Number(row.dataset.seconds),
    name: row.cells[1].querySelector(".file").parentNode.textContent.trim(),
    text: row.cells[1].textContent.replace(/\s+/g, " ").toLowerCase(),
  }));
  const orders = {
    number: (a, b) => a.number - b.number,
    seconds: (a, b) => b.seconds - a.seconds,
    name: (a, b) => (a.name < b.name ? -1 : 1),
  };
  let order = "number";

  const apply = () => {
    const wanted = form.elements.text.value.trim().toLowerCase();
    const outcome = form.elements.outcome.value;
    const least = Number(form.elements.least.value);
    let shown = 0;
    for (const one of rows) {
      const fits =
        (outcome === "all" || one.outcome.includes(outcome)) && one.seconds >= least && one.text.includes(wanted);
      one.row.hidden = !fits;
      shown += fits;
    }
    if (order !== form.elements.order.value) {
      order = form.elements.order.value;
      body.append(...rows.sort(orders[order]).map((one) => one.row));
    }
    document.getElementById("shown").textContent = `${shown} of ${rows.length} shown`;
  };

  for (const event of ["input", "change"]) form.addEventListener(event, apply);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.hidden = false;
  apply();
}

const reveal = () => {
  const target = location.hash && document.getElementById(location.hash.slice(1));
  const details = target && target.querySelector("details");
  if (details) details.open = true;
};
window.addEventListener("hashchange", reveal);
reveal();
