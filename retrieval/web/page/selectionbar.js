// What can be done with the selected pictures: their paths, a table, the files, or others like them.

import { copy, count, h, plural, save, size } from "./parts.js";
import { icon } from "./tiles.js";
import { toast, toastError } from "./toast.js";

const EXAMPLES = 20; // of "more like these": further ones hardly move the mean, and each stands in the URL
const AT_ONCE = 6;
const MOST = 500; // pictures that the server puts into one zip file

/**
 * @param {HTMLElement} element
 * @param {{picked: Map<string, any>, state: any, api: any, results: any, selectAll: () => number, clear: () => void}} page
 */
export function createBar(element, { picked, state, api, results, selectAll, clear }) {
  const told = h("output", { class: "selection-told" });
  const button = (name, text, run) =>
    h("button", { type: "button", class: "button", title: text, onclick: run }, icon(name), h("span", null, text));
  const zip = button("zip", "Download", downloadZip);
  element.setAttribute("role", "region");
  element.setAttribute("aria-label", "Selection");
  element.append(
    told,
    h("div", { class: "selection-actions" },
      button("check", "Select all", all),
      button("copy", "Copy paths", copyPaths),
      button("download", "Export CSV", exportCsv),
      zip,
      button("plus", "More like these", () => alike("more")),
      button("minus", "Less like these", () => alike("less"))),
    h("button", { type: "button", class: "plain", "aria-label": "Clear selection", title: "Clear selection (Esc)", onclick: clear }, icon("close")),
  );
  let leaving = null; // what calls off a download

  function all() {
    const loaded = selectAll();
    if (results.total() > loaded) toast(`${plural(loaded, "loaded picture")} of ${count(results.total())} selected`, { detail: "Scroll on to load more of them." });
  }

  function show() {
    element.hidden = picked.size === 0;
    if (!picked.size) leaving?.abort();
    const hits = [...picked.values()];
    const known = hits.reduce((sum, hit) => sum + (hit?.bytes ?? 0), 0);
    told.replaceChildren(h("b", null, count(picked.size)), " selected", known ? h("span", { class: "selection-size" }, size(known)) : "");
    zip.lastElementChild.textContent = leaving ? "Stop" : "Download";
    zip.title = leaving ? "Stop the download" : `Download ${plural(picked.size, "picture")} as a zip file${known ? `, ${size(known)}` : ""}`;
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
      if (await copy(paths.join("\n"))) toast(`${plural(paths.length, "path")} copied`);
      else toast("The browser does not let this page copy", { kind: "error", detail: "Export CSV has the paths too." });
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
    throw Object.assign(new Error(said.title ?? `The server answered ${answer.status}`), { title: said.title, detail: said.detail });
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
    let done = 0;
    const tell = (bytes) => (zip.lastElementChild.textContent = `Stop (${size((done += bytes))})`);
    try {
      for (let file = 0; file < files; file += 1) {
        const part = ids.slice(file * MOST, (file + 1) * MOST);
        const answer = await fetched("/download", { ids: part }, leaving.signal);
        save(await counted(answer, tell), files > 1 ? `photoseek-${file + 1}.zip` : "photoseek.zip");
      }
      toast(`${plural(ids.length, "picture")} downloaded`, { detail: size(done) });
    } catch (error) {
      toastError(error);
    }
    leaving = null;
    show();
  }

  function alike(which) {
    const other = which === "more" ? "less" : "more";
    const ids = [...picked.keys()].slice(0, EXAMPLES);
    if (picked.size > EXAMPLES) toast(`Going by the first ${EXAMPLES} of them`);
    const now = state.get();
    clear();
    state.update({ [which]: [...now[which], ...ids], [other]: now[other].filter((id) => !ids.includes(id)) });
  }

  return { show };
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
