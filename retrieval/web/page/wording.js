/** What the page says: how many pictures there are, and what to do where there are none. */

import { h } from "./parts.js";
import { icon } from "./tiles.js";
import { list as joined, t } from "./words.js";

/**
 * How many pictures the list has, in words: the one place where the page says so. The list's own numbers, for facets may
 * be on their way and count the pictures of bursts one by one.
 * @param {import("./results.js").List} list @param {boolean} ranked whether anything is looked for
 */
export function amount({ total, relevant, capped }, ranked) {
  const best = capped ? "_best" : "";
  if (!ranked || relevant === null || total === 0) return t(`count.pictures${best}`, { n: total });
  if (relevant === total) return t(`count.good${best}`, { n: relevant });
  return relevant ? t(`count.good_of${best}`, { n: relevant, total }) : t(`count.none_good${best}`, { n: total });
}

/** What is told of pictures that are left out because of their files. @param {{missing: number, changed: number}} skipped */
function skippedWords({ missing, changed }) {
  return joined([missing && t("skipped.missing", { n: missing }), changed && t("skipped.changed", { n: changed })].filter(Boolean));
}

const NAME = document.title; // as the server names the page
const AFTER = 600; // ms until a count is read out: not one for each letter that is typed

/**
 * @param {{state: typeof import("./state.js"), api: any, results: any, toastError: any}} shared
 */
export function mount({ state, api, results, toastError }) {
  const [counted, message, banner, announce, grid] = ["count", "message", "banner", "announce", "grid"].map(id => document.getElementById(id));
  let timer = 0, ticking = 0;

  function sayCount() {
    const list = results.list();
    if (!list) return;
    const told = amount(list, state.isRanked());
    counted.replaceChildren(told);
    counted.classList.toggle("strong", state.isRanked() && list.relevant > 0);
    counted.title = typeof list.answer.took_ms === "number" ? t("count.took", { ms: Math.round(list.answer.took_ms) }) : "";
    const hint = list.answer.query?.hint;
    if (hint) counted.append(h("span", { class: "soft hint" }, ` · ${hint}`));
    const unknown = list.answer.query?.unknown;
    if (unknown) counted.append(h("span", { class: "soft" }, ` · ${unknown}`));
    const skipped = skippedWords(list.answer.skipped);
    if (skipped) counted.append(h("span", { class: "soft", title: t("skipped.help") }, ` · ${skipped}`));
    clearTimeout(timer);
    timer = setTimeout(() => (announce.textContent = list.total ? told : t("count.none")), AFTER);
    document.title = [state.get().q, NAME].filter(Boolean).join(" · ");
  }

  function show(name, ...content) {
    message.className = name;
    message.replaceChildren(...content);
    message.hidden = !content.length;
  }

  const button = (text, run, kind = "") => h("button", { type: "button", class: `button ${kind}`, onclick: run }, text);
  const big = (symbol, title, text, ...more) =>
    show("empty", h("div", { class: "empty-icon" }, icon(symbol)), h("h2", null, title), h("p", null, text), ...more);

  function sayNothingFound() {
    const { q } = state.get();
    const skipped = skippedWords(results.list().answer.skipped);
    if (skipped)
      return big("warning", t("empty.files_gone"), t("empty.files_gone_help", { skipped }),
        button(t("empty.look_again"), () => results.search({ keep: true }), "primary"));
    if (state.isFiltered())
      return big("filter", t("empty.filtered"), t("empty.filtered_help"),
        button(t("filters.clear"), () => state.update(state.withoutFilters()), "primary"));
    return big("search", q ? t("empty.nothing", { q }) : t("empty.nothing_that"), t("empty.nothing_help"));
  }

  /** Nothing that could be filtered or sorted is offered where there is nothing. */
  const setEmpty = on => document.body.classList.toggle("nothing-indexed", on);

  async function sayNothingIndexed() {
    setEmpty(true);
    if (message.querySelector(".first-run")) return;
    try {
      await (await import("./firstrun.js")).showFirstRun(message, { api, toastError });
    } catch (error) {
      toastError(error);
    }
  }

  function sayProblem({ problem, waits }) {
    clearInterval(ticking);
    banner.hidden = true;
    if (!problem) {
      if (message.className === "hint") show("");
      return;
    }
    if (problem.status === 0 || (problem.status === 503 && !isMissing(problem))) return sayUnreachable(problem, waits);
    if (isMissing(problem)) return void sayNothingIndexed();
    if (problem.status === 410 || (problem.status === 404 && state.get().like.some(id => id.startsWith("u")))) return sayForgotten();
    const [first, ...rest] = problem.title.split("\n");
    show("hint", h("p", null, h("strong", null, first)), rest.length ? h("pre", null, rest.join("\n")) : "", h("p", null, problem.detail),
      state.isFiltered() ? button(t("filters.clear"), () => state.update(state.withoutFilters())) : "");
    announce.textContent = first;
  }

  const isMissing = problem => problem.type?.endsWith("/gallery-not-found");

  function sayForgotten() {
    const kept = state.get().like.filter(id => !id.startsWith("u"));
    const rest = kept.length || state.get().q || state.get().more.length;
    big("picture", t("empty.forgotten"), t("empty.forgotten_help"),
      rest ? button(t("empty.without_it"), () => state.update({ like: kept }), "primary") : "",
      button(t("empty.choose_picture"), () => document.getElementById("pick-picture").click(), rest ? "" : "primary"));
  }

  function sayUnreachable(problem, waits) {
    let left = waits;
    const text = h("span", { "aria-hidden": "true" });
    const why = t(problem.status === 0 ? "banner.down" : "banner.busy");
    const tick = () => (text.textContent = left > 0 ? t("banner.again_in", { n: left }) : t("banner.again"));
    banner.replaceChildren(icon("warning"), h("span", null, why), text, button(t("banner.now"), () => results.search({ keep: true })));
    banner.hidden = false;
    tick();
    ticking = setInterval(() => {
      left -= 1;
      tick();
    }, 1000);
  }

  results.subscribe((event, detail) => {
    if (event === "busy") document.body.classList.toggle("searching", detail);
    if (event === "problem") sayProblem(detail);
    if (event !== "list") return;
    clearInterval(ticking);
    banner.hidden = true;
    sayCount();
    if (!results.total() && !state.isFiltered() && !state.isRanked() && !skippedWords(results.list().answer.skipped)) {
      grid.setAttribute("aria-busy", "false");
      return void sayNothingIndexed();
    }
    setEmpty(false);
    show("");
    grid.setAttribute("aria-busy", "false");
    if (!results.total()) sayNothingFound();
  });
}
