/**
 * Changes of what people say about pictures and about who is in them. Each is one request or a few, told by a short message with "Undo", and
 * taken back or made again by Ctrl+Z and Ctrl+Shift+Z, also after a reload. Another tab's changes are not touched.
 */

import * as api from "./api.js";
import { toast, toastError } from "./toast.js";
import { t } from "./words.js";

const KEY = "photoseek.edits";
const MOST = 100; // changes that can be taken back here; the server keeps more
const AT_ONCE = 50_000; // pictures of one request

let [done, undone] = remembered(); // each entry: the tokens of one change

/** False on a server that was started read-only: then nothing offers to change anything. */
export const mayEdit = () => document.body.dataset.readOnly !== "true";

/** Gives the keys their meaning. */
export function mount() {
  document.addEventListener("keydown", event => {
    if (!(event.ctrlKey || event.metaKey) || event.altKey || event.key.toLowerCase() !== "z") return;
    if (event.target.closest?.("input:not([type=checkbox], [type=radio]), textarea, [contenteditable]") || !mayEdit()) return;
    event.preventDefault();
    event.shiftKey ? redo() : undo();
  });
}

/**
 * Change labels of pictures.
 * @param {(number|string)[]} ids
 * @param {Record<string, unknown>} patch fields of POST /labels
 * @param {(n: number) => string} told what is said of n pictures
 * @returns {Promise<boolean>} whether all of it was done
 */
export const label = (ids, patch, told, detail = "") => change("/labels", ids, patch, ({ changed }) => told(changed), detail);

/**
 * Put pictures into an album or take them out.
 * @param {{id: number, name: string}} album @param {"add"|"remove"} how @param {(number|string)[]} ids
 */
export const fill = ({ id, name }, how, ids) =>
  change(`/albums/${id}/${how}`, ids, {}, ({ changed: n }) => (n ? how === "add" ? t("album.added", { n, name }) : t("album.removed", { n, name }) : t("album.unchanged", { name })));

/** Any other change: a request whose answer has `undo`, one token or several. @param {() => Promise<any>} ask @param {(answer: any) => string} told */
export async function once(ask, told, detail = "") {
  try {
    const answer = await ask();
    say(told(answer), [answer.undo ?? []].flat(), detail);
    return answer;
  } catch (error) {
    toastError(error);
    return null;
  }
}

async function change(path, ids, patch, told, detail) {
  const tokens = [], sum = { pictures: 0, changed: 0, unknown: 0 };
  try {
    for (let at = 0; at < ids.length; at += AT_ONCE) {
      const answer = await api.post(path, { ids: ids.slice(at, at + AT_ONCE).map(Number), ...patch });
      for (const name in sum) sum[name] += answer[name];
      if (answer.undo) tokens.push(answer.undo);
    }
  } catch (error) {
    if (!sum.pictures) toastError(error);
    else say(t("edit.failed_at", { done: sum.pictures, total: ids.length }), tokens, error.title ?? String(error), "error");
    if (sum.changed) touched();
    return false;
  }
  const missing = sum.unknown ? t("edit.unknown", { n: sum.unknown }) : "";
  say(sum.changed || path !== "/labels" ? told(sum) : t("edit.nothing"), tokens, missing || (sum.changed ? detail : ""));
  if (sum.changed) touched();
  return true;
}

/** Facets and lists show a change at once, not when the server's events tell of it. */
const touched = () => dispatchEvent(new Event("labels-changed"));

function say(text, tokens, detail = "", kind = "info") {
  if (tokens.length) {
    done.push(tokens);
    undone = [];
    keep();
  }
  toast(text, { detail, kind, action: tokens.length ? { label: t("undo.undo"), run: () => takeBack(tokens) } : undefined });
}

/** Take back the last change that was made in this tab. */
export function undo() {
  const tokens = done.at(-1);
  if (tokens) return takeBack(tokens);
  toast(t("undo.none"));
}

/** Make the change again that was taken back last. */
export function redo() {
  const tokens = undone.at(-1);
  if (tokens) return takeBack(tokens, true);
  toast(t("undo.none_again"));
}

async function takeBack(tokens, again = false) {
  const [from, to] = again ? [undone, done] : [done, undone];
  const at = from.indexOf(tokens);
  if (at >= 0) from.splice(at, 1);
  const answers = [];
  try {
    for (const token of [...tokens].reverse()) answers.push(await api.post(`/undo/${token}`));
  } catch (error) {
    toastError(error);
  }
  const next = answers.map(({ undo: token }) => token).filter(Boolean).reverse();
  if (next.length) to.push(next);
  keep();
  if (answers.length) tell(answers, again, next);
  touched();
}

function tell(answers, again, next) {
  const sum = name => answers.reduce((all, answer) => all + answer[name], 0);
  const [n, conflicts] = [sum("pictures"), sum("conflicts_total")];
  const left = answers.flatMap(answer => answer.left), albums = answers.flatMap(answer => answer.albums);
  const detail = [
    conflicts && t("undo.conflicts", { n: conflicts }),
    ...albums.map(name => t("undo.albums", { name })),
    ...answers.flatMap(answer => answer.people).map(name => t("undo.people", { name })),
    left.length && `${t("undo.left", { n: left.length })}: ${left[0]}`,
  ].filter(Boolean).join(". ");
  // A finger has no Ctrl+Shift+Z.
  const action = next.length ? { label: t(again ? "undo.undo" : "undo.again"), run: () => takeBack(next, !again) } : undefined;
  toast(t(again ? "undo.redone" : "undo.undone", { n: n || 1 }), { detail, kind: detail ? "error" : "info", action });
}

function keep() {
  done = done.slice(-MOST);
  undone = undone.slice(-MOST);
  try {
    sessionStorage.setItem(KEY, JSON.stringify([done, undone]));
  } catch {
    // No room, or not allowed: then they are known until the page is left.
  }
}

function remembered() {
  try {
    const found = JSON.parse(sessionStorage.getItem(KEY) ?? "[[], []]");
    if (found.every(list => list.every(Array.isArray))) return found;
  } catch {
    // Of another version of the page.
  }
  return [[], []];
}
