// The model explorer: filters, sorts and plots the catalog that stands in the page as JSON.
(() => {
  "use strict";
  const { models, costs } = JSON.parse(document.getElementById("explorer-data").textContent);
  const $ = (id) => document.getElementById(id);
  const COLORS = ["#3b82c4", "#e07b28", "#2f9e77", "#9a6fc9", "#c94f6d", "#8a8f98", "#2aa5b8",
    "#a8862c", "#6f7fd8", "#c2607f", "#5f9e3a", "#b0705a"]; // seen well on white and on dark
  const families = [...new Set(models.map((m) => m.family))];
  const color = (family) => COLORS[families.indexOf(family) % COLORS.length];
  const COLUMNS = [
    { key: "model", head: "model", text: true },
    { key: "family", head: "family", text: true },
    { key: "dataset", head: "data", text: true },
    { key: "top1", head: "published %", show: (v) => v.toFixed(1) },
    { key: "measured", head: "measured %", show: (v) => v.toFixed(2) },
    ...costs.map(({ key, head, unit, digits }) => ({
      key, head,
      show: (v) => (v / unit).toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits }),
    })),
    { key: "weights", head: "weights", text: true },
  ];
  const state = { sort: "top1", down: true, open: null };
  let points = [];

  function make(name, attributes = {}, ...children) {
    const element = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    element.append(...children);
    return element;
  }

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

  function drawPlot(rows) {
    const cost = costs.find((c) => c.key === $("cost").value);
    const accuracy = $("accuracy").value;
    const says = $("accuracy").selectedOptions[0].textContent;
    const shown = COLUMNS.find((c) => c.key === cost.key).show;
    points = rows.filter((m) => m[accuracy] != null && m[cost.key] > 0).map((m) => ({
      name: m.model, cost: m[cost.key] / cost.unit, accuracy: m[accuracy], color: color(m.family),
      theirs: m.origin !== "zoo", model: m,
      label: `${m.model}, ${m[accuracy].toFixed(accuracy === "top1" ? 1 : 2)} % ${says}, ${shown(m[cost.key])} ${cost.label}`,
    }));
    const data = $("dataset").value ? ` on ${$("dataset").value}` : "";
    $("plot-title").textContent = `Top-1${data}, ${says}, against ${cost.name}: ${points.length} of ${rows.length} models. `
      + "Circles: this zoo's; diamonds: larq-zoo's.";
    $("point").textContent = "";
    explorerPlot.draw($("plot"), points, `${cost.name} (${cost.label})`, `top-1 ${says}, %`, (p) => open(p.model, p.link));
    for (const p of points) p.link.addEventListener("focus", () => name(p));
  }

  function name(point) { // says below the plot which point is meant
    for (const p of points) p.link.classList.toggle("meant", p === point);
    $("point").textContent = point ? point.label : "";
  }

  $("plot").addEventListener("pointermove", (event) => name(explorerPlot.nearest($("plot"), points, event)));
  $("plot").addEventListener("click", (event) => {
    const point = explorerPlot.nearest($("plot"), points, event);
    if (point && !event.defaultPrevented) open(point.model, point.link);
  });
  $("plot").addEventListener("keydown", (event) => { // the arrows go from point to point
    const step = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1 }[event.key];
    const at = points.findIndex((p) => p.link === document.activeElement);
    if (!step || at < 0) return;
    event.preventDefault();
    points[(at + step + points.length) % points.length].link.focus();
  });

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
    close.addEventListener("click", () => { shut(); keep(); from.focus(); });
    const title = make("h2", { id: "layers-title" }, `${m.model}: ${m.layers.length} layers that multiply`);
    const legend = make("p", {}, make("span", { class: "bar binary", style: "width:1em" }), " binary  ",
      make("span", { class: "bar float", style: "width:1em" }), " float  ", close);
    const table = make("table", { class: "listing" }, make("thead", {}, make("tr", {}, ...heads.map((h) => make("th", { scope: "col" }, h)))), make("tbody", {}, ...rows));
    $("layers").replaceChildren(title, legend, make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": `Layers of ${m.model}` }, table));
    $("layers").hidden = false;
    state.open = m.model;
    keep();
    $("layers").focus();
    $("layers").scrollIntoView({ block: "nearest" });
  }

  function shut() {
    $("layers").hidden = true;
    state.open = null;
  }

  // The address keeps what is chosen: ?dataset=cifar10&sort=params#ReActNet20.
  const usual = { name: "", family: "", dataset: "imagenet", weights: "", accuracy: "top1", cost: "ops" };

  function keep() {
    const said = new URLSearchParams();
    for (const [id, value] of Object.entries(usual)) if ($(id).value !== value) said.set(id, $(id).value || "all");
    if (!$("theirs").checked) said.set("theirs", "no");
    if (state.sort !== "top1" || !state.down) said.set("sort", (state.down ? "-" : "") + state.sort);
    const query = said.size ? `?${said}` : "";
    history.replaceState(null, "", location.pathname + query + (state.open ? `#${state.open}` : ""));
  }

  function restore() {
    const said = new URLSearchParams(location.search);
    for (const [id, value] of Object.entries(usual)) {
      const wanted = said.has(id) ? said.get(id) : value;
      $(id).value = wanted === "all" && id !== "name" ? "" : wanted;
      if ($(id).selectedIndex === -1) $(id).value = value; // an address may say anything
    }
    $("theirs").checked = said.get("theirs") !== "no";
    const sort = said.get("sort") ?? "-top1";
    if (COLUMNS.some((c) => c.key === sort.replace("-", ""))) {
      [state.sort, state.down] = [sort.replace("-", ""), sort.startsWith("-")];
    }
  }

  function openAsked() {
    const asked = models.find((m) => `#${m.model}` === location.hash);
    if (asked && asked.model !== state.open) open(asked, $("name"));
  }

  function draw() {
    keep();
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
  restore(); // the data are ImageNet at first: accuracies on different data do not compare
  document.querySelector(".explorer form").addEventListener("submit", (event) => event.preventDefault());
  for (const id of [...Object.keys(usual), "theirs"]) {
    $(id).addEventListener($(id).type === "search" ? "input" : "change", draw);
  }
  state.open = models.find((m) => `#${m.model}` === location.hash)?.model ?? null; // kept by keep()
  draw();
  state.open = null;
  openAsked();
  window.addEventListener("hashchange", openAsked);
  let width = $("plot").clientWidth;
  new ResizeObserver(() => { // drawn anew where its width changes, so that its letters stay as large
    if ($("plot").clientWidth === width) return;
    width = $("plot").clientWidth;
    drawPlot(sorted(chosen()));
  }).observe($("plot"));
})();
