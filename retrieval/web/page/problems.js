/** What went wrong, in the words of people and of the page's language; the server's own are for those who run commands. */

import { has, language, t } from "./words.js";

// What tells that a text is for the command line, or a pattern.
const TECHNICAL = /(^|[\s'"(`])--?[a-z][\w-]+|\bphotoseek [a-z]+|\bpip3? install\b|\bPHOTOSEEK_|\bsqlite|\btraceback|\[\^|\\[dws]|\(\?/i;
const MODELS = ["encoder-error", "unknown-encoder", "weights-unavailable", "model-gone", "encoder-mismatch", "earlier-builtin", "runtime-unavailable", "cpu-only"];
const QUESTIONS = ["query-error", "query-syntax-error", "spec-error"]; // what these say is about what somebody wrote

/** A text for people as it is, and "" for one that is for the command line. @param {string} text */
export const withoutCommands = (text) => (TECHNICAL.test(text) ? "" : text);

/**
 * @param {{status: number, type?: string, title?: string, detail?: string}} said by the server
 * @returns {{title: string, detail: string}}
 */
export function inPeoplesWords({ status, type = "", title = "", detail = "" }) {
  const name = type.slice(type.lastIndexOf("/") + 1);
  const kind = MODELS.includes(name) ? "model" : name.replaceAll("-", "_");
  const plain = withoutCommands;
  if (QUESTIONS.includes(name)) return language === "en" && plain(title) ? { title, detail: plain(detail) } : { title: t("problem.question"), detail: plain(title) };
  if (has(`problem.of_${kind}`)) return { title: t(`problem.of_${kind}`), detail: has(`problem.of_${kind}_help`) ? t(`problem.of_${kind}_help`) : "" };
  if (has(`problem.status_${status}`)) return { title: t(`problem.status_${status}`), detail: "" };
  return { title: language === "en" && plain(title) ? title : t("problem.status", { status: String(status) }), detail: language === "en" ? plain(detail) : "" };
}
