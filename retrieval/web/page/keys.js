/** Keys: one table for what they do and for the page that lists them. */

import { languageChoice } from "./appearance.js";
import { h } from "./parts.js";
import { icon } from "./tiles.js";
import { parts, t } from "./words.js";

const entries = [];
const NAMES = { ArrowLeft: "←", ArrowRight: "→", ArrowUp: "↑", ArrowDown: "↓", " ": t("key.space"), Escape: t("key.escape"), Shift: t("key.shift"), Ctrl: t("key.ctrl"), click: t("key.click") };

/**
 * Give keys a meaning.
 * @param {string[]} keys as in `KeyboardEvent.key`
 * @param {string} label for the list of keys; "" keeps it out
 * @param {(event: KeyboardEvent) => void} run
 * @param {{group?: string, when?: (event: KeyboardEvent) => boolean}} [how] when: whether they have it now
 */
export function add(keys, label, run, { group = t("keys.everywhere"), when = () => true } = {}) {
  entries.push({ keys, label, run, group, when });
}

/** List keys that others take care of. @param {[string, string][]} rows key and label @param {string} [group] */
export function describe(rows, group = t("views.pictures")) {
  for (const [key, label] of rows) entries.push({ keys: key.split(" "), label, run: null, group, when: () => false });
}

/** Whether keys are text there. @param {EventTarget|null} target */
export function isWriting(target) {
  return target instanceof HTMLElement && (target.isContentEditable || target.matches("textarea, select, input:not([type=checkbox], [type=radio])"));
}

/** A list or a slider has a use for letters, digits and arrows, and for no other keys. */
const isChoosing = target => target.matches("select, input[type=range]");

function onKey(event) {
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  if (isWriting(event.target) && !(isChoosing(event.target) && "/?".includes(event.key))) return;
  const entry = entries.find(one => one.run && one.keys.includes(event.key) && one.when(event));
  if (!entry) return;
  event.preventDefault();
  entry.run(event);
}

/** @param {HTMLDialogElement} dialog */
export function mount(dialog) {
  document.addEventListener("keydown", onKey);
  const open = () => {
    dialog.replaceChildren(...contents(dialog));
    dialog.showModal();
  };
  document.getElementById("help-button").addEventListener("click", open);
  dialog.addEventListener("click", event => event.target === dialog && dialog.close());
  add(["?"], t("keys.this_list"), open, { when: () => !document.querySelector("dialog[open]") });
}

function contents(dialog) {
  const groups = new Map();
  for (const { keys, label, group } of entries) {
    if (!label) continue;
    if (!groups.has(group)) groups.set(group, []);
    const shown = keys.map(key => h("kbd", null, NAMES[key] ?? key));
    groups.get(group).push(h("div", null, h("dt", null, shown), h("dd", null, label)));
  }
  const lists = [...groups].map(([group, rows]) => h("section", null, h("h3", null, group), h("dl", null, rows)));
  return [
    h("div", { class: "dialog-head" }, h("h2", { id: "help-title" }, t("help.title")),
      h("button", { type: "button", class: "plain", "aria-label": t("close"), onclick: () => dialog.close() }, icon("close"))),
    h("p", null, parts("help.searching", Object.fromEntries(["plain", "sum", "weight"].map(name => [name, h("q", null, t(`help.example_${name}`))])))),
    h("div", { class: "key-groups" }, lists),
    languageChoice(),
  ];
}
