"use strict";
const $ = id => document.getElementById(id);
const study = JSON.parse($("study").textContent);
const { mode, images } = study;
const frame = $("frame"), marks = $("marks");
const draws = ["click", "box", "scribble"].includes(mode);
const clock = () => performance.timeOrigin + performance.now(); // ms since 1970 that never go back while the page is open
let observer = "", at = -1, image = null, record = null;
let since = null; // performance clock; null while nothing is shown
let label = 1, drawing = null, pointer = null, again = null, saved = false;

// One entry of the local storage for each image and observer, so that every mark is kept at once.
const memory = new Map(); // what the storage refused
const slot = n => `fovea-collect/${study.key}/${observer}/${n}`;
function stored(n) {
  try { return JSON.parse(memory.get(slot(n)) ?? localStorage.getItem(slot(n))); } catch { return null; }
}
function keep() {
  if (at < 0) return;
  tally();
  saved = false;
  const text = JSON.stringify(record);
  try { localStorage.setItem(slot(at), text); memory.delete(slot(at)); } catch {
    memory.set(slot(at), text);
    remind();
  }
}
const records = () => images.map((each, n) => [each, stored(n)]).filter(([, found]) => found?.done);
const undone = () => { const n = images.findIndex((each, n) => !stored(n)?.done); return n < 0 ? images.length : n; };

function view(name) { document.body.dataset.view = name; }
function remind() {
  if (memory.size) hint("This browser cannot keep more. Before you close the page, press Pause and save.", true);
  else hint(at < 0 ? `Practice, not saved. ${study.task}` : study.task);
}
function hint(text, loud = false) { $("hint").textContent = text; $("hint").classList.toggle("loud", loud); }

// Time runs only while the image is shown.
function run() {
  view("work"); place(); window_at(null); draw();
  since = performance.now();
  record.start ??= Math.round(clock());
  if (mode === "screen") requestAnimationFrame(() => requestAnimationFrame(() => { // the frame after the one that has the image
    if (since !== null) record.shown.push([...onScreen(), clock(), null, performance.now(), null]);
  }));
}
function tally() {
  if (since === null) return;
  const now = performance.now();
  record.seconds += (now - since) / 1000;
  since = now;
}
function stop() {
  if (since === null) return;
  draws ? keep() : tally(); // in the other modes an image that was left starts again
  since = drawing = pointer = null;
  const last = record.shown.at(-1);
  if (last && last[9] === null) { last[7] = clock(); last[9] = performance.now(); last.splice(0, 6, ...same(last)); }
}
// The rectangle and the screen in its pixels, known only in full screen (screen.width has another unit where the page is zoomed).
function onScreen() {
  const box = frame.getBoundingClientRect(), ratio = devicePixelRatio, wide = ratio * document.body.getBoundingClientRect().width;
  if (!document.fullscreenElement) return Array(6).fill("");
  return [...[box.left, box.top, box.width, box.height].map(value => Math.round(value * ratio * 10) / 10),
    Math.round(wide), Math.round(wide * screen.height / screen.width)];
}
const same = row => row.slice(0, 6).every((value, i) => value === onScreen()[i]) ? row.slice(0, 6) : Array(6).fill("");

