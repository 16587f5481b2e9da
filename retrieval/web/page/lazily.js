// Views that most visits never open cost nothing until they are opened.

import { h } from "./parts.js";
import { toastError } from "./toast.js";
import { t } from "./words.js";

/** @type {Map<string, Promise<void>>} */
const sheets = new Map();

/** Resolves when a style sheet applies. @param {string} name @returns {Promise<void>} */
export function styled(name) {
  if (!sheets.has(name)) sheets.set(name, load(name));
  return /** @type {Promise<void>} */ (sheets.get(name));
}

function load(name) {
  return new Promise((resolve, reject) => {
    const link = h("link", { rel: "stylesheet", href: `/static/${name}`, onload: () => resolve() });
    link.addEventListener("error", () => {
      sheets.delete(name);
      link.remove();
      reject(new Error(t("problem.not_loaded", { name })));
    });
    document.head.append(link);
  });
}

/**
 * A function that does something once: if that failed, which is told, the next call does it again.
 * @template {any[]} Given
 * @param {(...given: Given) => Promise<void>} start
 * @returns {(...given: Given) => Promise<void>}
 */
export function once(start) {
  /** @type {Promise<void> | null} */
  let begun = null;
  return (...given) => (begun ??= start(...given).catch((error) => {
    begun = null; // the server may be back at the next visit
    toastError(error);
  }));
}

/**
 * Call a function once, when a view is looked at for the first time and its style sheet is there.
 * @param {any} state @param {string} view @param {string} sheet @param {() => Promise<void>} start
 */
export function whenSeen(state, view, sheet, start) {
  const begin = once(async () => {
    await Promise.all([styled("panels.css"), styled(sheet)]);
    await start();
  });
  const look = () => state.get().view === view && begin();
  state.subscribe(look);
  look();
}
