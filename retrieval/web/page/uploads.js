/**
 * Pictures that people search with: from the file chooser, dropped anywhere, or pasted. The server keeps only what its
 * model sees in them, under an id; the small preview stays in this tab.
 */

import { t } from "./words.js";

const KEY = "photoseek.upload.";
const SIDE = 96;
const SLIP = 24; // pixels
const MOST = 16; // pictures of one question
const watchers = new Set();
const previews = new Map();

/** Call a function when a preview has become known. */
export const watch = watcher => watchers.add(watcher);

function remembered(id) {
  if (!previews.has(id)) {
    try {
      previews.set(id, JSON.parse(sessionStorage.getItem(KEY + id)) ?? {});
    } catch {
      previews.set(id, {});
    }
  }
  return previews.get(id);
}

/** @param {string} id @returns {string} an address for <img>, or "" */
export const preview = id => remembered(id).source ?? "";

/** @param {string} id */
export const nameOf = id => remembered(id).name ?? t("upload.yours");

async function remember(id, file) {
  const entry = { name: file.name || t("upload.pasted"), source: "" };
  previews.set(id, entry);
  try {
    const bitmap = await createImageBitmap(file, { resizeHeight: SIDE, resizeQuality: "medium" });
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [bitmap.width, bitmap.height];
    canvas.getContext("2d").drawImage(bitmap, 0, 0);
    entry.source = canvas.toDataURL("image/jpeg", 0.8);
    sessionStorage.setItem(KEY + id, JSON.stringify(entry));
  } catch {
    // A format that this browser does not draw, or no room to keep it: the chip goes without a picture.
  }
  for (const watcher of watchers) watcher();
}

/**
 * @param {{state: typeof import("./state.js"), api: any, toast: any, toastError: any}} shared
 */
export function mount({ state, api, toast, toastError }) {
  const overlay = document.getElementById("drop");
  const chooser = /** @type {HTMLInputElement} */ (document.getElementById("picture"));
  let depth = 0, own = null, from = [0, 0];

  /** A picture more in the question; the first one takes the place of words, which were another question. */
  function ask(id) {
    const { like, q, not } = state.get();
    const first = like.length ? { q, not } : { q: "", not: [], more: [], less: [], min_score: "" };
    state.update({ ...first, like: [...like, id].slice(-MOST), sort: "", reverse: false, weaker: false, view: "grid", open: "" });
  }

  async function searchWithAll(files) {
    for (const file of [...files].slice(0, MOST)) await searchWith(file);
  }

  async function searchWith(file) {
    if (file.type && !file.type.startsWith("image/")) {
      toast(t("upload.no_picture", { name: file.name }), { kind: "error" });
      return;
    }
    document.body.classList.add("busy");
    const form = new FormData();
    form.append("picture", file, file.name || "picture");
    form.append("query", JSON.stringify({ k: 1 }));
    try {
      const answer = await api.post("/search", form);
      await remember(answer.upload, file);
      ask(answer.upload);
    } catch (error) {
      toastError(error);
    } finally {
      document.body.classList.remove("busy");
    }
  }

  document.getElementById("pick-picture").addEventListener("click", () => chooser.click());
  chooser.addEventListener("change", () => {
    searchWithAll([...chooser.files]);
    chooser.value = "";
  });

  addEventListener("paste", event => {
    const files = [...(event.clipboardData?.files ?? [])].filter(one => one.type.startsWith("image/"));
    if (!files.length) return;
    event.preventDefault();
    searchWithAll(files);
  });

  const welcome = event => own !== null || [...(event.dataTransfer?.types ?? [])].includes("Files");
  const done = () => {
    depth = 0;
    overlay.hidden = true;
  };
  // A picture of the page itself can be dropped too; browsers then offer a file, which need not be uploaded.
  addEventListener("dragstart", event => {
    own = event.target.closest?.(".cell")?.dataset.id ?? null;
    from = [event.clientX, event.clientY];
  });
  addEventListener("dragend", () => {
    own = null;
    done();
  });
  addEventListener("dragenter", event => {
    if (!welcome(event)) return;
    event.preventDefault();
    depth += 1;
    overlay.hidden = false;
  });
  addEventListener("dragover", event => welcome(event) && event.preventDefault());
  addEventListener("dragleave", event => welcome(event) && (depth -= 1) <= 0 && done());
  addEventListener("drop", event => {
    if (!welcome(event)) return;
    event.preventDefault();
    const mine = own;
    own = null;
    done();
    const files = event.dataTransfer.files;
    // A hand that slips while it clicks means the click.
    const slipped = Math.hypot(event.clientX - from[0], event.clientY - from[1]) < SLIP;
    if (mine && slipped) state.update({ open: mine });
    else if (mine) ask(mine);
    else searchWithAll(files);
  });
}
