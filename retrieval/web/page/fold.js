/** The line below the good matches: how many weaker ones there are, and the way to them. */

import { h } from "./parts.js";
import { t } from "./words.js";

/** @param {HTMLElement} element @param {{state: any, results: any}} shared */
export function mount(element, { state, results }) {
  const button = h("button", { type: "button", class: "button", onclick: () => state.update({ weaker: true }) });
  element.append(button);

  results.subscribe(event => {
    if (event !== "list") return;
    const { relevant, total, weaker } = results.list();
    const isFolded = Boolean(state.get().q.trim()) && !state.get().weaker && relevant > 0 && relevant === total && weaker !== 0;
    element.hidden = !isFolded;
    button.textContent = weaker === null ? t("fold.show_some") : t("fold.show", { n: weaker });
  });
}
