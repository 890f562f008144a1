// The keyboard: which key does what. The help sheet is made of this table.
// A message goes to the viewer; a word is done by the page itself. `frozen` replaces `does` while the image is frozen.
export const KEYS = [
  { key: "ArrowLeft", shown: "← →", words: "slide to the image's left, right; frozen: frame before, after",
    does: { do: "nudge", x: -3, y: 0 }, frozen: { do: "step", by: -1 } },
  { key: "ArrowRight", does: { do: "nudge", x: 3, y: 0 }, frozen: { do: "step", by: 1 } },
  { key: "ArrowUp", shown: "↑ ↓", words: "slide out of the image plane",
    does: { do: "nudge", x: 0, y: 3 } },
  { key: "ArrowDown", does: { do: "nudge", x: 0, y: -3 } },
  { key: "ArrowLeft", shift: true, shown: "Shift ← →", words: "rotate about the beam",
    does: { do: "turn", name: "rotate", by: -5 } },
  { key: "ArrowRight", shift: true, does: { do: "turn", name: "rotate", by: 5 } },
  { key: "ArrowUp", shift: true, shown: "Shift ↑ ↓", words: "tilt (fan)", does: { do: "turn", name: "tilt", by: 3 } },
  { key: "ArrowDown", shift: true, does: { do: "turn", name: "tilt", by: -3 } },
  { key: ",", shown: ", .", words: "rock, heel to toe", does: { do: "turn", name: "rock", by: -3 } },
  { key: ".", does: { do: "turn", name: "rock", by: 3 } },
  { key: "-", shown: "− +", words: "press less, more", does: { do: "turn", name: "press", by: -1 } },
  { key: "+", does: { do: "turn", name: "press", by: 1 } },
  { key: "g", shown: "G  Shift G", words: "more gain, less", does: { do: "adjust", name: "gain", by: 2 } },
  { key: "G", does: { do: "adjust", name: "gain", by: -2 } },
  { key: "PageDown", shown: "Page ↓ ↑", words: "image deeper, shallower", does: { do: "adjust", name: "depth", by: 10 } },
  { key: "PageUp", does: { do: "adjust", name: "depth", by: -10 } },
  { key: "f", shown: "F", words: "freeze, resume", does: { do: "freeze" } },
  { key: " ", shown: "Space", words: "play the cine loop, hold it", does: { do: "play" } },
  { key: "d", shown: "D", words: "measure a distance; on the M-mode strip, time and velocity", does: { do: "tool", name: "distance" } },
  { key: "e", shown: "E", words: "measure an ellipse", does: { do: "tool", name: "ellipse" } },
  { key: "a", shown: "A", words: "arrow with text", does: { do: "tool", name: "arrow" } },
  { key: "t", shown: "T", words: "write on the image", does: { do: "tool", name: "text" } },
  { key: "m", shown: "M", words: "M-mode; drag its scan line", does: { do: "m" } },
  { key: "Backspace", shown: "Backspace", words: "take the last mark away", does: { do: "undo" } },
  { key: "Delete", shown: "Delete", words: "take all marks away", does: { do: "wipe" } },
  { key: "s", shown: "S", words: "save clip and measurements as DICOM", does: { do: "save", kind: "dicom" } },
  { key: "p", shown: "P", words: "save the image as PNG", does: { do: "save", kind: "png" } },
  { key: "Enter", shown: "Enter", words: "full screen", does: "full" },
  { key: "l", shown: "L", words: "image left–right", does: "flip" },
  { key: "u", shown: "U", words: "image upside down", does: "turnOver" },
  { key: "z", shown: "Z  Shift Z", words: "zoom in, out; drag with the right button to pan", does: "zoomIn" },
  { key: "Z", does: "zoomOut" },
  { key: "r", shown: "R  [ ]", words: "real frames beside; one before, next", does: "real" },
  { key: "[", does: "before" },
  { key: "]", does: "after" },
  { key: "k", shown: "K", words: "copy a link to this pose and these settings", does: "link" },
  { key: "b", shown: "B", words: "light or dark", does: "light" },
  { shown: "Game pad", words: "left stick slides, right one rotates and tilts, shoulders press, ◂ ▸ rock, A freezes" },
  { shown: "SpaceMouse", words: "slides, presses and turns the probe as it is moved; its first button freezes" },
  { key: "?", shown: "?", words: "this sheet", does: "help" },
];

// What a key event asks for; null for nothing. Keys that belong to a control stay with it.
export function wish(event, frozen) {
  const inside = event.target;
  if (event.ctrlKey || event.altKey || event.metaKey || /^(INPUT|SELECT|TEXTAREA)$/.test(inside.tagName)) return null;
  if (inside.isContentEditable || (inside.tagName === "BUTTON" && /^(Enter| )$/.test(event.key))) return null;
  if (inside.closest && inside.closest("[role=slider],[role=combobox]")) return null;
  const arrow = event.key.startsWith("Arrow");
  const found = KEYS.find((item) => item.key === event.key && (!arrow || Boolean(item.shift) === event.shiftKey));
  if (!found) return null;
  return (frozen && found.frozen) || found.does;
}
