// Callipers, arrows and depth marks, drawn over a picture. `flip` and `upright`, 1 or -1, keep words readable.
export function shape(name, attributes, text) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  if (text) node.textContent = text;
  return node;
}

// Each cm of depth, some with words, at the right edge.
function ruled(ticks, width, height, flip, upright) {
  return ticks.flatMap(([v, words]) => {
    const y = v * height, line = shape("polyline", { points: `${width - (words ? 10 : 5)},${y} ${width},${y}`, class: "ruler" });
    const turned = `translate(${width - 14} ${Math.min(y, height - 7)}) scale(${flip} ${upright})`;
    return words ? [line, shape("text", { transform: turned, class: "ruler", "text-anchor": flip > 0 ? "end" : "start" }, words)] : [line];
  });
}

function marked(mark, width, height, flip, upright) {
  const at = ([u, v]) => `${u * width},${v * height}`, shapes = [shape("polyline", { points: mark.line.map(at).join(" ") })];
  for (const [u, v] of mark.kind === "text" ? [] : mark.ends) {
    const x = u * width, y = v * height;
    shapes.push(shape("polyline", { points: `${x - 6},${y} ${x + 6},${y}` }),
      shape("polyline", { points: `${x},${y - 6} ${x},${y + 6}` }));
  }
  const [u, v] = mark.ends[mark.ends.length - 1];
  const turned = `translate(${u * width} ${v * height}) scale(${flip} ${upright})`;
  shapes.push(shape("text", { x: 9, y: 16, transform: turned }, mark.measures ? String(mark.number) : mark.text));
  return shapes;
}

// Draws depth marks and callipers into an svg that lies over a picture, above `more` shapes.
export function drawInto(svg, ticks, marks, more = () => [], flip = 1, upright = 1) {
  const { clientWidth: width, clientHeight: height } = svg.parentElement;
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  svg.replaceChildren(...more(width, height), ...ruled(ticks || [], width, height, flip, upright),
    ...marks.flatMap((mark) => marked(mark, width, height, flip, upright)));
}
