// How an indexing run reads.

import { count, plural } from "./parts.js";

const STAGES = { walk: "Looking for pictures", encode: "Reading pictures", index: "Finishing the index" };
const CHANGES = [["added", "added"], ["updated", "changed"], ["moved", "moved"], ["restored", "back"], ["encoded_again", "read again"], ["retired", "gone"], ["failed", "could not be read"]];

/** How far it is. @param {any} now */
export function progressText(now) {
  if (now.state === "stopping") return "Stopping. What was read stays.";
  const stage = STAGES[now.stage] ?? "Starting";
  const parts = [now.total ? `${stage}: ${count(now.done)} of ${count(now.total)}` : `${stage}${now.done ? `: ${count(now.done)}` : "…"}`];
  if (now.rate) parts.push(`${now.rate.toFixed(1)} a second`);
  if (now.seconds_left > 5 && now.stage === "encode") parts.push(`about ${duration(now.seconds_left)} left`);
  return parts.join(" · ");
}

/** What it did. @param {any} report */
export function changesText(report) {
  const parts = CHANGES.filter(([name]) => report[name]).map(([name, text]) => `${count(report[name])} ${text}`);
  return parts.length ? parts.join(", ") : `Nothing new: ${plural(report.images ?? 0, "picture")} as before`;
}

/** @param {number} seconds */
export function duration(seconds) {
  if (seconds < 90) return `${seconds < 10 ? seconds.toFixed(1) : Math.round(seconds)} s`;
  const minutes = Math.round(seconds / 60);
  return minutes < 90 ? plural(minutes, "minute") : `${(minutes / 60).toFixed(1)} hours`;
}
