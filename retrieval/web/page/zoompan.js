// One zoom and one place for several pictures at once, so that the same spot of each is seen.

const MOST = 24;

/**
 * @param {HTMLElement} frame where the pointer works; pictures fill panes of equal size in it
 * @param {() => HTMLElement[]} panes
 */
export function createZoomPan(frame, panes) {
  // Offsets are shares of a pane: the same for a small and a large picture of the same scene.
  let [scale, x, y] = [1, 0, 0];
  const pointers = new Map();
  const listeners = new Set();

  function apply() {
    const reach = (scale - 1) / 2;
    x = Math.max(-reach, Math.min(reach, x));
    y = Math.max(-reach, Math.min(reach, y));
    for (const pane of panes()) {
      for (const picture of pane.querySelectorAll("img, svg")) picture.style.transform = `translate(${x * 100}%, ${y * 100}%) scale(${scale})`;
    }
    frame.classList.toggle("zoomed", scale > 1);
    for (const listener of listeners) listener(scale);
  }

  /** Where in its pane an event is, from the middle, in shares of the pane. */
  function place(event) {
    const pane = panes().find((one) => one.contains(event.target)) ?? panes()[0];
    const box = pane.getBoundingClientRect();
    return { px: (event.clientX - box.left) / box.width - 0.5, py: (event.clientY - box.top) / box.height - 0.5, box };
  }

  function zoom(factor, px = 0, py = 0) {
    const next = Math.max(1, Math.min(MOST, scale * factor));
    // What lies under the pointer stays there.
    x = px - ((px - x) * next) / scale;
    y = py - ((py - y) * next) / scale;
    scale = next;
    apply();
  }

  frame.addEventListener("wheel", (event) => {
    event.preventDefault();
    const { px, py } = place(event);
    zoom(Math.exp(-event.deltaY / 400), px, py);
  }, { passive: false });

  frame.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    frame.setPointerCapture(event.pointerId);
    pointers.set(event.pointerId, { at: event, ...place(event) });
  });
  frame.addEventListener("pointermove", (event) => {
    const before = pointers.get(event.pointerId);
    if (!before) return;
    const { box } = before;
    if (pointers.size === 2) {
      const other = [...pointers].find(([id]) => id !== event.pointerId)[1].at;
      const spread = (one) => Math.hypot(one.clientX - other.clientX, one.clientY - other.clientY) || 1;
      const [px, py] = [((event.clientX + other.clientX) / 2 - box.left) / box.width - 0.5, ((event.clientY + other.clientY) / 2 - box.top) / box.height - 0.5];
      zoom(spread(event) / spread(before.at), px, py);
    } else {
      x += (event.clientX - before.at.clientX) / box.width;
      y += (event.clientY - before.at.clientY) / box.height;
      apply();
    }
    before.at = event;
  });
  for (const name of ["pointerup", "pointercancel"]) frame.addEventListener(name, (event) => pointers.delete(event.pointerId));
  frame.addEventListener("dblclick", (event) => {
    const { px, py } = place(event);
    if (scale > 1) reset();
    else zoom(4, px, py);
  });

  function reset() {
    [scale, x, y] = [1, 0, 0];
    apply();
  }

  return {
    zoom,
    reset,
    apply,
    scale: () => scale,
    /** @param {number} dx @param {number} dy in shares of what is seen */
    pan(dx, dy) {
      x += dx;
      y += dy;
      apply();
    },
    /** @param {(scale: number) => void} listener */
    onZoom: (listener) => listeners.add(listener),
  };
}
