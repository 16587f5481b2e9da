// A gallery without pictures: a folder is chosen here, and its pictures appear while they are read.

import { mayEdit } from "./edits.js";
import { folderPicker } from "./folderpicker.js";
import { progressText } from "./indexwords.js";
import { styled } from "./lazily.js";
import { h } from "./parts.js";
import { icon } from "./tiles.js";
import { t } from "./words.js";

/**
 * @param {HTMLElement} message where the page says what it has to say
 * @param {{api: any, toastError: (error: any) => void}} page
 */
export async function showFirstRun(message, { api, toastError }) {
  await styled("indexing.css");
  const title = h("h2", null, t("empty.no_pictures"));
  const text = h("p", null, t(mayEdit() ? "first.choose" : "first.read_only"));
  const body = h("div", { class: "first-run" });
  message.className = "empty";
  message.replaceChildren(h("div", { class: "empty-icon" }, icon("picture")), title, text, body);
  message.hidden = false;
  if (!mayEdit()) return;

  async function start(folders) {
    try {
      await api.post("/index", { folders });
      watch({ detail: await api.get("/index") });
      dispatchEvent(new Event("indexing-started"));
    } catch (error) {
      toastError(error);
    }
  }

  const bar = h("progress", { "aria-label": t("views.indexing") });
  const told = h("p", { role: "status" });
  let known = null;

  function watch({ detail: now }) {
    if (!message.contains(title)) return removeEventListener("indexing", watch);
    if (!now?.running) {
      if (now?.error) text.textContent = t("first.failed");
      else if (now?.report && bar.isConnected) text.textContent = t("first.nothing_found");
      if (bar.isConnected) offer();
      return;
    }
    title.textContent = t("first.looking");
    text.textContent = t("first.looking_help");
    if (now.total) [bar.max, bar.value] = [now.total, now.done];
    else bar.removeAttribute("value");
    told.textContent = progressText(now);
    if (!bar.isConnected) body.replaceChildren(bar, told);
  }

  function offer() {
    title.textContent = t("empty.no_pictures");
    const again = known?.length ? h("button", { type: "button", class: "button", onclick: () => start([]) }, t("empty.index_known", { n: known.length })) : "";
    body.replaceChildren(folderPicker({ api, onChoose: (path) => start([path]) }).element, again);
  }

  addEventListener("indexing", watch);
  const [now, stats] = await Promise.all([api.get("/index").catch(() => null), api.get("/stats").catch(() => null)]);
  known = stats?.folders;
  if (now?.running) watch({ detail: now });
  else if (now?.may_browse) offer();
  else text.textContent = t("first.not_here");
}
