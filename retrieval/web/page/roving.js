/** Clicks and keys among the pictures: one of them at a time can be reached with tab, arrows lead to the others. */

import { extend } from "./selection.js";
import { t } from "./words.js";

const HELD = 500; // ms; as long as phones take it

/**
 * @param {HTMLElement} element the grid
 * @param {{state: any, results: any, grid: any, actions: any, keys: any}} shared
 */
export function mount(element, { state, results, grid, actions, keys }) {
  const rankOf = target => Number(target.closest?.(".cell[data-rank]")?.dataset.rank ?? 0);

  element.addEventListener("click", event => {
    const hit = results.known(rankOf(event.target));
    if (!hit) return;
    const act = event.target.closest(".act");
    if (act) actions.run(act.dataset.act, hit);
    else if (event.target.closest("a.tile") && event.shiftKey) {
      // As at its check mark; by itself a browser would open another window.
      event.preventDefault();
      const how = { bubbles: true, cancelable: true, shiftKey: true };
      event.target.closest(".cell").querySelector(".pick").dispatchEvent(new MouseEvent("click", how));
    } else if (event.target.closest("a.tile") && !event.ctrlKey && !event.metaKey) {
      event.preventDefault();
      state.update({ open: String(hit.id) });
    }
  });
  element.addEventListener("focusin", event => {
    const rank = rankOf(event.target);
    if (rank) grid.setCurrent(rank);
  });

  // A finger has no place to hover: held down it selects the first picture, and taps select while any is selected;
  // held down on another one it selects all between.
  let held = 0, origin = null;
  const release = () => clearTimeout(held);
  element.addEventListener("pointerdown", event => {
    release();
    const pick = event.target.closest?.(".cell")?.querySelector(".pick");
    if (event.pointerType !== "touch" || !pick || event.target === pick) return;
    origin = event;
    held = setTimeout(() => {
      origin = null;
      // The second picture that is held takes those between with it, as Shift and click do.
      const range = document.body.classList.contains("picking") && !pick.checked;
      pick.dispatchEvent(new MouseEvent("click", { bubbles: true, cancelable: true, shiftKey: range }));
    }, HELD);
  });
  element.addEventListener("pointermove", event => origin && Math.hypot(event.clientX - origin.clientX, event.clientY - origin.clientY) > 10 && release());
  for (const end of ["pointerup", "pointercancel"]) element.addEventListener(end, release);
  element.addEventListener("contextmenu", event => event.pointerType === "touch" && event.preventDefault());
  element.addEventListener("click", event => {
    const tile = event.target.closest("a.tile");
    if (!tile || event.pointerType !== "touch") return;
    if (origin === null) event.preventDefault(); // the end of a long press
    else if (document.body.classList.contains("picking")) {
      event.preventDefault();
      tile.parentElement.querySelector(".pick").click();
    }
    if (event.defaultPrevented) event.stopImmediatePropagation();
  }, { capture: true });

  const here = { group: t("views.pictures"), when: event => element.contains(event.target) && !document.querySelector("dialog[open]") };
  // With Shift, all from the picture that is left to the one that is reached are selected.
  const go = (to, event) => {
    const from = grid.current(), rank = Math.min(Math.max(to, 1), results.total());
    if (event.shiftKey) extend(from, rank);
    grid.focus(rank);
  };
  const row = (step, event) => {
    const next = grid.places.neighbour(grid.current(), step);
    if (next) go(next, event);
    else if (step < 0) document.getElementById("q").focus();
  };
  keys.describe([["ArrowLeft ArrowUp ArrowDown ArrowRight", t("keys.next")], ["Enter", t("keys.open")]]);
  keys.add(["ArrowLeft"], "", event => go(grid.current() - 1, event), here);
  keys.add(["ArrowRight"], "", event => go(grid.current() + 1, event), here);
  keys.add(["ArrowUp"], "", event => row(-1, event), here);
  keys.add(["ArrowDown"], "", event => row(1, event), here);
  keys.add(["Home"], "", event => go(1, event), here);
  keys.add(["End"], "", event => go(results.total(), event), here);
  const act = (key, name, label) => keys.add([key], label, () => {
    const hit = results.known(grid.current());
    if (hit) actions.run(name, hit);
  }, here);
  act("s", "similar", t("act.similar"));
  act("m", "more", t("act.more"));
  act("l", "less", t("act.less"));
  act("d", "download", t("keys.download"));

  // From anywhere where left and right have no use of their own. Up and down scroll there, as on every page.
  const elsewhere = { when: ({ target }) => target.matches("body, a, button, [tabindex='-1']") && state.get().view === "grid" && !document.querySelector("dialog[open]") };
  keys.add(["ArrowLeft", "ArrowRight"], "", () => grid.focus(grid.inSight()), elsewhere);
}
