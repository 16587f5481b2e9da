// Where the words in a picture stand, drawn over it.

import { s } from "./parts.js";

/** The words of a search whose places are marked: of the filter, and after "text:" in the question. @param {any} now @returns {string[]} */
export const askedWords = ({ text = [], q = "" }) => [...text, ...[...q.matchAll(/(?:^|\s)text:("[^"]*"?|\S+)/g)].map(([, words]) => words)];

/** @param {HTMLElement} pane what the picture fills */
export function createPlaces(pane) {
  // Fits into its box as the picture does: the whole of it, in the middle.
  const drawing = s("svg", { class: "places", "aria-hidden": "true" });
  let [on, lines] = [false, []];
  pane.append(drawing);

  const part = ([ax, ay, bx, by, cx, cy, dx, dy], from, to) => {
    const along = (a, b, at) => a + (b - a) * at;
    return [along(ax, bx, from), along(ay, by, from), along(ax, bx, to), along(ay, by, to), along(dx, cx, to), along(dy, cy, to), along(dx, cx, from), along(dy, cy, from)];
  };

  function draw({ width, height } = drawing.picture) {
    const shape = (corners, name) => s("polygon", { class: name, points: corners.map((at, n) => at * (n % 2 ? height : width)).join(" ") });
    drawing.replaceChildren(...lines.flatMap(({ corners, marks }) => [
      ...(on ? [shape(corners, "line")] : []), ...marks.map(([from, to]) => shape(part(corners, from, to), "mark"))]));
  }

  function show(picture) {
    drawing.picture = picture;
    drawing.setAttribute("viewBox", `0 0 ${picture.width} ${picture.height}`);
    lines = picture.text?.lines ?? [];
    draw();
  }

  return {
    show,
    clear: () => drawing.replaceChildren(),
    isOn: () => on,
    /** @param {boolean} now whether every line is framed, and not only what was asked for is marked */
    turn(now) {
      on = now;
      draw();
    },
  };
}
