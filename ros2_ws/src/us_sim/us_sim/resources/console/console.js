// The scanner's screen: shows what the viewer sends, and sends what the user does. All measuring is the viewer's.
import { KEYS, wish } from "./keys.js";

const $ = (id) => document.getElementById(id);
const body = document.body, image = $("image"), marks = $("marks"), stage = $("stage"), scrub = $("scrub");
let state = {}, socket = null, flip = 1, upright = 1, zoom = 1, shift = [0, 0], held = null;

function send(message) {
  if (socket && socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify(message));
}

function connect() {
  socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/screen`);
  socket.binaryType = "blob";
  socket.onmessage = ({ data }) => (typeof data === "string" ? show(JSON.parse(data)) : picture(data));
  socket.onclose = () => {
    show({ ...state, mode: "lost", badge: "CONNECTION LOST", mover: "", rate: "",
      note: "The viewer does not answer. Is it still running?" });
    setTimeout(connect, 1000);
  };
}

function picture(blob) {
  const url = URL.createObjectURL(blob);
  image.onload = () => URL.revokeObjectURL(url);
  image.src = url;
}

function show(next) {
  const before = state;
  state = next;
  body.dataset.mode = state.mode;
  if (state.tool) body.dataset.tool = state.tool;
  else delete body.dataset.tool;
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
    const on = what === "freeze" ? state.frozen : what === "play" ? cine.playing : state.tool === button.dataset.name;
    if (what !== "wipe") button.setAttribute("aria-pressed", Boolean(on));
    if (what === "play") button.disabled = !state.frozen;
  }
  if (JSON.stringify([before.marks, before.saved]) !== JSON.stringify([state.marks, state.saved])) draw(before);
}

// -- callipers --------------------------------------------------------------------------------------------------

function shape(name, attributes, text) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  if (text) node.textContent = text;
  return node;
}

function draw(before) {
  const width = stage.clientWidth, height = stage.clientHeight, shapes = [], lines = [];
  marks.setAttribute("viewBox", `0 0 ${width} ${height}`);
  for (const mark of state.marks || []) {
    const at = ([u, v]) => `${u * width},${v * height}`;
    shapes.push(shape("polyline", { points: mark.line.map(at).join(" ") }));
    for (const [u, v] of mark.ends) {
      const x = u * width, y = v * height;
      shapes.push(shape("polyline", { points: `${x - 6},${y} ${x + 6},${y}` }),
        shape("polyline", { points: `${x},${y - 6} ${x},${y + 6}` }));
    }
    const [u, v] = mark.ends[mark.ends.length - 1];
    const turned = `translate(${u * width} ${v * height}) scale(${flip} ${upright})`;
    shapes.push(shape("text", { x: 9, y: 16, transform: turned }, mark.kind === "arrow" ? mark.text : String(mark.number)));
    if (mark.kind !== "arrow" && mark.text) lines.push(`${mark.number}  ${mark.text}`);
  }
  marks.replaceChildren(...shapes);
  const results = lines.map((line) => Object.assign(document.createElement("span"), { textContent: line }));
  for (const name of state.saved || []) {
    const link = Object.assign(document.createElement("a"), { href: `saved/${name}`, download: name, textContent: name });
    results.push(link);
    if (before.saved && !before.saved.includes(name)) link.click();
  }
  $("results").replaceChildren(...results);
}

function place(event) {
  const box = image.getBoundingClientRect();
  const u = (event.clientX - box.x) / box.width, v = (event.clientY - box.y) / box.height;
  return { u: flip > 0 ? u : 1 - u, v: upright > 0 ? v : 1 - v };
}

const screen = $("screen");
screen.addEventListener("contextmenu", (event) => event.preventDefault());
screen.addEventListener("pointerdown", (event) => {
  screen.setPointerCapture(event.pointerId);
  held = event.button === 2 || (!state.tool && zoom > 1) ? [event.clientX - shift[0], event.clientY - shift[1]] : "mark";
  if (held === "mark" && state.tool) send({ do: "point", phase: "down", ...place(event) });
});
screen.addEventListener("pointermove", (event) => {
  if (Array.isArray(held)) {
    shift = [event.clientX - held[0], event.clientY - held[1]];
    turn();
  } else if (state.tool && (held || state.follow)) send({ do: "point", phase: "move", ...place(event) });
});
screen.addEventListener("pointerup", (event) => {
  if (held === "mark" && state.tool) {
    send({ do: "point", phase: "up", ...place(event) });
    if (state.tool === "arrow") setTimeout(() => {
      const text = window.prompt("Text at the arrow", "");
      if (text) send({ do: "annotate", text: text.slice(0, 80) });
    }, 200);
  }
  held = null;
});
screen.addEventListener("wheel", (event) => { event.preventDefault(); own[event.deltaY < 0 ? "zoomIn" : "zoomOut"](); }, { passive: false });

// -- what the page does itself -------------------------------------------------------------------------------------

function turn() {
  stage.style.transform = `translate(${shift[0]}px, ${shift[1]}px) scale(${flip * zoom}, ${upright * zoom})`;
}

const own = {
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
$("view").addEventListener("load", () => $("view").contentDocument.addEventListener("keydown", pressed));
for (const button of document.querySelectorAll("button[data-do]"))
  button.addEventListener("click", () => send({ do: button.dataset.do, ...(button.dataset.name && { name: button.dataset.name }) }));
for (const button of document.querySelectorAll("button[data-key]")) button.addEventListener("click", () => own[button.dataset.key]());
scrub.addEventListener("pointerdown", () => { held = "scrub"; });
scrub.addEventListener("pointerup", () => { held = null; scrub.blur(); });
scrub.addEventListener("input", () => send({ do: "scrub", place: Number(scrub.value) }));
$("save").addEventListener("change", (event) => {
  if (event.target.value) send({ do: "save", kind: event.target.value });
  event.target.value = "";
  event.target.blur();
});
new ResizeObserver(() => draw(state)).observe(stage);
connect();
