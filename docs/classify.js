// Classifies an image by a binary network in WebAssembly, and shows the signs that its layers see.
(async () => {
  "use strict";
  const $ = (id) => document.getElementById(id);
  const SIZE = 32;
  const PLUS = [250, 250, 250, 255], MINUS = [38, 50, 80, 255];
  const { classes, samples, module } = JSON.parse($("classify-data").textContent);

  function make(name, attributes = {}, ...children) {
    const element = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    element.append(...children);
    return element;
  }

  function problem(text) {
    $("problem").textContent = text;
    $("problem").hidden = !text;
  }

  // --- the network ---------------------------------------------------------------------------------

  let looked = null; // the layers of this run, while somebody looks
  const signs = (at, height, width, channels, stride) => {
    looked?.push({ height, width, channels, stride,
      bits: new Uint8Array(network.memory.buffer, at, height * width * stride).slice() });
  };
  let network;
  try {
    const code = Uint8Array.from(atob(module), (letter) => letter.charCodeAt(0));
    network = (await WebAssembly.instantiate(code, { env: { signs } })).instance.exports;
    network._initialize?.();
  } catch {
    problem("This browser cannot run WebAssembly with SIMD. Use a newer browser.");
    return;
  }

  /** Logits of the pixels (RGBA, 32x32), what the layers saw, and the milliseconds of a run. */
  function run(pixels) {
    const bytes = new Uint8Array(network.memory.buffer, network.bytes(), 3 * SIZE * SIZE);
    for (let i = 0; i < SIZE * SIZE; ++i) bytes.set(pixels.subarray(4 * i, 4 * i + 3), 3 * i);
    looked = [];
    network.run_bytes();
    const layers = looked;
    looked = null;
    const logits = new Float32Array(network.memory.buffer, network.outputs(), classes.length).slice();
    let runs = 0; // clocks of browsers are coarse: several runs, for a fiftieth of a second
    const start = performance.now();
    do {
      network.run_bytes();
      ++runs;
    } while (runs < 200 && performance.now() - start < 20);
    return { logits, layers, runs, ms: (performance.now() - start) / runs };
  }

  // --- what is shown -------------------------------------------------------------------------------

  const seen = $("seen").getContext("2d", { willReadFrequently: true });

  function classify(label) {
    const { logits, layers, runs, ms } = run(seen.getImageData(0, 0, SIZE, SIZE).data);
    const highest = Math.max(...logits);
    const powers = [...logits].map((x) => Math.exp(x - highest));
    const sum = powers.reduce((a, b) => a + b);
    const top = powers.map((p, i) => [p / sum, classes[i]]).sort((a, b) => b[0] - a[0]).slice(0, 5);
    $("top").replaceChildren(...top.map(([p, name]) => {
      const bar = make("span", { class: "bar", style: `width: ${(55 * p).toFixed(1)}%` });
      return make("tr", {}, make("th", { scope: "row" }, name),
        make("td", {}, bar, `${(100 * p).toFixed(1)} %`));
    }));
    const truth = label ? ` The sample is labelled ${label}.` : "";
    $("time").textContent = `${top[0][1]}, in ${ms.toFixed(2)} milliseconds (mean of ${runs} runs).${truth}`;
    $("layers").replaceChildren(...layers.map(picture));
  }

  function picture({ height, width, channels, stride, bits }, number) {
    const across = 2 ** Math.ceil(Math.log2(channels) / 2), down = Math.ceil(channels / across);
    const canvas = make("canvas", { width: across * (width + 1) - 1, height: down * (height + 1) - 1 });
    const context = canvas.getContext("2d");
    const image = context.createImageData(canvas.width, canvas.height);
    let positive = 0;
    for (let c = 0; c < channels; ++c) {
      const left = (c % across) * (width + 1), top = Math.floor(c / across) * (height + 1);
      for (let y = 0; y < height; ++y)
        for (let x = 0; x < width; ++x) {
          const bit = bits[(y * width + x) * stride + (c >> 3)] >> (c & 7) & 1;
          positive += bit;
          image.data.set(bit ? PLUS : MINUS, 4 * ((top + y) * canvas.width + left + x));
        }
    }
    context.putImageData(image, 0, 0);
    const share = Math.round(100 * positive / (channels * height * width));
    const size = `${channels} channels of ${height}x${width}`, plus = `${share}\u00a0% are\u00a0+1`;
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", `Signs before binary convolution ${number + 1}: ${size}, ${plus}`);
    return make("figure", {}, canvas, make("figcaption", {}, `${number + 1}: ${size}, ${plus}`));
  }

  function press(button) {
    for (const each of $("samples").children) each.setAttribute("aria-pressed", each === button);
  }

  // --- images --------------------------------------------------------------------------------------

  /** Put the middle square of an image into the network's, halved until it is near its size. */
  function take(source, width, height, label) {
    let side = Math.min(width, height);
    let [left, top] = [(width - side) / 2, (height - side) / 2];
    while (side >= 4 * SIZE) { // a browser takes few pixels to scale by: more than half would alias
      const half = make("canvas", { width: Math.floor(side / 2), height: Math.floor(side / 2) });
      half.getContext("2d").drawImage(source, left, top, side, side, 0, 0, half.width, half.height);
      [source, side, left, top] = [half, half.width, 0, 0];
    }
    seen.fillStyle = "#fff"; // behind what is transparent
    seen.fillRect(0, 0, SIZE, SIZE);
    seen.imageSmoothingQuality = "high";
    seen.drawImage(source, left, top, side, side, 0, 0, SIZE, SIZE);
    problem("");
    classify(label);
  }

  async function open(file) {
    if (!file) return;
    let image;
    try {
      image = await createImageBitmap(file);
    } catch {
      problem(`${file.name} is not an image that this browser can read.`);
      return;
    }
    press(null);
    take(image, image.width, image.height);
    image.close();
  }

  $("file").addEventListener("change", () => open($("file").files[0]));
  const whole = document.documentElement;
  whole.addEventListener("dragover", (event) => {
    event.preventDefault();
    $("classify").classList.add("over");
  });
  whole.addEventListener("dragleave", () => $("classify").classList.remove("over"));
  whole.addEventListener("drop", (event) => {
    event.preventDefault();
    $("classify").classList.remove("over");
    open(event.dataTransfer.files[0]);
  });

  for (const [number, sample] of samples.entries()) {
    const image = make("img", { src: `data:image/png;base64,${sample.png}`, alt: "", width: SIZE, height: SIZE });
    const button = make("button", { type: "button", "aria-pressed": "false", title: sample.class,
      "aria-label": `Sample ${number + 1}: ${sample.class}` }, image);
    button.addEventListener("click", async () => {
      await image.decode();
      press(button);
      take(image, SIZE, SIZE, sample.class);
    });
    $("samples").append(button);
  }

  // --- drawing -------------------------------------------------------------------------------------

  const canvas = $("draw"), paper = canvas.getContext("2d", { willReadFrequently: true });
  const middle = canvas.width / 2;
  let last = null; // where the pointer was, while it draws
  let cursor = { x: middle, y: middle, down: false };
  let clean = null; // the drawing without the keyboard's cursor

  function stroke(from, to) {
    paper.strokeStyle = $("color").value;
    paper.lineWidth = Number($("brush").value);
    paper.lineCap = "round";
    paper.beginPath();
    paper.moveTo(from.x, from.y);
    paper.lineTo(to.x, to.y);
    paper.stroke();
  }

  function drawn() {
    press(null);
    take(canvas, canvas.width, canvas.height);
  }

  function fill(color) {
    hideCursor();
    paper.fillStyle = color;
    paper.fillRect(0, 0, canvas.width, canvas.height);
  }

  function showCursor() {
    clean = paper.getImageData(0, 0, canvas.width, canvas.height);
    paper.strokeStyle = cursor.down ? "#000" : "#777";
    paper.lineWidth = 2;
    paper.beginPath();
    paper.arc(cursor.x, cursor.y, Number($("brush").value) / 2 + 2, 0, 7);
    paper.stroke();
  }

  function hideCursor() {
    if (clean) paper.putImageData(clean, 0, 0);
    clean = null;
  }

  const place = (event) => {
    const box = canvas.getBoundingClientRect();
    return { x: (event.clientX - box.left) / box.width * canvas.width,
      y: (event.clientY - box.top) / box.height * canvas.height };
  };
  canvas.addEventListener("pointerdown", (event) => {
    hideCursor();
    canvas.setPointerCapture(event.pointerId);
    last = place(event);
    stroke(last, last);
    drawn();
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!last) return;
    const to = place(event);
    stroke(last, to);
    last = to;
  });
  for (const name of ["pointerup", "pointercancel"])
    canvas.addEventListener(name, () => {
      if (last) drawn();
      last = null;
    });

  const STEPS = { ArrowLeft: [-8, 0], ArrowRight: [8, 0], ArrowUp: [0, -8], ArrowDown: [0, 8] };
  canvas.addEventListener("keydown", (event) => {
    const step = STEPS[event.key];
    if (!step && event.key !== " ") return;
    event.preventDefault();
    hideCursor();
    const from = { ...cursor };
    if (step) {
      cursor.x = Math.min(canvas.width, Math.max(0, cursor.x + step[0]));
      cursor.y = Math.min(canvas.height, Math.max(0, cursor.y + step[1]));
    } else {
      cursor.down = !cursor.down;
    }
    if (cursor.down) {
      stroke(from, cursor);
      drawn();
    }
    showCursor();
  });
  canvas.addEventListener("focus", () => {
    if (!last && canvas.matches(":focus-visible")) showCursor();
  });
  canvas.addEventListener("blur", () => {
    hideCursor();
    cursor.down = false;
  });
  $("fill").addEventListener("click", () => {
    fill($("color").value);
    drawn();
  });
  $("clear").addEventListener("click", () => {
    fill("#ffffff");
    drawn();
  });

  fill("#ffffff");
  $("samples").children[2].click();
})();
