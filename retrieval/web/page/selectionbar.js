// What can be done with the selected pictures: their paths, a table, the files, or others like them.

import { mayEdit } from "./edits.js";
import { styled } from "./lazily.js";
import { copy, count, h, save, size } from "./parts.js";
import { icon } from "./tiles.js";
import { toast, toastError } from "./toast.js";
import { parts, t } from "./words.js";

const EXAMPLES = 20; // of "more like these": further ones hardly move the mean, and each stands in the URL
const AT_ONCE = 6;
const MOST = 500; // pictures that the server puts into one zip file

/**
 * @param {HTMLElement} element
 * @param {{picked: Map<string, any>, state: any, api: any, results: any, selectAll: (ids?: number[]) => void, clear: () => void}} page
 */
export function createBar(element, { picked, state, api, results, selectAll, clear }) {
  const told = h("output", { class: "selection-told" });
  const button = (name, text, run) =>
    h("button", { type: "button", class: "button", title: text, onclick: run }, icon(name), h("span", null, text));
  const zip = button("zip", t("selection.download"), downloadZip);
  const everything = button("check", "", all);
  const editing = button("tag", t("label.edit"), toggleEditing);
  editing.hidden = !mayEdit();
  const panel = h("div", { class: "edit-many", tabIndex: -1, hidden: true });
  panel.addEventListener("keydown", event => {
    if (event.key !== "Escape") return;
    event.stopPropagation(); // the selection stays
    toggleEditing();
    editing.focus();
  });
  let fields = null;
  element.setAttribute("role", "region");
  element.setAttribute("aria-label", t("selection.label"));
  element.append(
    told,
    h("div", { class: "selection-actions" },
      everything,
      editing,
      button("copy", t("selection.copy_paths"), copyPaths),
      button("download", t("selection.export"), exportCsv),
      zip,
      button("plus", t("selection.more"), () => alike("more")),
      button("minus", t("selection.less"), () => alike("less"))),
    h("button", { type: "button", class: "plain", "aria-label": t("selection.clear"), title: `${t("selection.clear")} (${t("key.escape")})`, onclick: clear }, icon("close")),
  );
  element.append(panel);
  let leaving = null; // what calls off a download

  /** Everything that the list shows, loaded or not. */
  async function all() {
    selectAll();
    if (picked.size >= results.total()) return;
    try {
      const { ids, total_is_capped: capped } = await api.post("/selection", state.toBody());
      selectAll(ids);
      if (capped) toast(t("select.capped", { n: ids.length }));
    } catch (error) {
      toastError(error);
    }
  }

  async function toggleEditing() {
    panel.hidden = !panel.hidden;
    editing.setAttribute("aria-expanded", String(!panel.hidden));
    if (panel.hidden) return;
    const [{ fieldsOfMany }] = await Promise.all([import("./editfields.js"), styled("edits.css")]);
    if (!fields) panel.append((fields = fieldsOfMany(api, () => [...picked.keys()], state)).element);
    fields.draw();
    panel.querySelector("button, input")?.focus();
  }

  function show() {
    element.hidden = picked.size === 0;
    if (!picked.size) panel.hidden = true;
    const total = results.total();
    everything.hidden = picked.size >= total;
    everything.lastElementChild.textContent = everything.title = t("select.all", { n: total });
    if (!picked.size) leaving?.abort();
    const hits = [...picked.values()];
    const known = hits.reduce((sum, hit) => sum + (hit?.bytes ?? 0), 0);
    told.replaceChildren(...parts("selection.count", { n: picked.size, count: h("b", null, count(picked.size)) }), known ? h("span", { class: "selection-size" }, size(known)) : "");
    zip.lastElementChild.textContent = t(leaving ? "stop" : "selection.download");
    zip.title = leaving ? t("selection.stop") : t("selection.download_help", { n: picked.size }) + (known ? `, ${size(known)}` : "");
  }

  /** Everything that is known of what is selected; what was never loaded is asked for. */
  async function records() {
    const missing = [...picked].filter(([, hit]) => !hit).map(([id]) => id);
    const put = (id, record) => picked.has(id) && picked.set(id, record); // it may have been dropped meanwhile
    const ask = async () => {
      for (let id = missing.pop(); id !== undefined; id = missing.pop()) put(id, await api.get(`/images/${id}`));
    };
    await Promise.all(Array.from({ length: AT_ONCE }, ask));
    return [...picked.values()];
  }

  async function copyPaths() {
    try {
      const paths = (await records()).map((record) => record.path);
      if (await copy(paths.join("\n"))) toast(t("selection.paths_copied", { n: paths.length }));
      else toast(t("copy.refused"), { kind: "error", detail: t("selection.export_has_paths") });
    } catch (error) {
      toastError(error);
    }
  }

  async function exportCsv() {
    try {
      const answer = await fetched("/export", { ids: [...picked.keys()].map(Number) });
      save(await answer.blob(), "photoseek.csv");
    } catch (error) {
      toastError(error);
    }
  }

  async function fetched(path, body, signal) {
    const answer = await fetch(api.address(path), {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(body),
      signal,
    });
    if (answer.ok) return answer;
    const said = await answer.json().catch(() => ({}));
    throw Object.assign(new Error(said.title ?? t("problem.status", { status: String(answer.status) })), { title: said.title, detail: said.detail });
  }

  async function downloadZip() {
    if (leaving) {
      leaving.abort();
      return;
    }
    leaving = new AbortController();
    show();
    const ids = [...picked.keys()].map(Number);
    const files = Math.ceil(ids.length / MOST);
    let done = 0, leftOut = 0;
    const tell = (bytes) => (zip.lastElementChild.textContent = `${t("stop")} (${size((done += bytes))})`);
    try {
      for (let file = 0; file < files; file += 1) {
        const part = ids.slice(file * MOST, (file + 1) * MOST);
        const answer = await fetched("/download", { ids: part }, leaving.signal);
        leftOut += Number(answer.headers.get("Photoseek-Left-Out")) || 0;
        save(await counted(answer, tell), files > 1 ? `photoseek-${file + 1}.zip` : "photoseek.zip");
      }
      toast(t("selection.downloaded", { n: ids.length - leftOut }), { detail: leftOut ? `${size(done)}. ${t("zip.left_out", { n: leftOut })}` : size(done) });
    } catch (error) {
      toastError(error);
    }
    leaving = null;
    show();
  }

  function alike(which) {
    const other = which === "more" ? "less" : "more";
    const ids = [...picked.keys()].slice(0, EXAMPLES);
    if (picked.size > EXAMPLES) toast(t("selection.first", { n: EXAMPLES }));
    const now = state.get();
    clear();
    state.update({ [which]: [...now[which], ...ids], [other]: now[other].filter((id) => !ids.includes(id)) });
  }

  return { show, all };
}

/** An answer's body as a blob, which the browser keeps on disk if it is large; an array of pieces would be in memory. */
function counted(answer, tell) {
  const counting = new TransformStream({
    transform(chunk, out) {
      tell(chunk.byteLength);
      out.enqueue(chunk);
    },
  });
  return new Response(answer.body.pipeThrough(counting), { headers: { "Content-Type": "application/zip" } }).blob();
}
