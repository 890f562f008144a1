// Where no graphics card draws the 3-D view, the cores that the simulator needs do: it is drawn a few times a second.
const REST = 1000, MOVED = 80;  // ms between two pictures; while the pointer turns the view
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
  if (view.spared) return;
  view.spared = true;
  const draw = view.requestAnimationFrame.bind(view);
  let period = REST;
  view.addEventListener("pointerdown", () => { period = MOVED; });
  view.addEventListener("pointerup", () => { period = REST; });
  view.requestAnimationFrame = (step) => view.setTimeout(() => draw(step), period);
  view.cancelAnimationFrame = (waiting) => view.clearTimeout(waiting);
}
