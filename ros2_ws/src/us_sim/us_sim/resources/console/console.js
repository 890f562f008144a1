// The scanner's screen: shows what the viewer sends, and sends what the user does. All measuring is the viewer's.
import { KEYS, wish } from "./keys.js";
import { drawInto, shape } from "./marks.js";
import { follow } from "./pad.js";
import { inSoftware, spare } from "./sparing.js";

const $ = (id) => document.getElementById(id);
const body = document.body, image = $("image"), marks = $("marks"), stage = $("stage"), scrub = $("scrub");
let state = {}, socket = null, flip = 1, upright = 1, zoom = 1, shift = [0, 0], held = null;

function send(message) {
  if (socket && socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify(message));
}

function connect() {
  socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/screen${slow ? "?sparing" : ""}`);
  socket.binaryType = "arraybuffer";
  socket.onopen = () => {
    if (location.hash.length > 1 && window.confirm("Move the probe to the pose of this link, with its settings?"))
      send({ do: "restore", link: location.hash.slice(1) });  // asked, for any site may link here
    history.replaceState(null, "", location.pathname + location.search);
    if (localStorage.getItem("light") === "yes") send({ do: "light", on: true });
  };
  socket.onmessage = ({ data }) => (typeof data === "string" ? show(JSON.parse(data)) : picture(data));
  socket.onclose = () => {
    show({ ...state, mode: "lost", badge: "CONNECTION LOST", mover: "", rate: "",
      note: "The viewer does not answer. Is it still running?" });
    setTimeout(connect, 1000);
  };
}

const PICTURES = [image, $("strip"), $("other")];  // by the first byte: B-mode, M-mode, what it is compared with
const slow = inSoftware(), PACE = slow ? 140 : 0;  // ms from a picture that is drawn to the wish for the next

// Draws a picture, and asks for the next when that is done: a page that is slow is not flooded.
async function picture(data) {
  const canvas = PICTURES[new Uint8Array(data, 0, 1)[0]];
  try {
    const drawn = await createImageBitmap(new Blob([new Uint8Array(data, 1)], { type: "image/jpeg" }));
    if (canvas.width !== drawn.width || canvas.height !== drawn.height)
      [canvas.width, canvas.height] = [drawn.width, drawn.height];
    canvas.getContext("2d", { alpha: false }).drawImage(drawn, 0, 0);
    drawn.close();
  } finally {
    if (canvas === image) setTimeout(() => send({ do: "next" }), PACE);
  }
}

function flag(name, value) {
  if (value) body.dataset[name] = value;
  else delete body.dataset[name];
}

function show(next) {
  const before = state;
  state = next;
  body.dataset.mode = state.mode;
  flag("tool", state.tool);
  flag("m", state.m && state.m.length ? "on" : "");
  flag("compare", state.compare);
  flag("light", state.light ? "on" : "");
  $("names").textContent = state.compare ? `${(state.patient || "").split(", ").pop()} | ${state.compare}` : "";
  if (JSON.stringify(before.body) !== JSON.stringify(state.body)) showProbe(state.body);
  for (const [id, text] of [["badge", state.badge], ["patient", state.patient], ["mover", state.mover],
    ["rate", state.rate], ["note", state.note]]) if ($(id).textContent !== (text || "")) $(id).textContent = text || "";
  for (const id of ["contact", "organs"]) if (before[id] !== state[id]) $(id).innerHTML = state[id] || "";
  if (state.shape) document.documentElement.style.setProperty("--shape", state.shape);
  const cine = state.cine || { count: 0, place: 0 };
  scrub.max = Math.max(0, cine.count - 1);
  if (document.activeElement !== scrub || held !== "scrub") scrub.value = cine.place;
  scrub.disabled = !state.frozen;
  $("time").textContent = state.frozen && cine.count ? `${cine.seconds.toFixed(1)} s` : "";
  for (const button of document.querySelectorAll("button[data-do]")) {
    const what = button.dataset.do;
    const on = { freeze: state.frozen, play: cine.playing, m: body.dataset.m, tool: state.tool === button.dataset.name }[what];
    if (what !== "wipe") button.setAttribute("aria-pressed", Boolean(on));
    if (what === "play") button.disabled = !state.frozen;
  }
  const drawn = ({ marks: some, saved, m, ruler, m_ruler }) => JSON.stringify([some, saved, m, ruler, m_ruler]);
  if (drawn(before) !== drawn(state)) draw(before);
}

const figure = await (await fetch("body.json")).json();  // what saved pictures are drawn with, too

function showBody() {
  const { size, torso, inside, half, dot } = figure, probe = shape("g", { id: "probe" });
  probe.append(shape("polyline", { points: `${-half},0 ${half},0` }), shape("circle", { cx: -half, r: dot }));
  $("body").setAttribute("viewBox", `0 0 ${size.join(" ")}`);
  $("body").append(...[torso, ...inside].map((line) => shape("polyline", { points: line.join(" ") })), probe);
}

function showProbe(at) {  // on the body mark: its place, and a dot at the image's left
  $("body").style.display = at ? "" : "none";
  if (!at) return;
  const [u, v, angle] = at, [x, y] = figure.place, [width, height] = figure.extent;
  const turned = 180 + (angle * 180) / Math.PI;
  $("probe").setAttribute("transform", `translate(${x + width * u} ${y + height * v}) rotate(${turned})`);
}

// -- callipers --------------------------------------------------------------------------------------------------

const at = (points, width, height) => points.map(([u, v]) => `${u * width},${v * height}`).join(" ");

function draw(before) {
  const all = state.marks || [], onStrip = all.filter((mark) => mark.strip), lines = [];
  drawInto(marks, state.ruler, all.filter((mark) => !mark.strip), (width, height) => [
    shape("circle", { cx: 13, cy: 13, r: 5, class: "marker" }),  // the marker's side
    ...(state.m && state.m.length ? [shape("polyline", { points: at(state.m, width, height), class: "m" })] : []),
  ], flip, upright);
  drawInto($("strip-marks"), state.m_ruler, onStrip);
  for (const mark of all) if (mark.measures && mark.text) lines.push(`${mark.number}  ${mark.text}`);
  const results = lines.map((line) => Object.assign(document.createElement("span"), { textContent: line }));
  for (const name of state.saved || []) {
    const link = Object.assign(document.createElement("a"), { href: `saved/${name}`, download: name, textContent: name });
    results.push(link);
    if (before.saved && !before.saved.includes(name)) link.click();
  }
  $("results").replaceChildren(...results);
}

function shareOf(event, canvas) {  // where a pointer is, as shares of a picture's width and height
  const box = canvas.getBoundingClientRect();
  return { u: (event.clientX - box.x) / box.width, v: (event.clientY - box.y) / box.height };
}

function place(event) {
  const { u, v } = shareOf(event, image);
  return { u: flip > 0 ? u : 1 - u, v: upright > 0 ? v : 1 - v };
}

const screen = $("screen");
screen.addEventListener("contextmenu", (event) => event.preventDefault());
screen.addEventListener("pointerdown", (event) => {
  screen.setPointerCapture(event.pointerId);
  held = event.button === 2 || (!state.tool && zoom > 1) ? [event.clientX - shift[0], event.clientY - shift[1]] : "mark";
  if (held === "mark" && (state.tool || body.dataset.m)) send({ do: "point", phase: "down", ...place(event) });
});
screen.addEventListener("pointermove", (event) => {
  if (Array.isArray(held)) {
    shift = [event.clientX - held[0], event.clientY - held[1]];
    turn();
  } else if (state.tool ? held || state.follow : body.dataset.m && held) send({ do: "point", phase: "move", ...place(event) });
});
screen.addEventListener("pointerup", (event) => {
  if (held === "mark" && state.tool) {
    send({ do: "point", phase: "up", ...place(event) });
    if (state.tool === "arrow" || state.tool === "text") setTimeout(() => {
      send({ do: "annotate", text: (window.prompt("Text", "") || "").slice(0, 80) });
    }, 200);
  }
  held = null;
});
screen.addEventListener("wheel", (event) => { event.preventDefault(); own[event.deltaY < 0 ? "zoomIn" : "zoomOut"](); }, { passive: false });

for (const [kind, phase] of [["pointerdown", "down"], ["pointermove", "move"], ["pointerup", "up"]])
  $("strip").addEventListener(kind, (event) => {  // time and depth on the M-mode strip
    if (phase === "down") $("strip").setPointerCapture(event.pointerId);
    if (state.tool && (phase !== "move" || event.buttons)) send({ do: "point_strip", phase, ...shareOf(event, $("strip")) });
  });

// -- what the page does itself -------------------------------------------------------------------------------------

function turn() {
  stage.style.transform = `translate(${shift[0]}px, ${shift[1]}px) scale(${flip * zoom}, ${upright * zoom})`;
}

function copied(text) {  // the clipboard needs a secure page: localhost is one, another address is not
  if (navigator.clipboard) navigator.clipboard.writeText(text);
  else window.prompt("Link to this pose and these settings", text);
}

function said(words) {
  const line = Object.assign(document.createElement("span"), { textContent: words });
  $("results").append(line);
  setTimeout(() => line.remove(), 3000);
}

let frames = [], number = 0;  // real ones, which stay in the browser

function real(step) {
  if (!step) frames = [];
  number = frames.length ? (number + step + frames.length) % frames.length : 0;
  flag("real", frames.length ? "on" : "");
  const shown = $("real").querySelector("img"), before = shown.src;
  if (frames.length) shown.src = URL.createObjectURL(frames[number]);
  else shown.removeAttribute("src");
  if (before.startsWith("blob:")) URL.revokeObjectURL(before);
  $("real").querySelector("span").textContent = frames.length ? `${frames[number].name}, ${number + 1} of ${frames.length}` : "";
  draw(state);
}

const own = {
  real() { frames.length ? real(0) : $("files").click(); },
  before() { if (frames.length) real(-1); },
  after() { if (frames.length) real(1); },
  link() { copied(`${location.origin}${location.pathname}#${state.link || ""}`); said("link copied"); },
  light() {
    localStorage.setItem("light", state.light ? "no" : "yes");
    send({ do: "light", on: !state.light });
  },
  full() { document.fullscreenElement ? document.exitFullscreen() : $("scanner").requestFullscreen(); },
  flip() { flip = -flip; turn(); draw(state); },
  turnOver() { upright = -upright; turn(); draw(state); },
  zoomIn() { zoom = Math.min(8, zoom * 1.25); turn(); },
  zoomOut() { zoom = Math.max(1, zoom / 1.25); if (zoom === 1) shift = [0, 0]; turn(); },
  help() { $("help").open ? $("help").close() : $("help").showModal(); },
};

