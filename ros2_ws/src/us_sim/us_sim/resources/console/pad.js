// A game pad, or a SpaceMouse, which browsers show as one: the same movements as the keys, as fast as it is deflected.
const PERIOD = 100, REST = 0.15;  // ms between two looks; deflection below which it is at rest
const SLIDE = 2, TURN = 3, PRESS = 0.6;  // mm, degrees, mm in a period at full deflection
const SPACE = /space|3dconnexion|256f|046d-c6/i;  // SpaceMouse and SpaceNavigator, by name or by their maker's number
const A = 0, LOWER = [4, 6], HIGHER = [5, 7], LEFT = 14, RIGHT = 15;  // buttons of the standard mapping

const beyond = (value) => (Math.abs(value || 0) < REST ? 0 : value);
const pressed = (pad, numbers) => Math.max(...numbers.map((number) => (pad.buttons[number] ? pad.buttons[number].value : 0)));

// What a pad asks for now: left, away from the operator, down, and turns about the three axes, each from -1 to 1.
function deflected(pad) {
  const [a, b, c, d, e, f] = pad.axes;
  if (SPACE.test(pad.id)) return { x: a, y: -b, press: c, tilt: -d, rock: e, rotate: f };
  return { x: a, y: -b, rotate: c, tilt: -d, press: pressed(pad, HIGHER) - pressed(pad, LOWER),
    rock: pressed(pad, [RIGHT]) - pressed(pad, [LEFT]) };
}

export function wishes(pad) {
  const by = deflected(pad), x = SLIDE * beyond(by.x), y = SLIDE * beyond(by.y), found = [];
  if (x || y) found.push({ do: "nudge", x, y });
  for (const [name, most] of [["rotate", TURN], ["tilt", TURN], ["rock", TURN], ["press", PRESS]])
    if (beyond(by[name])) found.push({ do: "turn", name, by: most * by[name] });
  return found;
}

// Calls `send(message)` for what the pads ask for, while there is one; A, or a SpaceMouse's first button, freezes.
export function follow(send) {
  let looking = null;
  const held = new Set();
  const look = () => {
    const pads = [...navigator.getGamepads()].filter(Boolean);
    if (!pads.length) {
      clearInterval(looking);
      looking = null;
    }
    for (const pad of pads) {
      if (document.hasFocus()) wishes(pad).forEach(send);
      const down = Boolean(pad.buttons[A] && pad.buttons[A].pressed);
      if (down && !held.has(pad.index)) send({ do: "freeze" });
      if (down) held.add(pad.index);
      else held.delete(pad.index);
    }
  };
  window.addEventListener("gamepadconnected", () => { looking = looking || setInterval(look, PERIOD); });
}
