// The model explorer: filters, sorts and plots the catalog that stands in the page as JSON.
(() => {
  "use strict";
  const { models, costs } = JSON.parse(document.getElementById("explorer-data").textContent);
  const $ = (id) => document.getElementById(id);
  const SVG = "http://www.w3.org/2000/svg";
  const COLORS = ["#1f77b4", "#d95f02", "#2ca02c", "#9467bd", "#e377c2", "#8c564b", "#17becf",
    "#7f7f7f", "#bcbd22", "#d62728", "#393b79", "#637939"];
  const families = [...new Set(models.map((m) => m.family))];
  const color = (family) => COLORS[families.indexOf(family) % COLORS.length];
  const COLUMNS = [
    { key: "model", head: "model", text: true },
    { key: "family", head: "family", text: true },
    { key: "dataset", head: "data", text: true },
    { key: "top1", head: "top-1 %", show: (v) => v.toFixed(1) },
    { key: "measured", head: "here %", show: (v) => v.toFixed(2) },
    ...costs.map(({ key, head, unit, digits }) => ({
      key, head,
      show: (v) => (v / unit).toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits }),
    })),
    { key: "weights", head: "weights", text: true },
  ];
  const state = { sort: "top1", down: true, open: null };

  function make(name, attributes = {}, ...children) {
    const element = name.startsWith("svg:")
      ? document.createElementNS(SVG, name.slice(4)) : document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    element.append(...children);
    return element;
  }

  const accuracy = (m) => m.top1 ?? m.measured;

  function chosen() {
    const name = $("name").value.trim().toLowerCase();
    return models.filter((m) => m.model.toLowerCase().includes(name)
      && (!$("family").value || m.family === $("family").value)
      && (!$("dataset").value || m.dataset === $("dataset").value)
      && (!$("weights").value || m.weights.includes(`(${$("weights").value})`))
      && ($("theirs").checked || m.origin === "zoo"));
  }

  function sorted(rows) {
    const sign = state.down ? -1 : 1;
    return [...rows].sort((a, b) => {
      const [x, y] = [a[state.sort], b[state.sort]];
      if (x == null || x === "") return 1; // what is not known comes last, whichever way
      if (y == null || y === "") return -1;
      return sign * (typeof x === "string" ? x.localeCompare(y) : x - y);
    });
  }

  function drawHead() {
    const row = make("tr");
    for (const column of COLUMNS) {
      const active = state.sort === column.key;
      const arrow = active ? (state.down ? " \u25BC" : " \u25B2") : "";
      const button = make("button", { type: "button", "data-sort": column.key }, column.head + arrow);
      button.addEventListener("click", () => {
        state.down = active ? !state.down : !column.text;
        state.sort = column.key;
        draw();
        document.querySelector(`[data-sort="${column.key}"]`).focus();
      });
      const direction = active ? (state.down ? "descending" : "ascending") : "none";
      row.append(make("th", { scope: "col", "aria-sort": direction, class: column.text ? "text" : "number" }, button));
    }
    $("models").tHead.replaceChildren(row);
  }

  function drawBody(rows) {
    $("models").tBodies[0].replaceChildren(...rows.map((m) => {
      const button = make("button", { type: "button" }, m.model);
      button.addEventListener("click", () => open(m, button));
      const cells = COLUMNS.slice(1).map((c) => make("td", c.text ? { class: "text" } : {},
        m[c.key] == null || m[c.key] === "" ? "" : c.show ? c.show(m[c.key]) : m[c.key]));
      return make("tr", {}, make("th", { scope: "row" }, button), ...cells);
    }));
  }

  function ticks(low, high) { // powers of ten and their 2 and 5
    const found = [];
    for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power++) {
      for (const factor of [1, 2, 5]) {
        const value = factor * 10 ** power;
        if (value >= low && value <= high) found.push(value);
      }
    }
    return found.length > 8 ? found.filter((_, i) => i % 3 === 0) : found;
  }

  function drawPlot(rows) {
    const cost = costs.find((c) => c.key === $("cost").value);
    const points = rows.filter((m) => accuracy(m) != null && m[cost.key] > 0);
    $("plot-title").textContent =
      `Top-1 (published, else measured here) against ${cost.name}: ${points.length} models`;
    if (!points.length) return $("plot").replaceChildren();
    const xs = points.map((m) => m[cost.key] / cost.unit);
    const ys = points.map(accuracy);
    const [low, high] = [Math.min(...xs) / 1.3, Math.max(...xs) * 1.3];
    const [bottom, top] = [Math.floor(Math.min(...ys) - 1), Math.ceil(Math.max(...ys) + 1)];
    const x = (v) => 50 + 790 * Math.log(v / low) / Math.log(high / low);
    const y = (v) => 360 - 340 * (v - bottom) / (top - bottom);
    const parts = [];
    for (const v of ticks(low, high)) {
      parts.push(make("svg:line", { class: "grid", x1: x(v), x2: x(v), y1: 20, y2: 360 }),
        make("svg:text", { x: x(v), y: 375, "text-anchor": "middle" }, v.toLocaleString("en", { maximumSignificantDigits: 2 })));
    }
    const step = Math.max(1, Math.ceil((top - bottom) / 8));
    for (let v = Math.ceil(bottom / step) * step; v <= top; v += step) {
      parts.push(make("svg:line", { class: "grid", x1: 50, x2: 840, y1: y(v), y2: y(v) }),
        make("svg:text", { x: 44, y: y(v) + 4, "text-anchor": "end" }, `${v}`));
    }
    parts.push(make("svg:text", { x: 445, y: 394, "text-anchor": "middle" }, `${cost.name} (${cost.label})`));
    const placed = points.map((m) => ({ x: x(m[cost.key] / cost.unit) - 6, y: y(accuracy(m)) - 5, width: 12 }));
    for (const m of points) {
      const [px, py] = [x(m[cost.key] / cost.unit), y(accuracy(m))];
      const label = `${m.model}, ${accuracy(m).toFixed(1)} %, ${COLUMNS.find((c) => c.key === cost.key).show(m[cost.key])} ${cost.label}`;
      const shape = m.origin === "zoo" // larq-zoo's are diamonds
        ? make("svg:circle", { cx: px, cy: py, r: 6, fill: color(m.family) })
        : make("svg:path", { d: `M${px} ${py - 6}l6 6l-6 6l-6 -6z`, fill: color(m.family) });
      const link = make("svg:a", { href: `#${m.model}`, "aria-label": label }, make("svg:title", {}, label), shape);
      link.addEventListener("click", (event) => { event.preventDefault(); open(m, link); });
      parts.push(link);
      const left = px > 690;
      const width = 5.6 * m.model.length;
      const place = { x: left ? px - 9 - width : px + 9, y: py - 5, width };
      if (placed.some((p) => Math.abs(p.y - place.y) < 11 && p.x < place.x + width && place.x < p.x + p.width)) continue;
      placed.push(place); // a name that would cover another is left to the point's own title
      parts.push(make("svg:text", { x: px + (left ? -9 : 9), y: py + 4, "text-anchor": left ? "end" : "start", "aria-hidden": "true" }, m.model));
    }
    $("plot").replaceChildren(...parts);
  }

  function open(m, from) {
    const most = Math.max(...m.layers.map(([, , , b, f]) => Math.max(b, f)));
    const bar = (value, kind) => make("span", {
      class: `bar ${kind}`, style: `width:${value ? Math.max(0.5, 50 * value / most) : 0}%`,
    });
    const number = (v) => (v ? v.toLocaleString("en") : "");
    const rows = m.layers.map(([name, kind, output, b, f, params]) => make("tr", {},
      make("th", { scope: "row" }, name), make("td", { class: "text" }, kind),
      make("td", {}, output), make("td", {}, number(params)), make("td", {}, number(b)),
      make("td", {}, number(f)),
      make("td", { class: "bars", "aria-hidden": "true" }, bar(b, "binary"), bar(f, "float"))));
    const heads = ["layer", "kind", "output", "weights", "binary MACs", "float MACs", "work"];
    const close = make("button", { type: "button" }, "Close");
    close.addEventListener("click", () => { $("layers").hidden = true; state.open = null; from.focus(); });
    const title = make("h2", { id: "layers-title" }, `${m.model}: ${m.layers.length} layers that multiply`);
    const legend = make("p", {}, make("span", { class: "bar binary", style: "width:1em" }), " binary  ",
      make("span", { class: "bar float", style: "width:1em" }), " float  ", close);
    const table = make("table", { class: "listing" }, make("thead", {}, make("tr", {}, ...heads.map((h) => make("th", { scope: "col" }, h)))), make("tbody", {}, ...rows));
    $("layers").replaceChildren(title, legend, make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": `Layers of ${m.model}` }, table));
    $("layers").hidden = false;
    state.open = m.model;
    $("layers").focus();
    $("layers").scrollIntoView({ block: "nearest" });
  }

  function draw() {
    const rows = sorted(chosen());
    $("count").textContent = `${rows.length} of ${models.length} models`;
    drawHead();
    drawBody(rows);
    drawPlot(rows);
  }

  for (const family of families) $("family").append(make("option", {}, family));
  for (const data of new Set(models.map((m) => m.dataset))) $("dataset").append(make("option", {}, data));
  for (const access of new Set(models.flatMap((m) => [...m.weights.matchAll(/\(([^)]+)\)/g)].map((f) => f[1])))) {
    $("weights").append(make("option", {}, access));
  }
  for (const cost of costs) $("cost").append(make("option", { value: cost.key }, cost.name));
  $("cost").value = "ops";
  $("dataset").value = "imagenet"; // accuracies on different data do not compare
  document.querySelector(".explorer form").addEventListener("submit", (event) => event.preventDefault());
  for (const id of ["name", "family", "dataset", "weights", "theirs", "cost"]) {
    $(id).addEventListener($(id).type === "search" ? "input" : "change", draw);
  }
  draw();
  const asked = models.find((m) => `#${m.model}` === location.hash);
  if (asked) open(asked, $("name"));
})();
