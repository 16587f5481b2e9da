// What the gallery holds, and the runs that bring it up to date: start, progress, stop, report, failures.

import { folderPicker } from "./folderpicker.js";
import { count, h, size } from "./parts.js";
import { changesText, duration, progressText } from "./indexwords.js";
import { mayEdit } from "./edits.js";
import { withoutCommands } from "./problems.js";
import { icon } from "./tiles.js";
import { toast, toastError } from "./toast.js";
import { date, t } from "./words.js";

/**
 * @param {HTMLElement} element
 * @param {{state: any, api: any, job: any}} page
 */
export function createPanel(element, { state, api, job }) {
  const facts = h("dl", { class: "stats" });
  const picker = createFolders();
  const start = h("button", { type: "button", class: "button primary", onclick: run }, t("indexing.start"));
  const stop = h("button", { type: "button", class: "button", hidden: true, onclick: halt }, icon("stop"), h("span", null, t("stop")));
  const adding = h("details", { class: "adding", hidden: true, ontoggle: browse }, h("summary", null, t("indexing.add")));
  const bar = h("progress", { "aria-label": t("views.indexing") });
  const told = h("p", { class: "panel-note" });
  const working = h("div", { class: "panel-working", hidden: true }, bar, told);
  const report = h("div", { class: "report", role: "status" });
  const failures = h("div", { class: "failures" });
  const trouble = h("div", { class: "panel-trouble", role: "alert", hidden: true });
  element.append(
    h("div", { class: "panel" },
      h("header", { class: "panel-head" }, h("h1", null, t("views.indexing"))), trouble, facts,
      h("section", { class: "card" }, h("h2", null, t("indexing.folders")), picker.element, adding, h("div", { class: "card-actions" }, start, stop), working, report),
      failures));
  let folders = [];

  async function run() {
    start.disabled = true;
    report.replaceChildren();
    try {
      const asked = picker.chosen();
      if (asked) await job.start(asked);
      else toast(t("indexing.choose_first"));
    } catch (error) {
      toastError(error);
    }
    start.disabled = Boolean(job.current()?.running);
  }

  function browse() {
    if (!adding.open || adding.querySelector(".picker")) return;
    adding.append(folderPicker({ api, onChoose: async (path) => {
      try {
        await job.start([path]);
        adding.open = false;
      } catch (error) {
        toastError(error);
      }
    } }).element);
  }

  async function halt() {
    stop.disabled = true;
    try {
      await job.stop();
    } catch (error) {
      toastError(error);
    }
    stop.disabled = false;
  }

  async function loadFacts() {
    try {
      const stats = await api.get("/stats");
      trouble.hidden = true;
      facts.replaceChildren(...tiles(stats).map(([name, value, more]) => h("div", null, h("dt", null, name), h("dd", null, value, more && h("small", null, more)))));
      folders = stats.folders;
      offer(job.current());
      if (job.current()?.state === "idle" && stats.last_run?.report) showReport(stats.last_run.report, stats.last_run.started_at);
    } catch (error) {
      if (api.isAbort(error)) return;
      if (error.type?.endsWith("/gallery-not-found")) offer(job.current());
      else explain(error);
    }
  }

  function offer(now) {
    picker.update(folders, Boolean(now?.may_add));
    adding.hidden = !mayEdit() || !now?.may_browse || Boolean(now?.running);
    picker.lock(Boolean(now?.running));
    picker.element.hidden = !mayEdit();
    start.hidden = !mayEdit() || Boolean(now?.running) || (!folders.length && !now?.may_add);
    start.disabled = Boolean(now?.running);
  }

  function explain(error) {
    trouble.hidden = false;
    trouble.replaceChildren(h("p", null, h("b", null, error.title ?? String(error))), error.detail && h("p", null, error.detail));
  }

  function show(now, before, error) {
    if (!now) {
      if (state.get().view === "index" && error) explain(error);
      return;
    }
    offer(now);
    stop.hidden = !mayEdit() || !now.running || now.state === "stopping";
    working.hidden = !now.running;
    if (now.running) {
      if (now.total) [bar.max, bar.value] = [now.total, now.done];
      else bar.removeAttribute("value");
      told.textContent = progressText(now);
    } else if (now.error) ended(t("indexing.failed_run"), ...[now.error.title, now.error.detail].map(withoutCommands));
    else if (now.report) showReport(now.report);
    else if (now.state === "stopped") ended(t("indexing.stopped_early"), t("indexing.nothing_read"));
    showFailures(now.failures ?? []);
    if (before?.running && !now.running) loadFacts();
  }

  function ended(title, ...lines) {
    report.replaceChildren(h("h3", null, title), ...lines.map((line) => h("p", null, line)));
  }

  // Moments are stored with their offset from UTC, and shown by the clock of whoever looks.
  function local(moment) {
    return date(new Date(moment), { dateStyle: "medium", timeStyle: "short" });
  }

  function showReport(done, when) {
    if (done.error) {
      ended(when ? t("indexing.last_failed", { when: local(when) }) : t("indexing.failed_run"), done.error);
      return;
    }
    const seconds = done.seconds?.total;
    report.replaceChildren(
      h("h3", null, done.interrupted ? t("indexing.stopped_early") : when ? t("indexing.last", { when: local(when) }) : t("indexing.done")),
      h("p", null, changesText(done), seconds ? h("span", { class: "soft" }, ` · ${duration(seconds)}`) : ""),
      ...(done.problems ?? []).map((problem) => h("p", { class: "problem" }, h("b", null, problem.path), ` ${problem.reason}`, problem.images_kept ? `; ${t("indexing.kept", { n: problem.images_kept })}` : "")),
    );
  }

  function showFailures(list) {
    const opened = failures.querySelector("details")?.open ?? false;
    if (!list.length) {
      failures.replaceChildren();
      return;
    }
    const rows = list.map((one) => h("li", null, h("code", null, one.path), h("span", null, one.reason)));
    const box = h("details", { class: "card" }, h("summary", null, h("h2", null, t("indexing.unusable", { n: list.length }))),
      h("p", { class: "panel-note" }, t("indexing.unusable_help")), h("ul", null, rows));
    box.open = opened;
    failures.replaceChildren(box);
  }

  job.subscribe(show);
  state.subscribe((now, changed) => {
    if (!changed.has("view") || now.view !== "index") return;
    loadFacts();
    job.refresh();
  });
  api.watch((reachable) => reachable && !trouble.hidden && loadFacts());
  if (job.current()) show(job.current());
  else job.refresh();
  loadFacts();
}

