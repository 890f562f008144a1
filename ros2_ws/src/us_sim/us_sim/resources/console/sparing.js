// Where no graphics card draws the 3-D view, the cores that the simulator needs do: it is drawn every other second,
// and at once while somebody works with it.
const REST = 2500, BUSY = 80, AFTER = 1500;  // ms between two pictures; while it is used, and for how long after that
const SETTLE = 200;  // ms from the wish for a picture to it: textures are decoded meanwhile
const SOFTWARE = /swiftshader|llvmpipe|softpipe|software|basic render/i;

export function inSoftware() {
  const gl = document.createElement("canvas").getContext("webgl");
  if (!gl) return true;
  const more = gl.getExtension("WEBGL_debug_renderer_info");
  const name = gl.getParameter(more ? more.UNMASKED_RENDERER_WEBGL : gl.RENDERER);
  const lose = gl.getExtension("WEBGL_lose_context");
  if (lose) lose.loseContext();
  return SOFTWARE.test(name);
}

// Lets a window's animations wait.
export function spare(view) {
  const draw = view.requestAnimationFrame.bind(view), waiting = new Map();
  let number = 0, timer = null, last = -REST, until = 0;
  const arm = () => {
    const now = performance.now(), wait = now < until ? last + BUSY - now : Math.max(SETTLE, last + REST - now);
    if (timer === null && waiting.size) timer = setTimeout(run, wait);
  };
  const run = () => draw((time) => {
    const steps = [...waiting.values()];
    [timer, last] = [null, performance.now()];
    waiting.clear();
    steps.forEach((step) => step(time));
  });
  const used = (event) => {
    if (event.type === "pointermove" && !event.buttons) return;
    until = performance.now() + AFTER;
    clearTimeout(timer);
    timer = null;
    arm();
  };
  for (const kind of ["pointerdown", "pointermove", "pointerup", "wheel", "keydown"])
    view.addEventListener(kind, used, { capture: true, passive: true });
  document.addEventListener("keydown", used);
  view.requestAnimationFrame = (step) => {
    waiting.set(++number, step);
    arm();
    return number;
  };
  view.cancelAnimationFrame = (waited) => waiting.delete(waited);
}
