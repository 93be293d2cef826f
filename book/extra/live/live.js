/* The live figures of the book: `operator` and `blend`. Plain JavaScript, no library, no network.
 *
 * A classic script, because a page opened from disk may not load modules. Every element with
 * data-live="operator" or data-live="blend" becomes a figure. A 2x2 matrix is written row by row:
 * [a, b, c, d] is [[a, b], [c, d]]; rows are targets, columns regulators, and cells move by z' = A z.
 */
(function () {
  "use strict";
  if (window.cellmnnLive) return;

  // ------------------------------------------------------------------ linear algebra of 2x2 matrices

  const DEGREE = Math.PI / 180;
  const apply = (A, z) => [A[0] * z[0] + A[1] * z[1], A[2] * z[0] + A[3] * z[1]];
  const direction = (angle) => [Math.cos(angle), Math.sin(angle)];
  const clip = (x, limit) => Math.min(limit, Math.max(-limit, x));
  const tidy = (x) => Math.round(x * 1e9) / 1e9; // 0.1 + 0.2 is 0.3 to a reader

  /* exp(A t) in closed form: c I + k (A - s I), where s is half the trace and q the discriminant.
   * c and k are smooth in q, so nothing happens where the eigenvalues meet (q = 0, perhaps defective);
   * expm1 keeps k exact when they nearly meet, and taking out the larger exponential keeps it finite. */
  function expm2(a, b, c, d, t) {
    if (t < 0) return expm2(-a, -b, -c, -d, -t);
    const s = (a + d) / 2;
    const h = (a - d) / 2;
    const q = h * h + b * c;
    const x = Math.sqrt(Math.abs(q)) * t;
    let even, odd;
    if (q > 0) {
      const larger = Math.exp(s * t + x);
      even = (larger + Math.exp(s * t - x)) / 2;
      odd = x > 0 ? (larger * t * -Math.expm1(-2 * x)) / (2 * x) : larger * t;
    } else {
      const grown = Math.exp(s * t);
      even = grown * Math.cos(x);
      odd = x > 0 ? (grown * t * Math.sin(x)) / x : grown * t;
    }
    return [even + odd * h, odd * b, odd * c, even - odd * h];
  }

  const exponential = (A, t) => expm2(A[0], A[1], A[2], A[3], t);

  /* R M R^-1 with the unit vectors of the two angles as the columns of R. */
  function fromBasis(M, angles) {
    const [p, r] = direction(angles[0]);
    const [q, s] = direction(angles[1]);
    const det = p * s - q * r;
    const RM = [p * M[0] + q * M[2], p * M[1] + q * M[3], r * M[0] + s * M[2], r * M[1] + s * M[3]];
    return [
      (RM[0] * s - RM[1] * r) / det,
      (RM[1] * p - RM[0] * q) / det,
      (RM[2] * s - RM[3] * r) / det,
      (RM[3] * p - RM[2] * q) / det,
    ];
  }

  /* The spectrum of a figure: kind "real" (values l1, l2), "complex" (values a, b for a +- b i, b > 0) or
   * "defective" (value s, strength k, one angle), and angles of the directions. This is its matrix. */
  function toMatrix(spectrum) {
    const { kind, values, angles } = spectrum;
    if (kind === "real") return fromBasis([values[0], 0, 0, values[1]], angles);
    if (kind === "complex") return fromBasis([values[0], -values[1], values[1], values[0]], angles);
    const [x, y] = direction(angles[0]);
    const [s, k] = values;
    return [s - k * x * y, k * x * x, -k * y * y, s + k * x * y]; // s I + k v (v turned left)^T
  }

  /* The way back. `before` supplies directions where A leaves them open (a multiple of the identity). */
  function toSpectrum(A, before) {
    const [a, b, c, d] = A;
    const s = (a + d) / 2;
    const h = (a - d) / 2;
    const q = h * h + b * c;
    const size = Math.max(Math.abs(h), Math.abs(b), Math.abs(c));
    if (size <= 1e-14 * Math.abs(s)) {
      const angles = before.kind === "defective" ? [before.angles[0], before.angles[0] + Math.PI / 2] : before.angles;
      return { kind: "real", values: [s, s], angles };
    }
    if (Math.abs(q) <= 1e-14 * size * size) {
      const column = Math.hypot(h, c) > Math.hypot(b, h) ? [h, c] : [b, -h];
      const angle = halfTurn(Math.atan2(column[1], column[0]));
      const [x, y] = direction(angle);
      const [u, v] = apply([h, b, c, -h], [-y, x]);
      return { kind: "defective", values: [s, u * x + v * y], angles: [angle, angle + Math.PI / 2] };
    }
    const root = Math.sqrt(Math.abs(q));
    if (q > 0) {
      const angles = [root, -root].map((r) => {
        const v = Math.hypot(b, r - h) > Math.hypot(r + h, c) ? [b, r - h] : [r + h, c];
        return halfTurn(Math.atan2(v[1], v[0]));
      });
      return { kind: "real", values: [s + root, s - root], angles };
    }
    return { kind: "complex", values: [s, root], angles: complexDirections(b, h, root) };
  }

  /* An angle of a line, between -90 and 90 degrees. */
  function halfTurn(angle) {
    return Math.atan(Math.tan(angle));
  }

  /* Angles of u and v, equally long, with A (u - i v) = (s + i root) (u - i v). An eigenvector may be
   * multiplied by any complex number; the phase that makes u and v equally long is unique up to quarter turns. */
  function complexDirections(b, h, root) {
    const square = [b * b + h * h - root * root, -2 * h * root]; // x^T x of the eigenvector x = (b, -h + i root)
    const round = Math.hypot(...square) < 1e-14 * (b * b + root * root);
    const phase = round ? 0 : (Math.PI / 2 - Math.atan2(square[1], square[0])) / 2;
    const [cos, sin] = direction(phase);
    const u = [b * cos, -h * cos - root * sin];
    const v = [-b * sin, h * sin - root * cos];
    const choices = [[u, v], [v, u.map((x) => -x)], [u.map((x) => -x), v.map((x) => -x)], [v.map((x) => -x), u]];
    const angles = choices.map((pair) => pair.map((z) => Math.atan2(z[1], z[0])));
    return angles.sort((p, q) => Math.abs(p[0]) - Math.abs(q[0]))[0];
  }

  /* Name and plain words for what the cells do. */
  function behaviour({ kind, values }, A) {
    const size = Math.max(...A.map(Math.abs));
    const sign = (x) => (Math.abs(x) <= 1e-9 * size ? 0 : Math.sign(x));
    if (size === 0) return ["Nothing moves", "every cell rests"];
    if (kind === "complex") {
      return [
        ["Spiral in", "cells turn and come to rest"],
        ["Centre", "cells go round and round for ever"],
        ["Spiral out", "cells turn and run away"],
      ][sign(values[0]) + 1];
    }
    if (kind === "defective") {
      return [
        ["Defective sink", "one eigenvector only; cells bend once and come to rest"],
        ["Shear (defective)", "one eigenvector only; cells slide along it"],
        ["Defective source", "one eigenvector only; cells bend once and run away"],
      ][sign(values[0]) + 1];
    }
    const signs = values.map(sign);
    if (signs.includes(0)) return ["A line of resting cells", "along the other direction cells come or go"];
    if (signs[0] !== signs[1]) return ["Saddle", "cells come in along one direction and leave along the other"];
    return signs[0] < 0 ? ["Sink", "every cell comes to rest"] : ["Source", "every cell runs away"];
  }

  // ------------------------------------------------------------------ local operators and their blend

  const LOCAL = {
    "turn left": [0, -1, 1, 0],
    "turn right": [0, 1, -1, 0],
    "spiral in": [-0.4, -1.2, 1.2, -0.4],
    "spiral out": [0.2, -1, 1, 0.2],
    sink: [-0.6, 0, 0, -0.6],
    source: [0.35, 0, 0, 0.35],
    saddle: [0.5, 0, 0, -0.5],
    shear: [0, 0.8, 0, 0],
  };

  /* How much each anchor has to say at z: exp(-distance^2 / (2 width^2)), scaled to sum to one. */
  function weights(z, anchors, width) {
    const scores = anchors.map(({ at }) => -((z[0] - at[0]) ** 2 + (z[1] - at[1]) ** 2) / (2 * width * width));
    const top = Math.max(...scores);
    const raw = scores.map((x) => Math.exp(x - top));
    const total = raw.reduce((x, y) => x + y);
    return raw.map((x) => x / total);
  }

  function blend(z, anchors, width) {
    const w = weights(z, anchors, width);
    return [0, 1, 2, 3].map((i) => anchors.reduce((sum, { kind }, k) => sum + w[k] * LOCAL[kind][i], 0));
  }

  /* Steps of a frozen operator, taken anew at the beginning of each: the cell before and after every step. */
  function steps(z, anchors, width, horizon, n) {
    const path = [z];
    for (let i = 0; i < n; i++) path.push(apply(exponential(blend(path[i], anchors, width), horizon / n), path[i]));
    return path;
  }

  /* The path of z' = A(z) z itself, by the classical Runge-Kutta method. */
  function finePath(z, anchors, width, horizon, n) {
    const velocity = (y) => apply(blend(y, anchors, width), y);
    const move = (y, v, h) => [y[0] + h * v[0], y[1] + h * v[1]];
    const h = horizon / n;
    const path = [z];
    for (let i = 0; i < n; i++) {
      const k1 = velocity(z);
      const k2 = velocity(move(z, k1, h / 2));
      const k3 = velocity(move(z, k2, h / 2));
      const k4 = velocity(move(z, k3, h));
      z = [0, 1].map((j) => z[j] + (h / 6) * (k1[j] + 2 * k2[j] + 2 * k3[j] + k4[j]));
      path.push(z);
    }
    return path;
  }

  // ------------------------------------------------------------------ words and elements

  const minus = (text) => text.replace("-", "\u2212").replace(/^\u2212(0\.?0*)$/, "$1");

  function number(x, digits = 2) {
    if (!Number.isFinite(x)) return Number.isNaN(x) ? "?" : x > 0 ? "\u221e" : "\u2212\u221e";
    return minus(Math.abs(x) < 1e4 ? x.toFixed(digits) : x.toExponential(digits));
  }

  const point = (z) => `(${number(z[0])}, ${number(z[1])})`;
  const matrixInWords = (A) => `${A.slice(0, 2).map((x) => number(x))}; ${A.slice(2).map((x) => number(x))}`;
  const distance = (y, z) => Math.hypot(y[0] - z[0], y[1] - z[1]);
  const drawable = (z) => Number.isFinite(z[0]) && Number.isFinite(z[1]) && Math.hypot(...z) < 1e3;

  function make(tag, attributes = {}, ...children) {
    const plain = !["svg", "g", "path", "circle", "line", "text", "rect", "clipPath", "defs", "tspan"].includes(tag);
    const element = plain ? document.createElement(tag) : document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    element.append(...children);
    return element;
  }

  function button(text, act, attributes = {}) {
    const made = make("button", { type: "button", ...attributes }, text);
    made.addEventListener("click", act);
    return made;
  }

  let count = 0;
  const unique = () => `cl-${++count}`;

  /* A labelled slider with its value beside it. */
  function slider(text, limits, show, act) {
    const id = unique();
    const input = make("input", { type: "range", id, ...limits });
    const output = make("output", { for: id });
    const set = (value) => {
      input.value = value;
      output.textContent = show(value);
      input.setAttribute("aria-valuetext", show(value));
    };
    input.addEventListener("input", () => act(Number(input.value)));
    return { row: make("div", { class: "cl-slider" }, make("label", { for: id }, text), input, output), input, set };
  }

  /* A row of radio buttons. */
  function choice(legend, options, act) {
    const name = unique();
    const inputs = {};
    const labels = Object.entries(options).map(([value, text]) => {
      inputs[value] = make("input", { type: "radio", name, value });
      inputs[value].addEventListener("change", () => act(value));
      return make("label", {}, inputs[value], text);
    });
    const box = make("fieldset", { class: "cl-choice" }, make("legend", {}, legend), ...labels);
    return { box, set: (value) => (inputs[value].checked = true) };
  }

  /* Text for everybody, said aloud only once the hand rests. */
  function readout() {
    const shown = make("p", { class: "cl-readout" });
    const aloud = make("div", { class: "cl-unseen", "aria-live": "polite" });
    let timer = null;
    const say = (text) => {
      shown.textContent = text;
      clearTimeout(timer);
      timer = setTimeout(() => {
        if (aloud.textContent !== text) aloud.textContent = text;
      }, 700);
    };
    return { shown, aloud, say };
  }

  /* A square or oblong picture of the plane, `reach` data units to each side. */
  function picture(label, width, height, reach) {
    const scale = width / (2 * reach);
    const svg = make("svg", { viewBox: `0 0 ${width} ${height}`, role: "group", "aria-label": label, class: "cl-picture" });
    const id = unique();
    svg.append(make("defs", {}, make("clipPath", { id }, make("rect", { width, height, rx: 8 }))));
    svg.append(make("rect", { class: "cl-ground", width, height, rx: 8 }));
    const layer = () => svg.appendChild(make("g", { "clip-path": `url(#${id})`, "aria-hidden": "true" }));
    const self = { svg, layer, width, height, reach, scale, reachUp: (reach * height) / width };
    self.x = (v) => width / 2 + v * self.scale;
    self.y = (v) => height / 2 - v * self.scale;
    self.rescale = (size) => {
      self.reach = size;
      self.reachUp = (size * height) / width;
      self.scale = width / (2 * size);
    };
    self.at = (event) => {
      const p = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
      return [(p.x - width / 2) / self.scale, (height / 2 - p.y) / self.scale];
    };
    self.curve = (path) => {
      const end = path.findIndex((z) => !drawable(z));
      const seen = end < 0 ? path : path.slice(0, end);
      return seen.map((z, i) => `${i ? "L" : "M"}${self.x(z[0]).toFixed(1)} ${self.y(z[1]).toFixed(1)}`).join("");
    };
    return self;
  }

  /* A handle that mouse, finger and keys can move. `move` gets data coordinates, `key` gets the arrow and
   * whether Shift is down. A drag keeps the distance between pointer and centre, so that nothing jumps. */
  function handle(view, label, style, { move, key }) {
    const mark = make("circle", { class: "cl-dot" });
    const text = make("text", { class: "cl-label", "aria-hidden": "true" });
    const ring = make("circle", { class: "cl-ring" });
    const attributes = { class: `cl-handle ${style}`, tabindex: 0, role: "slider", "aria-label": label };
    const element = make("g", attributes, make("circle", { class: "cl-hit" }), ring, mark, text);
    const self = { element, text, here: [0, 0] };
    let grip = null;

    element.addEventListener("pointerdown", (event) => {
      if (event.button > 0) return;
      event.preventDefault();
      element.focus({ preventScroll: true });
      const p = view.at(event);
      grip = { id: event.pointerId, offset: [self.here[0] - p[0], self.here[1] - p[1]] };
      try {
        element.setPointerCapture(event.pointerId);
      } catch {
        // a pointer that is already gone cannot be captured; the next one can
      }
      element.classList.add("cl-held");
    });
    element.addEventListener("pointermove", (event) => {
      if (!grip || event.pointerId !== grip.id) return;
      const p = view.at(event);
      move([p[0] + grip.offset[0], p[1] + grip.offset[1]]);
    });
    const release = () => {
      grip = null;
      element.classList.remove("cl-held");
    };
    for (const name of ["pointerup", "pointercancel", "lostpointercapture"]) element.addEventListener(name, release);
    element.addEventListener("touchstart", (event) => event.preventDefault(), { passive: false }); // do not scroll
    element.addEventListener("keydown", (event) => {
      const arrow = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
      if (!arrow || event.altKey || event.ctrlKey || event.metaKey) return;
      event.preventDefault();
      event.stopPropagation();
      key(arrow, event.shiftKey);
    });

    /* Put the handle at `z`, drawn inside the picture even if z lies outside. */
    self.put = (z, name, value, words, shift) => {
      const edge = 14;
      const x = Math.min(view.width - edge, Math.max(edge, view.x(z[0])));
      const y = Math.min(view.height - edge, Math.max(edge, view.y(z[1])));
      self.here = [(x - view.width / 2) / view.scale, (view.height / 2 - y) / view.scale];
      element.setAttribute("transform", `translate(${x.toFixed(2)} ${y.toFixed(2)})`);
      element.setAttribute("aria-valuenow", tidy(value));
      element.setAttribute("aria-valuetext", words);
      text.textContent = name;
      const [dx, dy] = shift || [0, -20];
      text.setAttribute("x", x + dx > view.width - 22 ? -24 : x + dx < 22 ? 24 : dx);
      text.setAttribute("y", (y + dy < 20 ? 26 : y + dy > view.height - 8 ? -18 : dy) + 5);
    };
    self.hide = (yes) => (element.style.display = yes ? "none" : "");
    view.svg.append(element);
    return self;
  }

  /* Arrows of a velocity field on a grid; long where the field is fast. `paint` may colour each. */
  function arrows(view, layer, n, paint) {
    const cell = view.width / n;
    const paths = [];
    for (let i = 0; i < n * n; i++) paths.push(layer.appendChild(make("path", { class: "cl-arrow" })));
    return (velocity) => {
      const places = paths.map((_, i) => {
        const x = cell * ((i % n) + 0.5);
        const y = cell * (Math.floor(i / n) + 0.5);
        const z = [(x - view.width / 2) / view.scale, (view.height / 2 - y) / view.scale];
        return { x, y, z, v: velocity(z) };
      });
      const fastest = Math.max(...places.map(({ v }) => Math.hypot(...v)));
      places.forEach(({ x, y, z, v }, i) => {
        const speed = Math.hypot(...v);
        const length = fastest > 0 ? 0.86 * cell * Math.sqrt(speed / fastest) : 0;
        paths[i].setAttribute("d", length > 3 ? arrow(x, y, v[0] / speed, -v[1] / speed, length) : dot(x, y));
        if (paint) paths[i].style.stroke = paint(z);
      });
    };
  }

  function arrow(x, y, dx, dy, length) {
    const head = Math.min(6, length * 0.4);
    const [tx, ty] = [x + (dx * length) / 2, y + (dy * length) / 2];
    const side = (sign) => `${(tx - head * (dx - 0.6 * sign * dy)).toFixed(1)} ${(ty - head * (dy + 0.6 * sign * dx)).toFixed(1)}`;
    const tip = `${tx.toFixed(1)} ${ty.toFixed(1)}`;
    return `M${(x - (dx * length) / 2).toFixed(1)} ${(y - (dy * length) / 2).toFixed(1)}L${tip}M${side(1)}L${tip}L${side(-1)}`;
  }

  const dot = (x, y) => `M${(x - 0.5).toFixed(1)} ${y.toFixed(1)}h1`;

  function axes(view, layer) {
    layer.append(
      make("line", { class: "cl-axis", x1: 0, x2: view.width, y1: view.y(0), y2: view.y(0) }),
      make("line", { class: "cl-axis", y1: 0, y2: view.height, x1: view.x(0), x2: view.x(0) }),
    );
  }

  // ------------------------------------------------------------------ figure 1: one operator

  const T_MAX = 5;
  const CLOSEST = 2 * DEGREE; // the two directions never come closer by hand
  const SNAP = 0.08; // eigenvalues that meet within this distance are equal
  const LEAVE = 0.25; // and leave the axis when pulled this far from it
  const LIMIT = 2; // reach of the complex plane, unless a typed A needs more
  const PRESETS = {
    "two speeds": { kind: "real", values: [-0.25, -1.4], angles: [20, 105], start: [-1.3, 1.5], t: 1 },
    saddle: { kind: "real", values: [0.6, -0.9], angles: [30, 120], start: [-1.35, 1.6], t: 2 },
    spiral: { kind: "complex", values: [-0.25, 1.6], angles: [0, 65], start: [1.5, 0.6], t: 2 },
    "pure rotation": { kind: "complex", values: [0, 1.2], angles: [0, 90], start: [1.3, 0.5], t: 2 },
    "shear (defective)": { kind: "defective", values: [0, 0.7], angles: [15, 105], start: [-1.3, 0.4], t: 2 },
    "longest turn of a real operator": { kind: "real", values: [0.1, -1.2], angles: [213, 23], start: null, t: 2.5 },
  };

  function operatorFigure(root) {
    const state = { kind: "real", values: [0, 0], angles: [0, 1], upper: 0, A: [0, 0, 0, 0], z0: [1, 1], t: 1, note: "" };
    const flow = picture("Flow of the operator", 440, 440, 2.2);
    const plane = picture("Complex plane of the eigenvalues", 330, 270, 2.4);

    // ---- what stands on the page
    const name = make("strong");
    const meaning = make("span");
    const note = make("p", { class: "cl-note", role: "status" });
    const words = readout();
    const kinds = choice("Eigenvalues", { real: "two real", complex: "complex pair", defective: "one, defective" }, changeKind);
    const time = slider("time t", { min: 0, max: T_MAX, step: 0.01 }, (t) => number(Number(t)), (t) => {
      stop();
      state.t = t;
      draw();
    });
    const play = button("Play", () => (playing ? stop() : start()), { class: "cl-play" });
    const entries = ["row 1, column 1", "row 1, column 2", "row 2, column 1", "row 2, column 2"].map((where) => {
      const entry = make("input", { type: "number", step: 0.1, "aria-label": `A, ${where}` });
      entry.addEventListener("input", typed);
      entry.addEventListener("change", () => draw());
      return entry;
    });
    const shown = [0, 1, 2, 3].map(() => make("span"));
    const moved = make("div", { class: "cl-entries cl-shown", role: "math" }, ...shown);
    const movedTitle = make("span", { class: "cl-symbol" }, "exp(A t)");
    const examples = Object.keys(PRESETS).map((key) => button(key, () => load(key)));
    time.row.append(play);

    root.append(
      make("div", { class: "cl-examples", role: "group", "aria-label": "Examples" }, ...examples),
      make("p", { class: "cl-name" }, name, meaning),
      make(
        "div",
        { class: "cl-columns" },
        make("div", { class: "cl-main" }, flow.svg, time.row),
        make(
          "div",
          { class: "cl-aside" },
          kinds.box,
          plane.svg,
          make(
            "div",
            { class: "cl-matrices" },
            make("div", { class: "cl-matrix" }, make("span", { class: "cl-symbol" }, "A"), make("div", { class: "cl-entries" }, ...entries)),
            make("div", { class: "cl-matrix" }, movedTitle, moved),
          ),
        ),
      ),
      words.shown,
      note,
      words.aloud,
    );

    // ---- the pictures
    const ground = flow.layer();
    axes(flow, ground);
    ground.append(make("circle", { class: "cl-rim", cx: flow.x(0), cy: flow.y(0), r: 1.75 * flow.scale }));
    const paintArrows = arrows(flow, flow.layer(), 13);
    const over = flow.layer();
    const lines = ["cl-one", "cl-two"].map((style) => over.appendChild(make("path", { class: `cl-ray ${style}` })));
    const future = over.appendChild(make("path", { class: "cl-path cl-future" }));
    const past = over.appendChild(make("path", { class: "cl-path" }));
    const now = over.appendChild(make("circle", { class: "cl-now" }));
    const planeGround = plane.layer();

    function drawPlane() {
      planeGround.replaceChildren();
      axes(plane, planeGround);
      const tick = (x, y, text, dx, dy) =>
        planeGround.append(make("text", { class: "cl-tick", x: plane.x(x) + dx, y: plane.y(y) + dy }, text));
      const unit = plane.reach < 3 ? 1 : 10 ** Math.floor(Math.log10(plane.reach));
      for (const sign of [-1, 1]) {
        const label = minus(unit === 1 || unit < 1e4 ? String(sign * unit) : (sign * unit).toExponential(0));
        tick(sign * unit, 0, label, 0, 18);
        tick(0, sign * unit, `${label.replace(/1$/, "")}i`, 14, 5);
        planeGround.append(make("line", { class: "cl-axis", x1: plane.x(sign * unit), x2: plane.x(sign * unit), y1: plane.y(0) - 4, y2: plane.y(0) + 4 }));
        planeGround.append(make("line", { class: "cl-axis", y1: plane.y(sign * unit), y2: plane.y(sign * unit), x1: plane.x(0) - 4, x2: plane.x(0) + 4 }));
      }
      planeGround.append(make("text", { class: "cl-tick cl-corner", x: 10, y: 20 }, "shrinks"));
      planeGround.append(make("text", { class: "cl-tick cl-corner cl-end", x: plane.width - 10, y: 20 }, "grows"));
    }

    // ---- handles
    const styles = ["cl-one", "cl-two"];
    const vectors = [0, 1].map((k) =>
      handle(flow, "", styles[k], {
        move: (z) => turn(k, Math.atan2(z[1], z[0]), false),
        key: (arrow, big) => turn(k, state.angles[k] + (arrow[0] + arrow[1]) * (big ? 10 : 2) * DEGREE, true),
      }),
    );
    const cell = handle(flow, "Start cell", "cl-cell", {
      move: (z) => place(z),
      key: (arrow, big) => place(state.z0.map((x, i) => tidy(x + arrow[i] * (big ? 0.5 : 0.1)))),
    });
    const values = [0, 1].map((k) =>
      handle(plane, "", styles[k], {
        move: (z) => dragValue(k, z[0], z[1]),
        key: (arrow, big) => stepValue(k, arrow, big ? 0.5 : 0.1),
      }),
    );

    // ---- what the reader does
    function load(key) {
      const { kind, values, angles, start: z0, t } = PRESETS[key];
      stop();
      Object.assign(state, { kind, values: [...values], angles: angles.map((x) => x * DEGREE), t, upper: 0, note: "" });
      // The longest turn begins near the fast direction and ends against the slow one.
      const [slow, fast] = state.angles.map(direction);
      state.z0 = z0 ? [...z0] : [0, 1].map((i) => 1.9 * fast[i] + 0.6 * slow[i]);
      plane.rescale(LIMIT * 1.2);
      rebuild();
    }

    function changeKind(kind) {
      const [p, q] = state.values;
      const half = Math.max(0.5, Math.abs(p - q) / 2);
      if (state.kind === "defective") state.angles[1] = state.angles[0] + Math.PI / 2;
      const middle = state.kind === "real" ? (p + q) / 2 : p;
      if (kind === "real") state.values = [middle + (state.kind === "complex" ? q / 2 : 0.25), middle - (state.kind === "complex" ? q / 2 : 0.25)];
      if (kind === "complex") state.values = [middle, state.kind === "real" ? half : 1];
      if (kind === "defective") state.values = [middle, 0.7];
      state.kind = kind;
      state.note = "";
      rebuild();
    }

    /* A pointer moves eigenvalue k. Two real ones that meet may leave the axis together, and come back. */
    function dragValue(k, re, im) {
      re = clip(re, plane.reach);
      im = clip(im, plane.reachUp);
      state.note = "";
      if (state.kind === "defective") {
        state.values = [re, state.values[1]];
      } else if (state.kind === "complex") {
        if (Math.abs(im) < SNAP) pairUp("real", re, 0, k);
        else pairUp("complex", re, im, k);
      } else {
        const met = Math.abs(re - state.values[1 - k]) < SNAP;
        if (met && Math.abs(im) > LEAVE) pairUp("complex", re, im, k);
        else state.values[k] = met ? state.values[1 - k] : re;
      }
      rebuild();
    }

    function pairUp(kind, re, im, k) {
      state.kind = kind;
      state.values = kind === "real" ? [re, re] : [re, Math.abs(im)];
      state.upper = im < 0 ? 1 - k : k;
    }

    /* An arrow key moves eigenvalue k by a step. */
    function stepValue(k, [dx, dy], step) {
      const [p, q] = state.values;
      state.note = "";
      if (state.kind === "complex") {
        const im = tidy((state.upper === k ? q : -q) + dy * step);
        pairUp(Math.abs(im) < 0.05 ? "real" : "complex", clip(tidy(p + dx * step), plane.reach), clip(im, plane.reachUp), k);
      } else if (dx) {
        state.values[state.kind === "real" ? k : 0] = clip(tidy((state.kind === "real" ? state.values[k] : p) + dx * step), plane.reach);
      } else if (state.kind === "real" && Math.abs(p - q) < 1e-9) {
        pairUp("complex", p, dy * step, k);
      } else {
        state.note = "Real eigenvalues stay on the real axis. Bring the two together, then they can leave it as a pair.";
      }
      rebuild();
    }

    /* Direction k gets this angle, but not too close to the other one. */
    function turn(k, angle, byKey) {
      state.note = "";
      const gap = state.kind === "defective" ? Math.PI / 2 : halfTurn(angle - state.angles[1 - k]);
      if (Math.abs(gap) < CLOSEST - 1e-9) {
        const old = halfTurn(state.angles[k] - state.angles[1 - k]);
        const side = Math.sign(byKey || Math.abs(gap) < 1e-9 ? old : gap) || 1;
        angle += side * CLOSEST - gap;
        state.note = tooClose();
      }
      state.angles[k] = tidy(Math.atan2(Math.sin(angle), Math.cos(angle)));
      if (state.kind === "defective") state.angles[1] = state.angles[0] + Math.PI / 2;
      rebuild();
    }

    const tooClose = () =>
      "Parallel directions no longer say what A is, so by hand they stay 2\u00b0 apart. " +
      "For a defective operator choose \u201cone, defective\u201d or type A. (Shift with an arrow key jumps across.)";

    function place(z) {
      state.z0 = z.map((x) => clip(x, flow.reach - 0.1));
      draw();
    }

    /* Four typed numbers are A, exactly; the handles follow. */
    function typed() {
      const typedIn = entries.map((entry) => entry.valueAsNumber);
      entries.forEach((entry, i) => entry.setAttribute("aria-invalid", !Number.isFinite(typedIn[i])));
      if (!typedIn.every(Number.isFinite)) {
        note.textContent = "Waiting for four numbers; until then the last A is shown.";
        return;
      }
      Object.assign(state, toSpectrum(typedIn, state), { A: typedIn, note: "", upper: 0 });
      const [p, q] = state.values.map(Math.abs);
      const wide = { real: Math.max(p, q), complex: Math.max(p, (q * plane.width) / plane.height), defective: p }[state.kind];
      plane.rescale(1.2 * Math.max(LIMIT, wide));
      draw();
    }

    /* A again from eigenvalues and directions. A typed A may have brought the directions closer than a hand may. */
    function rebuild() {
      if (state.kind !== "defective") {
        const gap = halfTurn(state.angles[1] - state.angles[0]);
        if (Math.abs(gap) < CLOSEST - 1e-9) {
          state.angles[1] += (Math.sign(gap) || 1) * CLOSEST - gap;
          state.note = tooClose();
        }
      }
      state.A = toMatrix(state);
      draw();
    }

    // ---- moving pictures, only on request
    let playing = 0;
    function start() {
      const from = state.t >= T_MAX ? 0 : state.t;
      const begun = performance.now();
      play.textContent = "Pause";
      const frame = (clock) => {
        state.t = Math.min(T_MAX, from + Math.max(0, clock - begun) / 1000);
        playing = state.t < T_MAX ? requestAnimationFrame(frame) : 0;
        if (!playing) play.textContent = "Play";
        draw();
      };
      playing = requestAnimationFrame(frame);
    }
    function stop() {
      cancelAnimationFrame(playing);
      playing = 0;
      play.textContent = "Play";
    }

    // ---- drawing
    const eigenvalue = (k) => {
      if (state.kind === "real") return [state.values[k], 0];
      if (state.kind === "defective") return [state.values[0], 0];
      return [state.values[0], state.upper === k ? state.values[1] : -state.values[1]];
    };
    const eigenvalueInWords = ([re, im]) => (im ? `${number(re)} ${im < 0 ? "\u2212" : "+"} ${number(Math.abs(im))}i` : number(re));

    function spectrumInWords() {
      if (state.kind === "real") return `Eigenvalues ${number(state.values[0])} and ${number(state.values[1])}.`;
      if (state.kind === "complex") return `Eigenvalues ${number(state.values[0])} \u00b1 ${number(state.values[1])}i.`;
      return `Eigenvalue ${number(state.values[0])}, twice, with one eigenvector.`;
    }

    /* The trajectory, fine enough for its fastest turn, and how far its direction has turned at time t. */
    function trajectory() {
      const size = Math.hypot(...state.A);
      const n = Math.min(3000, Math.max(150, Math.ceil(6 * T_MAX * size)));
      const path = [];
      for (let i = 0; i <= n; i++) path.push(apply(exponential(state.A, (T_MAX * i) / n), state.z0));
      const here = apply(exponential(state.A, state.t), state.z0);
      const before = path.slice(0, Math.floor((state.t / T_MAX) * n) + 1).concat([here]);
      let angle = 0;
      for (let i = 1; i < before.length; i++) {
        const [p, q] = [before[i - 1], before[i]];
        angle += Math.atan2(p[0] * q[1] - p[1] * q[0], p[0] * q[0] + p[1] * q[1]) || 0;
      }
      return { path, before, here, turned: size <= 600 ? angle : NaN };
    }

    function drawVectors() {
      const complex = state.kind === "complex";
      const names = complex ? ["u", "v"] : state.kind === "real" ? ["v\u2081", "v\u2082"] : ["v", ""];
      vectors.forEach((vector, k) => {
        const z = direction(state.angles[k]).map((x) => 1.75 * x);
        const gone = state.kind === "defective" && k === 1;
        const far = complex ? [0, 0] : [-2 * z[0], -2 * z[1]];
        lines[k].setAttribute("d", gone ? "" : flow.curve([far, complex ? z : [2 * z[0], 2 * z[1]]]));
        vector.hide(gone);
        const degrees = state.angles[k] / DEGREE;
        const what = complex ? ["real part", "imaginary part"][k] : state.kind === "real" ? `eigenvector ${k + 1}` : "the only eigenvector";
        vector.element.setAttribute("aria-label", `Direction ${names[k]}, ${what}`);
        vector.put(z, names[k], degrees, `${number(degrees, 0)} degrees`, [z[0] * 13, -z[1] * 13]);
      });
    }

    function drawValues() {
      values.forEach((mark, k) => {
        const [re, im] = eigenvalue(k);
        const gone = state.kind === "defective" && k === 1;
        const title = state.kind === "defective" ? "\u03bb (twice)" : ["\u03bb\u2081", "\u03bb\u2082"][k];
        mark.hide(gone);
        mark.element.setAttribute("aria-label", `Eigenvalue ${state.kind === "defective" ? "of both" : k + 1}, in the complex plane`);
        mark.put([re, im], title, re, eigenvalueInWords([re, im]), k && state.kind === "real" ? [0, 26] : im < 0 ? [0, 26] : [0, -22]);
      });
    }

    function draw() {
      const { path, before, here, turned } = trajectory();
      const E = exponential(state.A, state.t);
      const [title, what] = behaviour(state, state.A);
      name.textContent = title;
      meaning.textContent = what;
      kinds.set(state.kind);
      time.set(state.t.toFixed(2));
      entries.forEach((entry, i) => {
        write(entry, state.A[i]);
        entry.setAttribute("aria-invalid", "false");
      });
      shown.forEach((box, i) => (box.textContent = number(E[i], 3)));
      moved.setAttribute("aria-label", `exp of A t at t = ${number(state.t)}: ${matrixInWords(E)}`);
      drawPlane();
      drawValues();
      drawVectors();
      paintArrows((z) => apply(state.A, z));
      future.setAttribute("d", flow.curve(path));
      past.setAttribute("d", flow.curve(before));
      now.setAttribute("display", drawable(here) ? "inline" : "none");
      if (drawable(here)) now.setAttribute("transform", `translate(${flow.x(here[0])} ${flow.y(here[1])})`);
      cell.put(state.z0, "start", state.z0[0], point(state.z0), [0, -20]);
      note.textContent = state.note;
      words.say(
        `${title}. ${spectrumInWords()} The cell that starts at ${point(state.z0)} is at ${point(here)} at time ${number(state.t)}` +
          (Math.max(...here.map(Math.abs)) > flow.reach ? ", outside the picture" : "") +
          (Number.isNaN(turned) ? "." : `; its direction has turned by ${number(Math.abs(turned) / DEGREE, 0)}\u00b0` + limit()),
      );
      root.dataset.kind = state.kind;
      Object.assign(state, { E, here, turned, name: title });
    }

    const limit = () => (state.kind === "complex" ? "." : " (with real eigenvalues never 180\u00b0 or more).");

    /* An entry that already says x stays as it was typed: "0." is about to become 0.25. */
    function write(entry, x) {
      if (entry.valueAsNumber === x) return;
      const short = Math.abs(x) < 1e4 ? tidy(Number(x.toFixed(3))) : Number(x.toPrecision(5));
      entry.value = String(short === 0 ? 0 : short);
    }

    load("two speeds");
    return () => JSON.parse(JSON.stringify(state));
  }

  // ------------------------------------------------------------------ figure 2: a blend of local operators

  const HORIZON = 4;
  const FINE = 1024;
  const COLOURS = ["blue", "orange", "green"];

  function blendFigure(root) {
    const first = () => ({
      anchors: [
        { at: [-1.2, 0.8], kind: "turn right" },
        { at: [1.2, 0.3], kind: "saddle" },
        { at: [0.9, -1.2], kind: "spiral in" },
      ],
      count: 2,
      width: 0.8,
      n: 4,
      z0: [-1.7, -0.6],
    });
    const state = first();
    const view = picture("Plane with anchors and the path of one cell", 440, 440, 2.2);

    const words = readout();
    const howMany = choice("Anchors", { 2: "two", 3: "three" }, (value) => change({ count: Number(value) }));
    const stepSlider = slider("steps", { min: 1, max: 64, step: 1 }, (x) => String(x), (x) => change({ n: x }));
    const width = slider("blend width", { min: 0.2, max: 2.5, step: 0.05 }, (x) => number(Number(x)), (x) => change({ width: x }));
    const menus = COLOURS.map((colour, k) => {
      const id = unique();
      const menu = make("select", { id }, ...Object.keys(LOCAL).map((kind) => make("option", { value: kind }, kind)));
      menu.addEventListener("change", () => {
        state.anchors[k].kind = menu.value;
        draw();
      });
      const label = make("label", { for: id }, make("span", { class: `cl-key cl-${["one", "two", "three"][k]}`, "aria-hidden": "true" }), `anchor ${k + 1}`);
      return { menu, row: make("div", { class: "cl-menu" }, label, menu) };
    });
    const rows = ["cl-dashed", "cl-stepped", "cl-true"].map((line) => {
      const what = make("th", { scope: "row" });
      const [where, off] = [make("td"), make("td")];
      const fill = (text, z, far) => {
        what.replaceChildren(make("span", { class: `cl-stroke ${line}`, "aria-hidden": "true" }), text);
        where.textContent = point(z);
        off.textContent = far;
      };
      return { row: make("tr", {}, what, where, off), fill };
    });
    const heads = ["path", `at time ${HORIZON}`, "off by"].map((text) => make("th", { scope: "col" }, text));
    const ends = make("table", { class: "cl-ends" }, make("thead", {}, make("tr", {}, ...heads)), make("tbody", {}, ...rows.map(({ row }) => row)));

    root.append(
      make(
        "div",
        { class: "cl-columns" },
        make("div", { class: "cl-main" }, view.svg),
        make(
          "div",
          { class: "cl-aside" },
          stepSlider.row,
          width.row,
          howMany.box,
          ...menus.map(({ row }) => row),
          ends,
          make("div", {}, button("Start again", () => change(first()))),
        ),
      ),
      words.aloud,
    );

    const ground = view.layer();
    axes(view, ground);
    const tint = (z) => {
      const w = weights(z, anchors(), state.width);
      const parts = w.map((x, k) => [x, `var(--cl-${["one", "two", "three"][k]})`]);
      let [share, colour] = parts[0];
      for (const [x, next] of parts.slice(1)) {
        const total = share + x;
        colour = `color-mix(in srgb, ${colour} ${total > 0 ? Math.round((100 * share) / total) : 50}%, ${next})`;
        share = total;
      }
      return colour;
    };
    const paintArrows = arrows(view, view.layer(), 15, tint);
    const over = view.layer();
    const glyphs = COLOURS.map((_, k) => over.appendChild(make("g", { class: `cl-glyph cl-${["one", "two", "three"][k]}` })));
    const fine = over.appendChild(make("path", { class: "cl-path cl-true" }));
    const one = over.appendChild(make("path", { class: "cl-path cl-dashed" }));
    const path = over.appendChild(make("path", { class: "cl-path cl-stepped" }));
    const dots = over.appendChild(make("path", { class: "cl-dots" }));

    const marks = COLOURS.map((colour, k) =>
      handle(view, `Anchor ${k + 1}, ${colour}`, `cl-anchor cl-${["one", "two", "three"][k]}`, {
        move: (z) => moveAnchor(k, z),
        key: (arrow, big) => moveAnchor(k, shifted(state.anchors[k].at, arrow, big)),
      }),
    );
    const cell = handle(view, "Start cell", "cl-cell", {
      move: (z) => change({ z0: inside(z) }),
      key: (arrow, big) => change({ z0: inside(shifted(state.z0, arrow, big)) }),
    });

    const anchors = () => state.anchors.slice(0, state.count);
    const inside = (z) => z.map((x) => clip(x, view.reach - 0.1));
    const shifted = (z, arrow, big) => z.map((x, i) => tidy(x + arrow[i] * (big ? 0.5 : 0.1)));

    function moveAnchor(k, z) {
      state.anchors[k].at = inside(z);
      draw();
    }

    function change(what) {
      Object.assign(state, what);
      draw();
    }

    /* A small picture of a local operator: how it moves a ring of cells around ITS OWN centre. */
    function drawGlyph(glyph, { at, kind }) {
      const [x, y] = [view.x(at[0]), view.y(at[1])];
      const parts = [make("circle", { cx: x, cy: y, r: 40 })];
      for (let i = 0; i < 8; i++) {
        const z = direction((i + 0.5) * 45 * DEGREE);
        const v = apply(LOCAL[kind], z);
        const speed = Math.hypot(...v);
        if (speed > 0) parts.push(make("path", { d: arrow(x + 27 * z[0], y - 27 * z[1], v[0] / speed, -v[1] / speed, 6 + 10 * Math.min(1, speed)) }));
      }
      glyph.replaceChildren(...parts);
    }

    /* The steps as the curves that they are: within a step the frozen operator moves the cell. */
    function curves(cells) {
      const dt = HORIZON / (cells.length - 1);
      const parts = Math.max(2, Math.ceil(128 / (cells.length - 1)));
      return cells.slice(0, -1).flatMap((z, i) => {
        const A = blend(z, anchors(), state.width);
        return Array.from({ length: parts }, (_, j) => apply(exponential(A, (dt * j) / parts), z)).concat(i === cells.length - 2 ? [cells.at(-1)] : []);
      });
    }

    function draw() {
      const cells = steps(state.z0, anchors(), state.width, HORIZON, state.n);
      const single = steps(state.z0, anchors(), state.width, HORIZON, 1);
      const truth = finePath(state.z0, anchors(), state.width, HORIZON, FINE);
      const [end, endOne, endFine] = [cells, single, truth].map((p) => p.at(-1));
      const apart = distance(end, endFine);

      howMany.set(state.count);
      stepSlider.set(state.n);
      width.set(state.width.toFixed(2));
      paintArrows((z) => apply(blend(z, anchors(), state.width), z));
      state.anchors.forEach((anchor, k) => {
        const gone = k >= state.count;
        menus[k].row.hidden = gone;
        menus[k].menu.value = anchor.kind;
        marks[k].hide(gone);
        glyphs[k].style.display = gone ? "none" : "";
        drawGlyph(glyphs[k], anchor);
        marks[k].put(anchor.at, String(k + 1), anchor.at[0], `${point(anchor.at)}, ${anchor.kind}`, [0, 0]);
      });
      fine.setAttribute("d", view.curve(truth));
      one.setAttribute("d", state.n > 1 ? view.curve(curves(single)) : "");
      path.setAttribute("d", view.curve(curves(cells)));
      dots.setAttribute("d", cells.filter(drawable).map((z) => dot(view.x(z[0]), view.y(z[1]))).join(""));
      cell.put(state.z0, "start", state.z0[0], point(state.z0), [0, 28]);

      rows[0].fill("1 step", endOne, number(distance(endOne, endFine), 3));
      rows[0].row.hidden = state.n === 1; // the line of the steps is that one step
      rows[1].fill(state.n === 1 ? "1 step" : `${state.n} steps`, end, number(apart, 3));
      rows[2].fill("true path", endFine, "");
      words.say(
        `In time ${HORIZON} the cell goes from ${point(state.z0)} to ${point(endOne)} with one frozen operator and to ${point(end)} ` +
          `with ${state.n} ${state.n === 1 ? "step" : "steps"}; these ends lie ${number(distance(endOne, end))} apart. ` +
          `The true path ends at ${point(endFine)}, ${number(apart, 3)} from the end of the steps.`,
      );
      Object.assign(state, { horizon: HORIZON, end, endOne, endFine, apart, operators: anchors().map(({ kind }) => LOCAL[kind]) });
    }

    draw();
    return () => JSON.parse(JSON.stringify(state));
  }

  // ------------------------------------------------------------------ on the page

  /* A page without the book's theme follows the system: the same attribute, so the same style sheet. */
  function followSystem() {
    const page = document.documentElement;
    if (page.dataset.theme || page.dataset.mode !== undefined) return;
    const dark = window.matchMedia("(prefers-color-scheme: dark)");
    const set = () => (page.dataset.theme = dark.matches ? "dark" : "light");
    dark.addEventListener("change", set);
    set();
  }

  const DRAW = { operator: operatorFigure, blend: blendFigure };
  const figures = [];

  function mount() {
    followSystem();
    for (const element of document.querySelectorAll("[data-live]")) {
      const name = element.dataset.live;
      if (element.dataset.ready || !DRAW[name]) continue;
      element.dataset.ready = "yes";
      figures.push({ name, element, state: DRAW[name](element) });
    }
  }

  window.cellmnnLive = { expm2, figures, toMatrix, toSpectrum };
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", mount);
  else mount();
})();
