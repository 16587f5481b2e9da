// Short messages at the edge of the page, which go away by themselves unless they need an answer.

import { h } from "./parts.js";
import { t } from "./words.js";

const SECONDS = 6;
let shelf = null;

/**
 * Say something.
 * @param {string} text
 * @param {{kind?: "info"|"error", detail?: string, action?: {label: string, run: () => void}}} [how] errors stay longer
 */
export function toast(text, { kind = "info", detail = "", action } = {}) {
  shelf ??= h("div", { class: "toasts", role: "status", "aria-live": "polite" });
  // Above a dialog there is only what lies in it.
  const dialog = document.querySelector("dialog[open]");
  (dialog ?? document.body).append(shelf);
  // What is said, and the way to undo it, outlives the dialog.
  dialog?.addEventListener("close", () => shelf.parentElement === dialog && document.body.append(shelf), { once: true });
  const close = () => {
    clearTimeout(timer);
    note.remove();
  };
  const note = h(
    "div",
    { class: `toast ${kind}` },
    h("div", { class: "toast-text" }, h("p", { dir: "auto" }, text), detail && h("p", { class: "toast-detail", dir: "auto" }, detail)),
    action && h("button", { type: "button", class: "button", onclick: () => (close(), action.run()) }, action.label),
    h("button", { type: "button", class: "toast-close", "aria-label": t("toast.dismiss"), onclick: close }, "×"),
  );
  let timer = 0;
  const wait = () => (timer = setTimeout(close, (kind === "error" || action ? 2 : 1) * SECONDS * 1000));
  note.addEventListener("pointerenter", () => clearTimeout(timer));
  note.addEventListener("pointerleave", wait);
  while (shelf.childElementCount > 2) shelf.firstElementChild.remove();
  shelf.append(note);
  wait();
}

/** Say what an error says; a request that was called off is none. @param {any} error */
export function toastError(error) {
  if (error?.name === "AbortError") return;
  toast(error?.title ?? error?.message ?? String(error), { kind: "error", detail: error?.detail });
}