async function show(n) {
  [at, image, since, label] = [n, n < 0 ? study.practice : images[n], null, 1];
  record = (n >= 0 && stored(n)) || { seconds: 0, start: null, marks: [], samples: [], shown: [], done: false };
  record.done = false; // also of an image that is opened again, until Next
  $("soft").src = image.src;
  if (!await opens(image, $("sharp")))
    return rest("An image cannot be opened", `${image.name}: put ${image.src.slice(0, 40)} back beside this page.`, () => show(n));
  if (at !== n) return;
  remind();
  $("count").textContent = n < 0 ? "practice" : `${n + 1} of ${images.length}`;
  $("bar").firstChild.style.width = `${100 * Math.max(n, 0) / images.length}%`;
  choose(1); run();
  if (images[n + 1]) new Image().src = images[n + 1].src; // in the cache when it is needed
}
function next() {
  if (since === null || drawing) return;
  const classes = new Set(record.marks.map(mark => mark.c));
  if (mode === "scribble" && classes.size === 1)
    return hint(`Also draw ${classes.has(1) ? "on the background" : `in the ${study.structure}`}, or undo.`, true);
  stop();
  record.done = true;
  keep();
  at + 1 < images.length ? show(at + 1) : finish();
}
function rest(title, text, then) {
  stop();
  again = then;
  $("rest-title").textContent = title;
  $("rest-text").textContent = text;
  $("save-now").disabled = !records().length;
  view("rest");
}
const done = () => `${records().length} of ${images.length} images are done.`;
const pause = () => since !== null && rest("Pause", done(), run);
const resume = async () => { if (mode === "screen") await full(); again?.(); };
const full = () => document.documentElement.requestFullscreen?.().catch(() => {});

function finish() {
  const all = records().map(([, each]) => each), seconds = all.reduce((sum, each) => sum + each.seconds, 0);
  const bare = all.filter(({ marks, samples, shown }) => !marks.length && !samples.length && !shown.length).length;
  $("summary").textContent = `${images.length} images${bare ? `, ${bare} of them not labeled` : ""}, ${(seconds / 60).toFixed(1)} min.`;
  $("command").textContent = study.next.join("\n").replaceAll("{file}", file());
  view("end");
  if (document.fullscreenElement) document.exitFullscreen().catch(() => {});
}

// Geometry: the long side has the stated size, less only in a small window.
function place() {
  const { width, height } = image, around = mode === "screen" ? 0 : $("hint").offsetHeight + $("next").parentNode.offsetHeight + 12;
  const scale = Math.min(study.size / Math.max(width, height), (innerWidth - (around && 16)) / width, (innerHeight - around) / height);
  const share = scale * Math.max(width, height) / study.size;
  frame.style.width = `${width * scale}px`;
  frame.style.height = `${height * scale}px`;
  frame.style.setProperty("--radius", `${study.radius * share}px`);
  frame.style.setProperty("--blur", `${study.blur * share}px`);
  marks.setAttribute("viewBox", `0 0 ${width} ${height}`);
}
const stated = () => study.size / Math.max(image.width, image.height);
function spot(event) { // in pixels of the image
  const box = frame.getBoundingClientRect(), inside = (value, side) => Math.round(10 * Math.min(Math.max(value, 0), side)) / 10;
  return [inside((event.clientX - box.left) / box.width * image.width, image.width),
    inside((event.clientY - box.top) / box.height * image.height, image.height)];
}

// Reveal: a window at the pointer, and its place at equal times, also at rest.
function window_at(event) {
  pointer = event && spot(event);
  const [x, y] = pointer ?? [-9 * image.width, 0];
  frame.style.setProperty("--x", `${100 * x / image.width}%`);
  frame.style.setProperty("--y", `${100 * y / image.height}%`);
}
if (mode === "reveal") {
  for (const name of ["pointerdown", "pointermove"]) frame.addEventListener(name, event => since !== null && window_at(event));
  for (const name of ["pointerleave", "pointercancel"]) frame.addEventListener(name, () => window_at(null));
  addEventListener("pointerup", event => event.pointerType === "touch" && window_at(null));
  setInterval(() => {
    if (since === null || !pointer) return;
    const [x, y] = pointer.map(value => Math.round(10 * value * stated()) / 10);
    record.samples.push(Math.round(clock() - record.start), x, y);
  }, study.interval);
}

