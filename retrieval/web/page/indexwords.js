// How an indexing run reads.

import { count } from "./parts.js";
import { decimal, list as joined, t } from "./words.js";

const STAGES = ["walk", "encode", "index", "text", "faces"];
const CHANGES = ["added", "updated", "moved", "restored", "encoded_again", "retired", "failed"];

/** How far it is. @param {any} now */
export function progressText(now) {
  if (now.state === "stopping") return t("indexing.stopping");
  const stage = t(`indexing.stage_${STAGES.includes(now.stage) ? now.stage : "start"}`);
  const parts = [now.total ? t("progress.of", { stage, done: now.done, total: now.total }) : stage + (now.done ? `: ${count(now.done)}` : "…")];
  if (now.rate) parts.push(t("indexing.rate", { n: decimal(now.rate, 1) }));
  if (now.seconds_left > 5 && now.stage === "encode") parts.push(t("indexing.left", { time: duration(now.seconds_left) }));
  return parts.join(" · ");
}

/** What it did. @param {any} report */
export function changesText(report) {
  const parts = CHANGES.filter((name) => report[name]).map((name) => t(`indexing.${name}`, { n: report[name] }));
  return parts.length ? joined(parts) : t("indexing.nothing_new", { n: report.images ?? 0 });
}

/** @param {number} seconds */
export function duration(seconds) {
  if (seconds < 90) return t("seconds", { n: seconds < 10 ? decimal(seconds, 1) : count(Math.round(seconds)) });
  const minutes = Math.round(seconds / 60);
  return minutes < 90 ? t("minutes", { n: minutes }) : t("hours", { n: decimal(minutes / 60, 1) });
}