/** The folders to look through, and one more where the server was started so that it may take new ones. */
function createFolders() {
  const list = h("ul", { class: "folder-list" });
  const more = h("input", { type: "text", id: "new-folder", autocomplete: "off", spellcheck: "false", placeholder: t("indexing.folder_example") });
  const row = h("p", { class: "new-folder", hidden: true }, h("label", { for: "new-folder" }, t("indexing.another")), more);
  const set = h("fieldset", { class: "folders" }, h("legend", { class: "sr" }, t("indexing.folders_label")), list, row);
  let known = [];
  return {
    element: set,
    update(folders, mayAdd) {
      row.hidden = !mayAdd;
      if (String(folders) === String(known)) return;
      known = folders;
      list.replaceChildren(...folders.map((path) => h("li", null, h("label", { class: "check" }, h("input", { type: "checkbox", checked: true, value: path }), h("span", null, path)))));
    },
    lock: (on) => (set.disabled = on),
    /** Null: none is chosen. Empty: all. */
    chosen() {
      const picked = [...list.querySelectorAll("input:checked")].map((box) => box.value);
      const extra = row.hidden ? "" : more.value.trim();
      if (extra) return [...picked, extra];
      return picked.length === known.length ? [] : picked.length ? picked : null;
    },
  };
}

function tiles(stats) {
  const model = stats.encoders.find((encoder) => encoder.active);
  const formats = Object.entries(stats.formats ?? {}).map(([name, n]) => `${count(n)} ${name}`).join(", ");
  const disk = Object.values(stats.bytes_on_disk ?? {}).reduce((sum, bytes) => sum + bytes, 0);
  const year = (date) => date?.slice(0, 4);
  const [first, last] = [year(stats.first_taken_at), year(stats.last_taken_at)];
  return [
    [t("views.pictures"), count(stats.images), formats],
    first && [t("fact.taken"), first === last ? first : `${first} – ${last}`, t("indexing.known", { dates: stats.with_date, places: stats.with_place })],
    model && [t("indexing.model"), model.name, stats.index ? t("indexing.index", { kind: stats.index }) : ""],
    [t("fact.on_disk"), size(disk), t("indexing.on_disk")],
    stats.failures ? [t("indexing.cannot"), count(stats.failures), t("indexing.files", { n: stats.failures })] : null,
  ].filter(Boolean);
}
