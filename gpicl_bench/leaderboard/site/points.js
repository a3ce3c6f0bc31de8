// Score against a cost: the point under the pointer or of the slider is named below, and a click opens its entry.
for (const figure of document.querySelectorAll("figure.points")) {
  const svg = figure.querySelector("svg.chart");
  const points = [...svg.querySelectorAll("use")];
  const ring = svg.querySelector(".ring");
  const slider = figure.querySelector("input[type=range]");
  const said = figure.querySelector(".named");
  const places = points.map((point) => [point.x.baseVal.value, point.y.baseVal.value]);
  const width = svg.viewBox.baseVal.width;

  function show(number) {
    const entry = Number(points[number].dataset.entry);
    const link = document.createElement("a");
    link.href = data.links[entry];
    link.textContent = data.columns.name[entry];
    const told = `score ${data.columns.score[entry].toFixed(3)}, ${points[number].dataset.told}`;
    said.replaceChildren(link, `: ${told}`);
    slider.value = number;
    slider.setAttribute("aria-valuetext", `${link.textContent}: ${told}`);
    ring.setAttribute("cx", places[number][0]);
    ring.setAttribute("cy", places[number][1]);
    ring.removeAttribute("display");
  }

  function nearest(event) {
    const bounds = svg.getBoundingClientRect();
    const scale = width / bounds.width;
    const [x, y] = [(event.clientX - bounds.left) * scale, (event.clientY - bounds.top) * scale];
    let [best, found] = [Infinity, 0];
    places.forEach((place, number) => {
      const distance = (place[0] - x) ** 2 + (place[1] - y) ** 2;
      if (distance < best) [best, found] = [distance, number];
    });
    return found;
  }

  slider.addEventListener("input", () => show(Number(slider.value)));
  svg.addEventListener("pointermove", (event) => show(nearest(event)));
  svg.addEventListener("click", (event) => {
    show(nearest(event));
    said.querySelector("a").click();
  });
  svg.classList.add("pointed");
  figure.querySelector(".controls").hidden = false;
}
