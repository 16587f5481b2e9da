/** A rectangle drawn over the pictures selects what it touches: from between them, or with Shift from anywhere. */

import { h } from "./parts.js";

const LEAST = 6; // pixels; less is a click
const EDGE = 60; // pixels from the edge of the screen at which it scrolls
const FASTEST = 24; // pixels of scrolling a frame

/**
 * @param {HTMLElement} element the grid
 * @param {{places: any, results: any, select: (ids: string[], add: boolean) => void, selected: () => string[]}} how
 */
export function mount(element, { places, results, select, selected }) {
  const band = h("div", { class: "band", hidden: true, "aria-hidden": "true" });
  document.body.append(band);
  let start = null, before = [], pointer = null, frame = 0;

  element.addEventListener("pointerdown", event => {
    const onPicture = event.target.closest(".cell");
    if (event.pointerType === "touch" || event.button !== 0 || (onPicture && !event.shiftKey) || event.target.closest("button, input")) return;
    start = { x: event.clientX, y: event.clientY + scrollY, id: event.pointerId };
    before = event.shiftKey || event.ctrlKey || event.metaKey ? selected() : [];
  });
  // The link of a picture would be dragged away instead.
  element.addEventListener("dragstart", event => start && event.preventDefault());

  addEventListener("pointermove", event => {
    if (!start || event.pointerId !== start.id) return;
    pointer = event;
    const far = Math.hypot(event.clientX - start.x, event.clientY + scrollY - start.y) > LEAST;
    if (band.hidden && !far) return;
    if (band.hidden) element.setPointerCapture?.(start.id);
    band.hidden = false;
    frame ||= requestAnimationFrame(draw);
  });

  function draw() {
    frame = 0;
    if (!start || band.hidden) return;
    const edge = pointer.clientY < EDGE ? pointer.clientY - EDGE : Math.max(pointer.clientY - (innerHeight - EDGE), 0);
    if (edge) scrollBy({ top: Math.max(-FASTEST, Math.min(edge / 3, FASTEST)), behavior: "instant" });
    const [x, y] = [pointer.clientX, pointer.clientY + scrollY];
    const [left, top, width, height] = [Math.min(x, start.x), Math.min(y, start.y), Math.abs(x - start.x), Math.abs(y - start.y)];
    Object.assign(band.style, { left: `${left}px`, top: `${top - scrollY}px`, width: `${width}px`, height: `${height}px` });
    const box = element.getBoundingClientRect();
    const within = [left - box.left, top - scrollY - box.top];
    const ids = [];
    for (const rank of places.ranksBetween(within[1], within[1] + height)) {
      const at = places.box(rank), hit = results.known(rank);
      if (hit && at.left < within[0] + width && at.left + at.width > within[0] && at.top < within[1] + height && at.top + at.height > within[1]) ids.push(String(hit.id));
    }
    select([...new Set([...before, ...ids])]);
    if (edge) frame = requestAnimationFrame(draw);
  }

  function end() {
    if (!start) return;
    const drawn = !band.hidden;
    start = null;
    band.hidden = true;
    // The click that follows would open the picture below the pointer.
    if (!drawn) return;
    const swallow = event => (event.preventDefault(), event.stopPropagation());
    addEventListener("click", swallow, { capture: true });
    setTimeout(() => removeEventListener("click", swallow, { capture: true }), 0);
  }
  addEventListener("pointerup", end);
  addEventListener("pointercancel", end);
  addEventListener("keydown", event => {
    if (event.key !== "Escape" || !start || band.hidden) return;
    event.stopPropagation();
    select(before);
    start = null;
    band.hidden = true;
  }, { capture: true });
}
