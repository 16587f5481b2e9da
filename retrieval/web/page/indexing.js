// Indexing wherever one is on the page: a mark in the header while a run is on, and new results when it ends. The view
// itself is fetched when somebody first looks at it.

import { createIndexJob } from "./indexjob.js";
import { changesText, progressText } from "./indexwords.js";
import { whenSeen } from "./lazily.js";
import { h } from "./parts.js";
import { toast } from "./toast.js";
import { t } from "./words.js";

/**
 * @param {HTMLElement} element
 * @param {{state: any, api: any, results: any}} page
 */
export function mount(element, { state, api, results }) {
  const job = createIndexJob(api);
  const mark = createMark(state);
  document.getElementById("menu-button").before(mark.element);

  job.subscribe((now, before) => {
    if (now) mark.update(now);
    dispatchEvent(new CustomEvent("indexing", { detail: now }));
    if (now && before?.running && !now.running) ended(now);
  });

  function ended(now) {
    results.search({ keep: true });
    dispatchEvent(new Event("gallery-changed"));
    if (state.get().view === "index") return;
    if (now.error) toast(t("indexing.failed_run"), { kind: "error" });
    else if (now.report) toast(t(now.report.interrupted ? "indexing.was_stopped" : "indexing.is_done"), { detail: changesText(now.report) });
  }

  whenSeen(state, "index", "indexing.css", async () => {
    const { createPanel } = await import("./indexpanel.js");
    createPanel(element, { state, api, job });
  });
  addEventListener("indexing-started", () => job.refresh());
  job.refresh();
}

/** A small ring in the header while a run is on, wherever one is on the page. */
function createMark(state) {
  const ring = h("span", { class: "ring", "aria-hidden": "true" });
  const text = h("span", null);
  const element = h("a", { href: "/?view=index", id: "indexing-mark", "data-view": "index", hidden: true, onclick: look }, ring, text);
  function look(event) {
    if (event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    state.update({ view: "index", open: "" });
  }
  return {
    element,
    update(now) {
      element.hidden = !now.running;
      if (!now.running) return;
      const share = now.total ? now.done / now.total : 0;
      ring.style.setProperty("--share", `${Math.round(share * 360)}deg`);
      text.textContent = now.total ? t("percent", { n: Math.floor(share * 100) }) : "…";
      element.setAttribute("aria-label", `${t("views.indexing")}: ${progressText(now)}`);
      element.title = progressText(now);
    },
  };
}
