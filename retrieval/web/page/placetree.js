// Countries, their regions and towns, with counts: any of them can be chosen, and opened.

import { count, h } from "./parts.js";
import { t } from "./words.js";

const SHOWN = 8; // of one level, before the rest has to be asked for

/**
 * @param {(place: string, on: boolean) => void} onToggle
 * @typedef {{place: string, name: string, kind: string, parent: string | null, count: number}} Place
 */
export function placeTree(onToggle) {
  const element = h("ul", { class: "facet-list place-tree", "aria-label": t("places.tree") });
  const open = new Set();
  const whole = new Set();
  let [places, chosen] = [/** @type {Place[]} */ ([]), /** @type {string[]} */ ([])];

  function level(parent) {
    const below = places.filter((place) => place.parent === parent);
    const shown = whole.has(parent) || below.length <= SHOWN + 1 ? below : below.slice(0, SHOWN);
    const items = shown.map(item);
    if (shown.length < below.length) {
      const more = h("button", { type: "button", class: "facet-more" }, t("show_more", { n: below.length - shown.length }));
      more.addEventListener("click", () => {
        whole.add(parent);
        draw();
      });
      items.push(h("li", null, more));
    }
    return items;
  }

  function item(place) {
    const box = h("input", { type: "checkbox", onchange: () => onToggle(place.place, box.checked) });
    box.checked = chosen.some((value) => value.toLowerCase() === place.place.toLowerCase());
    const label = h("label", { class: "facet-value", title: place.place }, box, h("span", { class: "facet-name", dir: "auto" }, place.name), h("span", { class: "facet-count" }, count(place.count)));
    const holds = places.some((other) => other.parent === place.place);
    if (!holds) return h("li", null, h("div", { class: "place-row" }, h("span", { class: "place-closed" }), label));
    const isOpen = open.has(place.place);
    const turn = h("button", { type: "button", class: "place-turn", "aria-expanded": String(isOpen), "aria-label": t("places.in", { name: place.name }), "data-place": place.place });
    turn.addEventListener("click", () => {
      if (!open.delete(place.place)) open.add(place.place);
      draw();
      [...element.querySelectorAll(".place-turn")].find((one) => /** @type {HTMLElement} */ (one).dataset.place === place.place)?.focus();
    });
    return h("li", null, h("div", { class: "place-row" }, turn, label), isOpen && h("ul", { class: "facet-list" }, level(place.place)));
  }

  function draw() {
    const focus = /** @type {HTMLElement} */ (document.activeElement);
    const at = [...element.querySelectorAll("input")].indexOf(/** @type {HTMLInputElement} */ (focus));
    element.replaceChildren(...level(null));
    if (at >= 0) element.querySelectorAll("input")[at]?.focus();
    element.hidden = !places.length;
  }

  return {
    element,
    /** @param {Place[]} now @param {string[]} picked */
    update(now, picked) {
      // One country says nothing: what is in it does.
      const countries = now.filter((place) => place.parent === null);
      if (!places.length && countries.length === 1) open.add(countries[0].place);
      [places, chosen] = [now, picked];
      draw();
    },
  };
}
