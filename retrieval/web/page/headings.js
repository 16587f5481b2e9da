/** The headings of the wall: months and days, each of which stays at the upper edge as long as its pictures are seen. */

import { h } from "./parts.js";
import { count, date, t } from "./words.js";

const MONTH = { month: "long", year: "numeric", timeZone: "UTC" };
const DAY = { weekday: "short", day: "numeric", month: "short", timeZone: "UTC" };

/** "2023-12" as people say it; "2023" where no more is known; "" for no date. @param {string} month */
export function monthName(month) {
  if (!month) return t("days.undated");
  return month.length < 7 ? month : date(new Date(`${month}-01T00:00:00Z`), MONTH);
}

/** "2023-12-24" as people say it, without its year; where the day is not known, that. @param {string|null} day */
export function dayName(day) {
  if (!day) return "";
  return day.length < 10 ? t("days.unknown") : date(new Date(`${day}T00:00:00Z`), DAY);
}

/** @param {HTMLElement} element a layer over the grid, of the same size */
export function createHeadings(element) {
  const shown = new Map(); // key -> its element

  function make({ kind, day, count: n }) {
    const name = kind === "month" ? monthName(day) : dayName(day);
    const heading = h(kind === "month" ? "h2" : "h3", { class: "heading" }, name && h("span", null, name), h("small", { "aria-label": t("days.count", { n }) }, count(n)));
    return h("div", { class: `span ${kind}` }, heading);
  }

  return {
    /** Make the layer hold exactly these headings. @param {Iterable<any>} heads see Arrangement.headsBetween */
    draw(heads) {
      const gone = new Set(shown.keys());
      for (const head of heads) {
        const key = `${head.key} ${head.day} ${head.count}`;
        gone.delete(key);
        let span = shown.get(key);
        if (!span) {
          shown.set(key, (span = make(head)));
          element.append(span);
        }
        Object.assign(span.style, { top: `${head.top}px`, height: `${head.bottom - head.top}px`, left: `${head.left}px`, width: head.width === null ? "100%" : `${head.width}px` });
      }
      for (const key of gone) {
        shown.get(key).remove();
        shown.delete(key);
      }
    },
    /** Pixels below the page's header that headings cover. */
    stuck: () => (shown.size ? 84 : 0),
  };
}
