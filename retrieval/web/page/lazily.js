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
 * Call a function once, when a view is looked at for the first time and its style sheet is there.
 * @param {any} state @param {string} view @param {string} sheet @param {() => Promise<void>} start
 */
export function whenSeen(state, view, sheet, start) {
  let begun = false;
  const look = async () => {
    if (begun || state.get().view !== view) return;
    begun = true;
    try {
      await Promise.all([styled("panels.css"), styled(sheet)]);
      await start();
    } catch (error) {
      begun = false; // the server may be back at the next visit
      toastError(error);
    }
  };
  state.subscribe(look);
  look();
}
