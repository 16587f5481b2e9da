/**
 * The days of a list as sections of the wall: which pictures stand under which heading, and where. Days with few
 * pictures stand side by side in one row. Pure functions of numbers, in linear time.
 *
 * @typedef {object} Part pictures under one heading, or the continuation of a day that is too long for one unit
 * @property {number} count
 * @property {string|null} day      "2023-12-24", "2023-12", "2023"; null: no date is known
 * @property {number} whole         pictures of the whole day; 0 in a continuation, which has no heading
 *
 * @typedef {object} Unit pictures that are laid out together
 * @property {number} first         how many pictures come before it
 * @property {number} count
 * @property {boolean} fill         its last row is as wide as the others
 * @property {number|null} cut      how many of its pictures come before the line of the weaker matches, if that is in it
 * @property {Part[]} parts         none where the list is not by days
 * @property {boolean} opens        a month begins with it, and has a heading
 */

import { emptyLayout, section } from "./layout.js";

export const MONTH_HEIGHT = 52, DAY_HEIGHT = 36;
const BETWEEN_DAYS = 20; // between two days in one row
const NARROWEST = 132; // of a day in a row: its heading has to fit
const SIZE = 200; // pictures of a unit, about

/** The month of a day, "2023-12"; the year where no more is known; "" for no date. @param {string|null} day */
export const monthOf = day => (day ?? "").slice(0, 7);

/**
 * Units of a list by days.
 * @param {[string|null, number][]} days in the order of the list
 * @param {number|null} cut where the weaker matches begin; a day ends there
 * @returns {Unit[]}
 */
export function unitsOfDays(days, cut) {
  const units = [];
  let first = 0, unit = null, month = null;
  const begin = opens => units.push((unit = { first, count: 0, fill: false, cut: null, parts: [], opens }));
  for (const [day, whole] of days) {
    const now = monthOf(day);
    if (!unit || now !== month || first === cut || unit.count >= SIZE) begin(now !== month || first === cut);
    if (first === cut) unit.cut = 0;
    month = now;
    for (let left = whole; left > 0; ) {
      // A long day is a row of units, whose rows are full up to the last one.
      if (left < whole) begin(false);
      const count = left > 2 * SIZE ? SIZE : left;
      unit.parts.push({ count, day, whole: left === whole ? whole : 0 });
      unit.count += count;
      unit.fill = count < left;
      first += count;
      left -= count;
    }
  }
  return units;
}

/** Units of a list that is not by days. @param {number} total @param {number} block @param {number|null} cut @returns {Unit[]} */
export function unitsOfBlocks(total, block, cut) {
  return Array.from({ length: Math.ceil(total / block) }, (_, number) => {
    const first = number * block, count = Math.min(block, total - first);
    const at = cut === null ? -1 : cut - first;
    return { first, count, fill: first + count < total, cut: at >= 0 && at < count ? at : null, parts: [], opens: false };
  });
}

/**
 * Lay a unit with days out.
 * @param {Float32Array} aspects of its pictures
 * @param {import("./layout.js").Measure} measure
 * @param {Unit} unit
 * @param {Map<string, import("./layout.js").Layout>|null} known layouts of days by their number of pictures, for pictures
 *   whose shapes are guessed: those of two days with as many are the same
 * @returns {import("./layout.js").Layout & {heads: {part: number, left: number, top: number, width: number, bottom: number}[]}}
 */
export function layOutDays(aspects, measure, unit, known = null) {
  const { width, gap, target } = measure;
  const layout = { ...emptyLayout(aspects.length), heads: [] };
  let y = 0, at = 0, row = [], used = 0;
  if (unit.cut === 0) [layout.cutTop, y] = [0, measure.cutHeight];
  if (unit.opens) y += MONTH_HEIGHT;

  function close() {
    for (const { part, from, to, left, wide } of row) {
      layout.heads.push({ part, left, top: y, width: wide, bottom: y + DAY_HEIGHT + target });
      let x = left;
      for (let i = from; i < to; i++) {
        layout.left[i] = Math.round(x);
        layout.width[i] = Math.max(1, Math.round(x + aspects[i] * target) - layout.left[i]);
        layout.top[i] = y + DAY_HEIGHT;
        layout.height[i] = target;
        x += aspects[i] * target + gap;
      }
    }
    if (row.length) y += DAY_HEIGHT + target + gap;
    [row, used] = [[], 0];
  }

  function copied(from, to, fill) {
    const key = `${to - from} ${fill}`;
    let rows = known.get(key);
    if (!rows) {
      known.set(key, (rows = emptyLayout(to - from)));
      rows.total = section(rows, aspects.subarray(from, to), 0, to - from, 0, measure, fill);
    }
    for (const side of ["left", "width", "height"]) layout[side].set(rows[side], from);
    for (let i = from; i < to; i++) layout.top[i] = y + rows.top[i - from];
    return y + rows.total;
  }

  unit.parts.forEach(({ count, whole, day }, part) => {
    const headed = whole > 0 && day !== null; // what has no date has one heading, that of its month
    const from = at, to = (at += count);
    let natural = gap * (count - 1);
    for (let i = from; i < to && natural <= width; i++) natural += aspects[i] * target;
    if (headed && natural <= width) {
      const wide = Math.min(width, Math.max(natural, NARROWEST));
      if (row.length && used + BETWEEN_DAYS + wide > width) close();
      const left = row.length ? used + BETWEEN_DAYS : 0;
      row.push({ part, from, to, left, wide });
      used = left + wide;
      return;
    }
    close();
    const top = y;
    if (headed) y += DAY_HEIGHT;
    const fill = unit.fill && to === aspects.length;
    y = known ? copied(from, to, fill) : section(layout, aspects, from, to, y, measure, fill);
    if (headed) layout.heads.push({ part, left: 0, top, width, bottom: y - gap });
  });
  close();
  layout.total = y;
  return layout;
}

/** Months of a list by days, with the pictures of each and the units in which it begins and ends. @param {Unit[]} units */
export function monthsOf(units) {
  const months = [];
  units.forEach((unit, number) => {
    if (!unit.parts.length) return;
    if (unit.opens) months.push({ month: monthOf(unit.parts[0].day), first: number, last: number, count: 0, cut: unit.cut === 0 });
    const month = months[months.length - 1];
    month.last = number;
    month.count += unit.count;
  });
  return months;
}