// Click, box, scribble: a mark follows the pointer until it is released.
if (draws) {
  frame.addEventListener("contextmenu", event => event.preventDefault());
  frame.addEventListener("pointerdown", event => {
    if (since === null || drawing || event.button > 2 || event.button === 1) return;
    event.preventDefault();
    const c = mode === "box" ? 1 : event.button === 2 ? 0 : label;
    drawing = { id: event.pointerId, c, w: Math.round(10 * study.brush / stated()) / 10, p: [spot(event)] };
    draw();
  });
  addEventListener("pointermove", event => {
    if (drawing?.id !== event.pointerId) return;
    const point = spot(event);
    if (mode === "scribble") { if (`${point}` !== `${drawing.p.at(-1)}`) drawing.p.push(point); }
    else drawing.p = mode === "click" ? [point] : [drawing.p[0], point];
    draw();
  });
  addEventListener("pointerup", event => {
    if (drawing?.id !== event.pointerId) return;
    const { c, w, p } = drawing, [first, last] = [p[0], p.at(-1)];
    drawing = null;
    const thin = Math.min(Math.abs(first[0] - last[0]), Math.abs(first[1] - last[1])) * stated() < 4; // an accident
    if (mode === "box" && thin) hint("This box is too thin and was not kept. Drag from one corner to the opposite one.", true);
    else { record.marks.push({ c, w, p }); remind(); keep(); }
    draw();
  });
  addEventListener("pointercancel", event => { if (drawing?.id === event.pointerId) { drawing = null; draw(); } });
}
function undo() {
  if (since === null || drawing) return;
  if (record.marks.pop()) { keep(); draw(); }
  else if (at > 0) { stop(); show(at - 1); } // which was left too early
}
function choose(c) {
  label = c;
  for (const each of [0, 1]) $(`class-${each}`).setAttribute("aria-pressed", String(each === c));
}
function draw() {
  marks.replaceChildren();
  $("undo").disabled = !record.marks.length && at < 1;
  const add = (tag, classes, attributes) => {
    const part = document.createElementNS("http://www.w3.org/2000/svg", tag);
    part.setAttribute("class", classes);
    for (const [name, value] of Object.entries(attributes)) part.setAttribute(name, value);
    marks.append(part);
  };
  for (const { c, w, p } of [...record.marks, ...(drawing ? [drawing] : [])]) {
    const kind = c ? "" : " zero", [[x, y]] = p, [x1, y1] = p.at(-1), r = 9 / stated();
    const box = { x: Math.min(x, x1), y: Math.min(y, y1), width: Math.abs(x1 - x), height: Math.abs(y1 - y) };
    for (const layer of ["halo", "mark"]) {
      if (mode === "click" && c) add("circle", layer + kind, { cx: x, cy: y, r });
      if (mode === "click" && !c) add("rect", layer + kind, { x: x - r * .8, y: y - r * .8, width: r * 1.6, height: r * 1.6 });
      if (mode === "box") add("rect", layer, box);
    }
    if (mode === "scribble") add("polyline", `stroke${kind}`, { points: [...p, p.at(-1)].join(" "), "stroke-width": w });
  }
}

// The file.
const cell = value => /[",\r\n]/.test(value) ? `"${String(value).replaceAll('"', '""')}"` : value;
function file() {
  const who = observer.match(/[\p{L}\p{M}\p{N}_]+/gu)?.join("-");
  return `${study.file}${who ? `_${who}` : ""}.${mode === "scribble" ? "json" : "csv"}`;
}
const sides = ({ width, height }) => [width, height].map(side => Math.round(side * study.size / Math.max(width, height) * 10) / 10);
const edges = ([[x, y], [u, v]]) => [Math.min(x, u), Math.min(y, v), Math.max(x, u), Math.max(y, v)];
const rows = {
  click: (name, { marks, seconds }) => marks.map(({ c, p }) => [name, ...p[0], c, observer, seconds.toFixed(1)]),
  box: (name, { marks, seconds }) => marks.map(({ p }) => [name, ...edges(p), observer, seconds.toFixed(1)]),
  reveal: (name, { samples, start }, each) => Array.from({ length: samples.length / 3 }, (_, i) =>
    [name, observer, start + samples[3 * i], samples[3 * i + 1], samples[3 * i + 2], 0, 0, ...sides(each)]),
  screen: (name, { shown }) => shown.filter(row => row[9] !== null).map(row =>
    [name, observer, ...row.slice(0, 6), ...row.slice(6).map(time => time.toFixed(1))]),
};
function content() {
  if (mode !== "scribble") {
    const table = records().flatMap(([each, found]) => rows[mode](each.name, found, each));
    return [study.columns, ...table].map(row => row.map(cell).join(",")).join("\n") + "\n";
  }
  const listed = records().map(([{ name, width, height }, { seconds, marks }]) => ({
    image: name, width, height, seconds: Number(seconds.toFixed(1)), strokes: marks.map(({ c, w, p }) => ({ class: c, width: w, points: p })) }));
  return JSON.stringify({ format: "fovea-collect scribbles 1", observer, images: listed });
}
function save() {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([content()], { type: mode === "scribble" ? "application/json" : "text/csv" }));
  link.download = file();
  link.click();
  saved = true;
}

