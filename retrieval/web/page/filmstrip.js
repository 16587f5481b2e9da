/** The pictures before and after the one in the viewer, as a strip of small ones below it. */

import { h } from "./parts.js";
import { t } from "./words.js";

const AROUND = 14; // pictures on either side: as many as fit beside each other on a wide screen

/** @param {{results: any, api: any, state: any}} shared */
export function createFilmstrip({ results, api, state }) {
  const list = h("div", { class: "strip-row" });
  const element = h("nav", { class: "filmstrip", "aria-label": t("strip.label") }, list);
  const shown = new Map(); // rank -> its button
  let rank = 0;

  function frame(hit) {
    const button = h("button", { type: "button", tabIndex: -1, "aria-label": hit.name, onclick: () => state.update({ open: String(hit.id) }, { push: false }) },
      h("img", { src: api.thumbnail(hit, 240), alt: "", decoding: "async", draggable: "false" }));
    if (hit.colour) button.style.backgroundColor = hit.colour;
    button.dataset.id = String(hit.id);
    return button;
  }

  function draw() {
    element.hidden = !rank || results.total() < 2;
    if (element.hidden) return;
    const wanted = [];
    for (let at = Math.max(1, rank - AROUND); at <= Math.min(results.total(), rank + AROUND); at++) wanted.push([at, results.known(at)]);
    for (const [at, button] of shown) {
      const hit = wanted.find(([one]) => one === at)?.[1];
      if (hit && String(hit.id) === button.dataset.id) continue;
      button.remove();
      shown.delete(at);
    }
    let before = null;
    for (const [at, hit] of wanted) {
      if (!hit) continue;
      let button = shown.get(at);
      if (!button) {
        shown.set(at, (button = frame(hit)));
        if (before) before.after(button);
        else list.prepend(button);
      }
      if (at === rank) button.setAttribute("aria-current", "true");
      else button.removeAttribute("aria-current");
      before = button;
    }
    // The middle of the present one is the middle of the strip.
    const now = shown.get(rank);
    if (now) list.style.translate = `${element.clientWidth / 2 - now.offsetLeft - now.offsetWidth / 2}px 0`;
  }

  addEventListener("resize", () => !element.hidden && draw());
  return {
    element,
    /** @param {number|null} now the rank of the picture in the viewer; null: it is in no list */
    show(now) {
      rank = now ?? 0;
      draw();
    },
  };
}
