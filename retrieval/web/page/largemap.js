// The map over the whole page, for as long as somebody looks at it.

import { createLayer } from "./layers.js";
import { h } from "./parts.js";
import { icon } from "./tiles.js";
import { t } from "./words.js";

/**
 * @param {{element: HTMLElement, enlarge: (on: boolean) => void, focus: () => void}} map
 * @param {() => string} told how many pictures there are, for the button that leads to them
 */
export function largeMap(map, told) {
  const home = map.element.parentElement;
  const next = map.element.nextSibling;
  const done = h("button", { type: "button", class: "button primary", onclick: () => dialog.close() }, told());
  const close = h("button", { type: "button", class: "plain", "aria-label": t("close"), onclick: () => dialog.close() }, icon("close"));
  const dialog = h("dialog", { class: "map-dialog", "aria-label": t("condition.place") }, h("div", { class: "dialog-head" }, h("h2", null, t("condition.place")), done, close));
  const layer = createLayer(() => dialog.close());
  const fit = () => map.enlarge(true);
  const told_ = new MutationObserver(() => (done.textContent = told()));
  dialog.append(map.element);
  document.body.append(dialog);
  dialog.addEventListener("close", () => {
    removeEventListener("resize", fit);
    told_.disconnect();
    home.insertBefore(map.element, next);
    map.enlarge(false);
    dialog.remove();
    layer.closed();
    map.focus();
  });
  addEventListener("resize", fit);
  told_.observe(document.querySelector(".filters-done"), { childList: true, characterData: true, subtree: true });
  dialog.showModal();
  layer.opened();
  fit();
  map.focus();
}
