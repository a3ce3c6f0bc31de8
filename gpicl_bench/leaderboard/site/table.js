// The table of a board: sorted by its heads, filtered by its form. What is sorted and filtered by stands in `data`.
{
  const table = document.querySelector("table.board");
  const body = table.tBodies[0];
  const rows = [...body.rows];
  const order = rows.map((_, i) => i);
  const heads = [...table.querySelectorAll("th[data-column]")];
  const said = document.querySelector(".count");
  const more = document.querySelector("button.more");
  let most = 200; // rows that are shown at once: a browser is slow to lay out a thousand

  const compare = (a, b) => (a < b ? -1 : a > b ? 1 : 0);

  function sort(head) {
    const values = data.columns[head.dataset.column];
    const now = head.getAttribute("aria-sort");
    const direction = now ? (now === "ascending" ? "descending" : "ascending") : head.dataset.first;
    const sign = direction === "ascending" ? 1 : -1;
    order.sort((a, b) => {
      if (values[a] === null || values[b] === null) return (values[a] === null) - (values[b] === null) || a - b;
      return sign * compare(values[a], values[b]) || a - b;
    });
    body.replaceChildren(...order.map((i) => rows[i]));
    for (const other of heads) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", direction);
    table.classList.toggle("ranked", head.dataset.column === "rank" && sign === 1);
    filter();
  }

  for (const head of heads) {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    button.addEventListener("click", () => sort(head));
    head.append(button);
  }

  const form = document.querySelector("form.filter");
  function filter() {
    const words = form.elements.text.value.toLowerCase().split(/\s+/).filter(Boolean);
    const chosen = [...form.querySelectorAll("select")].filter((select) => select.value);
    let count = 0;
    for (const i of order) {
      const text = data.filters.text[i];
      const keep = words.every((word) => text.includes(word)) && chosen.every((s) => data.filters[s.name][i] === s.value);
      rows[i].hidden = !keep || count >= most;
      count += keep;
    }
    const number = (value) => value.toLocaleString("en");
    const found = count === rows.length ? number(count) : `${number(count)} of ${number(rows.length)}`;
    said.textContent = count > most ? `${found}, the first ${number(most)} are shown` : `${found} shown`;
    more.hidden = count <= most;
  }
  form.addEventListener("input", filter);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => setTimeout(filter));
  more.addEventListener("click", () => {
    most = Infinity;
    filter();
  });
  form.hidden = false;
  filter();
}