function perform(what) {
  if (typeof what === "string") own[what]();
  else if (what) send(what);
}

function pressed(event) {
  const what = wish(event, state.frozen);
  if (!what || ($("help").open && what !== "help")) return;
  event.preventDefault();
  perform(what);
}

$("help").querySelector("table").append(...KEYS.filter((item) => item.words).map((item) => {
  const row = document.createElement("tr");
  for (const text of [item.shown, item.words]) row.append(Object.assign(document.createElement("td"), { textContent: text }));
  return row;
}));
document.addEventListener("keydown", pressed);
$("view").addEventListener("load", () => {
  $("view").contentDocument.addEventListener("keydown", pressed);
  if (slow) spare($("view").contentWindow);
});
$("view").src = slow ? "view?fixedDpr=0.5" : "view";  // viser draws every second pixel
for (const button of document.querySelectorAll("button[data-do]"))
  button.addEventListener("click", () => send({ do: button.dataset.do, ...(button.dataset.name && { name: button.dataset.name }) }));
for (const button of document.querySelectorAll("button[data-key]")) button.addEventListener("click", () => own[button.dataset.key]());
scrub.addEventListener("pointerdown", () => { held = "scrub"; });
scrub.addEventListener("pointerup", () => { held = null; scrub.blur(); });
scrub.addEventListener("input", () => send({ do: "scrub", place: Number(scrub.value) }));
$("curtain").addEventListener("input", (event) => stage.style.setProperty("--curtain", `${event.target.value}%`));
$("files").addEventListener("change", (event) => {
  frames = [...event.target.files].sort((a, b) => a.name.localeCompare(b.name, undefined, { numeric: true }));
  event.target.value = "";
  number = -1;
  real(1);
});
for (const button of document.querySelectorAll("button[data-real]"))
  button.addEventListener("click", () => real(Number(button.dataset.real)));
for (const inside of [$("curtain"), $("real")]) inside.addEventListener("pointerdown", (event) => event.stopPropagation());
$("save").addEventListener("change", (event) => {
  if (event.target.value) send({ do: "save", kind: event.target.value });
  event.target.value = "";
  event.target.blur();
});
follow(send);
showBody();
for (const part of [stage, $("strip")]) new ResizeObserver(() => draw(state)).observe(part);
connect();