// Start.
const name = () => $("observer").value.trim();
function announce() {
  observer = name();
  const n = undone();
  $("go").textContent = n === 0 ? "Start" : n < images.length ? "Continue" : "Go to the end";
  $("progress-note").textContent = n === 0 ? `${images.length} images${study.practice ? ", after one for practice" : ""}.` : done();
}
async function begin(event) {
  event.preventDefault();
  observer = name();
  document.activeElement?.blur();
  if (mode === "screen") await full();
  await go();
}
function go() {
  const n = undone();
  return n === images.length ? finish() : show(n === 0 && study.practice && !stored(0) ? -1 : n);
}
const opens = ({ src }, part = new Image()) => new Promise(ready => Object.assign(part, { onload: () => ready(true), onerror: () => ready(false), src }));
async function check() {
  const found = await Promise.all(images.map(each => opens(each))), gone = images.filter((_, n) => !found[n]);
  if (!gone.length) return;
  const few = gone.slice(0, 5).map(({ name, src }) => `${src} (${name})`).join(", ");
  $("progress-note").textContent = `${gone.length} of ${images.length} images cannot be opened: ${few}${gone.length > 5 ? ", …" : ""}. Put them back beside this page, and reload it.`;
  $("progress-note").style.color = "var(--one)";
  $("go").disabled = true;
}
$("observer").addEventListener("input", announce);
$("begin").addEventListener("submit", begin);
const press = { next, back: () => show(images.length - 1), undo, pause, resume, save, "save-now": save, "class-1": () => choose(1), "class-0": () => choose(0),
  forget() {
    if (!confirm("Delete all labels of this page and this name from the browser?")) return;
    images.forEach((_, n) => localStorage.removeItem(slot(n)));
    memory.clear();
    announce();
    view("start");
  } };
for (const [id, action] of Object.entries(press)) $(id).addEventListener("click", () => { document.activeElement?.blur(); action(); });
addEventListener("keydown", event => {
  const shown = document.body.dataset.view, key = event.code === "Space" ? " " : event.key.toLowerCase();
  if (key === " " && event.target.closest?.("button")) return; // which the key presses
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || !["work", "rest"].includes(shown)) return;
  const action = shown === "rest" ? { p: resume, " ": resume }[key] : { " ": next, u: draws && undo, p: pause, c: draws && (() => choose(1 - label)) }[key];
  if (action) { event.preventDefault(); action(); }
});
addEventListener("resize", () => image && place());
document.addEventListener("visibilitychange", () => document.hidden && pause());
document.addEventListener("fullscreenchange", () => mode === "screen" && !document.fullscreenElement && since !== null &&
  rest("Not in full screen", "The place of the image on the screen is known only in full screen.", run));
addEventListener("storage", event => { // of another tab of this page, which has labeled the image that is open here
  if (at < 0 || event.key !== slot(at) || !["work", "rest"].includes(document.body.dataset.view)) return;
  since = drawing = pointer = null; // what is here must not replace what is there
  rest("This name labels in another tab", "Close the other tab before you continue here, or use another name in it.", go);
});
addEventListener("beforeunload", event => memory.size && !saved && event.preventDefault());
announce();
if (!study.embedded) check();
