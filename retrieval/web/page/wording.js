/** What the page says: how many pictures there are, and what to do where there are none. */

import { count, h, plural } from "./parts.js";
import { icon } from "./tiles.js";

/**
 * How many pictures the list has, in words: the one place where the page says so. The list's own numbers, for facets may
 * be on their way and count the pictures of bursts one by one.
 * @param {import("./results.js").List} list @param {boolean} ranked whether anything is looked for
 */
export function amount({ total, relevant, capped }, ranked) {
  const all = capped ? `The best ${count(total)} pictures` : plural(total, "picture");
  if (!ranked || relevant === null) return all;
  const good = plural(relevant, "good match", "good matches");
  if (relevant === total) return total ? (capped ? `The best ${good}` : good) : all;
  const of = capped ? `the best ${count(total)}` : count(total);
  return relevant ? `${good} of ${of}` : `No good match among ${of} pictures`;
}

/** What is told of pictures that are left out because of their files. @param {{missing: number, changed: number}} skipped */
function skippedWords({ missing, changed }) {
  const parts = [missing && `${plural(missing, "file")} missing`, changed && `${plural(changed, "file")} changed since ${changed === 1 ? "it was" : "they were"} indexed`];
  return parts.filter(Boolean).join(", ");
}

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
    counted.title = typeof list.answer.took_ms === "number" ? `Found in ${list.answer.took_ms.toFixed(0)} ms` : "";
    const hint = list.answer.query?.hint;
    if (hint) counted.append(h("span", { class: "soft hint" }, ` · ${hint}`));
    const unknown = list.answer.query?.unknown;
    if (unknown) counted.append(h("span", { class: "soft" }, ` · ${unknown}`));
    const skipped = skippedWords(list.answer.skipped);
    if (skipped) counted.append(h("span", { class: "soft", title: "They are skipped. Plug the drive in, or index the folder again." }, ` · ${skipped}`));
    clearTimeout(timer);
    timer = setTimeout(() => (announce.textContent = list.total ? told.replace(/( of [\d,]+)$/, "$1 pictures") : "No pictures"), AFTER);
    document.title = [state.get().q, "photoseek"].filter(Boolean).join(" · ");
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
    const { q, relevant } = state.get();
    const skipped = skippedWords(results.list().answer.skipped);
    if (skipped)
      return big("warning", "The files of these pictures are gone", `${skipped}. Plug the drive in that they are on, or index the folder again.`,
        button("Look again", () => results.search({ keep: true }), "primary"));
    const asked = q ? `“${q}”` : "that";
    if (relevant)
      return big("search", `No picture clearly shows ${asked}`, results.list().answer.query.hint ?? "The model may still have near misses.",
        button("Show the nearest pictures", () => state.update({ relevant: false }), "primary"));
    if (state.isFiltered())
      return big("filter", "No picture passes these filters", "Some of them together leave nothing over.",
        button("Clear the filters", () => state.update(state.withoutFilters()), "primary"));
    if (state.isRanked()) return big("search", `Nothing found for ${asked}`, "Try other words, or fewer.");
    return sayNothingIndexed();
  }

  async function sayNothingIndexed() {
    const command = h("code", null, "photoseek index ~/Pictures");
    big("picture", "No pictures yet", "Let photoseek look through a folder once; then search it with words. In a terminal:",
      h("p", { class: "command" }, command));
    try {
      const known = await api.get("/stats");
      if (known.folders?.length && !message.hidden) message.append(button(`Index ${plural(known.folders.length, "known folder")} now`, start, "primary"));
    } catch {
      // The two lines above are the answer.
    }
  }

  async function start() {
    try {
      await api.post("/index", { folders: [] });
      state.update({ view: "index" });
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
      state.isFiltered() ? button("Clear the filters", () => state.update(state.withoutFilters())) : "");
    announce.textContent = first;
  }

  const isMissing = problem => problem.type?.endsWith("/gallery-not-found");

  function sayForgotten() {
    big("picture", "That picture is no longer known here", "Pictures that you search with are kept in memory only, for a while. Add it again.",
      button("Choose a picture", () => document.getElementById("pick-picture").click(), "primary"));
  }

  function sayUnreachable(problem, waits) {
    let left = waits;
    const text = h("span", { "aria-hidden": "true" });
    const why = problem.status === 0 ? "photoseek does not answer. What you see is from before." : "photoseek is busy.";
    const tick = () => (text.textContent = left > 0 ? `Trying again in ${left} s` : "Trying again …");
    banner.replaceChildren(icon("warning"), h("span", null, why), text, button("Try now", () => results.search({ keep: true })));
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
    show("");
    sayCount();
    grid.setAttribute("aria-busy", "false");
    if (!results.total()) sayNothingFound();
  });
}
