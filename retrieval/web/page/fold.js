/** The line below the good matches: how many weaker ones there are, and the way to them. */

import { h } from "./parts.js";
import { t } from "./words.js";

/** @param {HTMLElement} element @param {{state: any, results: any, grid: any}} shared */
export function mount(element, { state, results, grid }) {
  let next = 0; // the first weaker match, to which the focus goes from the button that is not needed any more
  const button = h("button", { type: "button", class: "button", onclick: () => {
    next = results.total() + 1;
    state.update({ weaker: true });
  } });
  element.append(button);

  results.subscribe(event => {
    if (event !== "list") return;
    const { relevant, total, weaker } = results.list();
    const isFolded = Boolean(state.get().q.trim()) && !state.get().weaker && relevant > 0 && relevant === total && weaker !== 0;
    element.hidden = !isFolded;
    if (next && state.get().weaker) grid.focus(next);
    next = 0;
    button.textContent = weaker === null ? t("fold.show_some") : t("fold.show", { n: weaker });
  });
}
