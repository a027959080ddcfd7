// The explorer's plot: draws points with their names, and finds the point nearest to the pointer.
window.explorerPlot = (() => {
  "use strict";
  const SVG = "http://www.w3.org/2000/svg";
  const GAP = 12; // pixels between two lines of names

  function make(name, attributes = {}, ...children) {
    const element = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    element.append(...children);
    return element;
  }

  function ticks(low, high, most) { // powers of ten and their 2 and 5
    const found = [];
    for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power++) {
      for (const factor of [1, 2, 5]) {
        const value = factor * 10 ** power;
        if (value >= low && value <= high) found.push(value);
      }
    }
    return found.length > most ? found.filter((_, i) => i % 3 === 0) : found;
  }

  // A free place for every name: beside its point, else farther out, joined to it by a line.
  function placeNames(points, box) {
    const taken = points.map((p) => ({ x: p.x - 7, y: p.y - 7, width: 14, height: 14 }));
    const free = (place) => place.x >= box.left && place.x + place.width <= box.right
      && place.y >= box.top && place.y + place.height <= box.bottom
      && !taken.some((t) => t.x < place.x + place.width && place.x < t.x + t.width
        && t.y < place.y + place.height && place.y < t.y + t.height);
    for (const p of points) {
      const size = { width: box.pen.measureText(p.name).width + 4, height: GAP };
      p.place = null;
      for (let radius = 0; radius < 400 && !p.place; radius += 6) {
        for (let turn = 0; turn < 24 && !p.place; turn++) {
          const angle = (turn % 2 ? 1 : -1) * Math.ceil(turn / 2) * Math.PI / 12;
          const [dx, dy] = [Math.cos(angle) * (9 + radius), Math.sin(angle) * (9 + radius)];
          const place = { x: p.x + dx - (dx < 0 ? size.width : 0), y: p.y + dy - size.height / 2, ...size };
          if (Math.abs(dy) > GAP) { // above or below its point a name may lie across it
            place.x = Math.max(box.left, Math.min(place.x, box.right - size.width));
          }
          if (free(place)) p.place = { ...place, far: radius > 6 };
        }
      }
      if (p.place) taken.push(p.place);
    }
  }

  // Draws into `svg`, as wide as it is shown: `points` have name, label, cost, accuracy, color, theirs.
  function draw(svg, points, costLabel, accuracyLabel, open) {
    const width = Math.max(280, Math.round(svg.clientWidth || svg.parentNode.clientWidth));
    const narrow = width < 600;
    const height = narrow ? 520 : 460;
    const pen = document.createElement("canvas").getContext("2d"); // to measure names
    pen.font = `11px ${getComputedStyle(svg).fontFamily}`; // the size in explorer.css
    const box = { left: 40, right: width - 6, top: 12, bottom: height - 42, pen };
    svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    svg.style.height = `${height}px`;
    if (!points.length) {
      svg.replaceChildren(make("text", { x: width / 2, y: height / 2, "text-anchor": "middle" },
        "No selected model has this accuracy."));
      return;
    }
    const costs = points.map((p) => p.cost);
    const [low, high] = [Math.min(...costs) / 1.5, Math.max(...costs) * 1.5];
    const [bottom, top] = [Math.floor(Math.min(...points.map((p) => p.accuracy)) - 1),
      Math.ceil(Math.max(...points.map((p) => p.accuracy)) + 1)];
    const x = (v) => box.left + (box.right - box.left) * Math.log(v / low) / Math.log(high / low);
    const y = (v) => box.bottom - (box.bottom - box.top) * (v - bottom) / (top - bottom);
    const parts = [];
    for (const v of ticks(low, high, narrow ? 5 : 8)) {
      parts.push(make("line", { class: "grid", x1: x(v), x2: x(v), y1: box.top, y2: box.bottom }),
        make("text", { x: x(v), y: box.bottom + 16, "text-anchor": "middle" },
          v.toLocaleString("en", { maximumSignificantDigits: 2 })));
    }
    const step = [1, 2, 5, 10, 20].find((s) => (top - bottom) / s <= 9);
    for (let v = Math.ceil(bottom / step) * step; v <= top; v += step) {
      parts.push(make("line", { class: "grid", x1: box.left, x2: box.right, y1: y(v), y2: y(v) }),
        make("text", { x: box.left - 6, y: y(v) + 4, "text-anchor": "end" }, `${v}`));
    }
    parts.push(make("text", { x: (box.left + box.right) / 2, y: height - 6, "text-anchor": "middle" }, costLabel),
      make("text", { x: 0, y: 0, "text-anchor": "middle", transform: `translate(11 ${(box.top + box.bottom) / 2}) rotate(-90)` }, accuracyLabel));
    for (const p of points) [p.x, p.y] = [x(p.cost), y(p.accuracy)];
    points.sort((a, b) => a.x - b.x || b.y - a.y); // the order of the Tab key, too
    placeNames(points, box);
    for (const p of points) {
      if (p.place?.far) {
        const nearest = Math.max(p.place.x, Math.min(p.x, p.place.x + p.place.width));
        parts.push(make("line", { class: "leader", x1: p.x, y1: p.y, x2: nearest, y2: p.place.y + GAP / 2 }));
      }
    }
    for (const p of points) {
      const shape = p.theirs // larq-zoo's are diamonds
        ? make("path", { d: `M${p.x} ${p.y - 7}l7 7l-7 7l-7 -7z`, fill: p.color })
        : make("circle", { cx: p.x, cy: p.y, r: 6, fill: p.color });
      p.link = make("a", { href: `#${p.name}`, "aria-label": p.label }, make("title", {}, p.label), shape);
      if (p.place) {
        p.link.append(make("text", {
          x: p.place.x + 2, y: p.place.y + GAP - 2, class: "name",
        }, p.name));
      }
      p.link.addEventListener("click", (event) => { event.preventDefault(); open(p); });
      parts.push(p.link);
    }
    svg.replaceChildren(...parts);
  }

  // The point nearest to a place on the screen: points that lie on one another are all reached.
  function nearest(svg, points, event) {
    const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
    const far = (p) => Math.hypot(p.x - at.x, p.y - at.y);
    const found = points.reduce((best, p) => (far(p) < far(best) ? p : best), points[0]);
    return found && far(found) < 40 ? found : null;
  }

  return { draw, nearest };
})();
