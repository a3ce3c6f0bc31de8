// Learning curves: those of the entries that are chosen in the table, their values at one k below.
{
  const figure = document.querySelector("figure.curves");
  const svg = figure.querySelector("svg.chart");
  const lines = svg.querySelector(".lines");
  const ruler = svg.querySelector(".ruler");
  const slider = figure.querySelector("input[type=range]");
  const list = figure.querySelector(".legend");
  const at = figure.querySelector(".at");
  const { left, right, top, bottom, width, height, last } = data.frame;
  const looks = new Map(); // of an entry: the number of its style, kept as long as it is drawn

  const x = (k) => left + ((width - left - right) * k) / last;
  const y = (value) => top + (height - top - bottom) * (1 - value);
  const accuracy = (entry, k) => data.curves[entry][k] / data.asked[entry];
  const made = (name, attributes) => {
    const element = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    return element;
  };

  // Three digits, rounded as the rest of the page is: a tie goes to the even digit.
  function digits(value) {
    const floor = Math.floor(value * 1000);
    return ((value * 1000 - floor === 0.5 ? floor + (floor % 2) : Math.round(value * 1000)) / 1000).toFixed(3);
  }

  function draw(entry, look) {
    const [colour, dashes, mark] = data.styles[look];
    const group = made("g", { "data-entry": entry });
    const place = (k) => `${x(k).toFixed(1)} ${y(accuracy(entry, k)).toFixed(1)}`;
    const d = "M" + data.curves[entry].map((_, k) => place(k)).join("L");
    group.append(made("path", { d, fill: "none", stroke: colour, "stroke-width": 2, "stroke-dasharray": dashes }));
    for (let k = 5; mark && k <= last; k += 10) {
      group.append(made("path", { d: mark, fill: colour, transform: `translate(${x(k) - 17} ${y(accuracy(entry, k)) - 5})` }));
    }
    lines.append(group);
  }

  function key(look) {
    const [colour, dashes, mark] = data.styles[look];
    const picture = made("svg", { class: "key", viewBox: "0 0 34 10", "aria-hidden": "true" });
    picture.append(made("line", { x1: 1, y1: 5, x2: 33, y2: 5, stroke: colour, "stroke-width": 2, "stroke-dasharray": dashes }));
    if (mark) picture.append(made("path", { d: mark, fill: colour }));
    return picture;
  }

  function show() {
    const k = Number(slider.value);
    const ordered = [...looks.keys()].sort((a, b) => accuracy(b, k) - accuracy(a, k) || a - b);
    const items = ordered.map((entry) => {
      const item = document.createElement("li");
      const link = document.createElement("a");
      const value = document.createElement("span");
      link.href = data.links[entry];
      link.textContent = data.columns.name[entry];
      value.className = "value";
      value.textContent = digits(accuracy(entry, k));
      item.append(key(looks.get(entry)), link, " ", value);
      return item;
    });
    list.replaceChildren(...items);
    at.textContent = `accuracy@${k}`;
    slider.setAttribute("aria-valuetext", `${k} labelled examples`);
    ruler.setAttribute("x1", x(k));
    ruler.setAttribute("x2", x(k));
    ruler.removeAttribute("display");
  }

  function choose(entry, wanted) {
    if (!wanted) looks.delete(entry);
    else if (!looks.has(entry)) {
      const taken = new Set([...looks.values()].map((look) => look % data.styles.length));
      let look = data.styles.findIndex((_, number) => !taken.has(number));
      looks.set(entry, look < 0 ? looks.size % data.styles.length : look);
    }
  }

  function redraw() {
    lines.replaceChildren();
    for (const [entry, look] of looks) draw(entry, look);
    show();
  }

  const boxes = [...document.querySelectorAll("input.draw")];
  for (const box of boxes) {
    box.disabled = false;
    if (box.checked) choose(Number(box.value), true);
  }
  if (!boxes.length) choose(0, true);
  document.addEventListener("change", (event) => {
    if (!event.target.matches("input.draw")) return;
    choose(Number(event.target.value), event.target.checked);
    redraw();
  });
  const clear = figure.querySelector(".clear");
  clear?.addEventListener("click", () => {
    for (const box of boxes) box.checked = false;
    looks.clear();
    redraw();
  });
  if (clear) clear.hidden = false;
  slider.addEventListener("input", show);
  svg.addEventListener("pointermove", (event) => {
    const bounds = svg.getBoundingClientRect();
    const place = ((event.clientX - bounds.left) / bounds.width) * width;
    const k = Math.round(((place - left) / (width - left - right)) * last);
    slider.value = Math.min(Math.max(k, 0), last);
    show();
  });
  figure.querySelector(".controls").hidden = false;
  redraw();
}
