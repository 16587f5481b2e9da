/**
 * Where every picture of a list stands, though few of them are known: those that were not loaded are laid out with the
 * shapes of the first ones. Numbers only; the grid draws them.
 */

import { layOutDays, monthsOf, unitsOfBlocks, unitsOfDays } from "./days.js";
import { aspect, lastAtMost, layOut } from "./layout.js";

const USUAL = [1.5, 0.75, 1.33, 1.5, 1.78, 0.67, 1.5];

export class Arrangement {
  /** @param {number} block pictures in a block */
  constructor(block) {
    this.block = block;
    this.total = 0;
    this.cut = null;
    this.cutHeight = 0;
    this.clear();
  }

  get height() {
    return this.tops[this.units.length];
  }

  /** Begin anew: another list, or another width. */
  clear() {
    /** @type {import("./days.js").Unit[]} */
    this.units = [];
    this.firsts = new Float64Array(1); // pictures before each unit
    this.tops = new Float64Array(1); // where each unit begins, and where the last one ends
    /** @type {import("./layout.js").Layout[]} */
    this.layouts = [];
    this.months = [];
    this.shapes = new Float32Array(0); // width by height of every picture; outlives the hits themselves
    this.noted = new Set(); // blocks whose shapes are known
    this.isPlanned = false;
  }

  /**
   * @param {{total: number, cut: number|null, days: [string|null, number][]|null, blocks: Map<number, {width: number, height: number}[]>}} list
   * @param {import("./layout.js").Measure} measure
   */
  arrange(list, measure) {
    this.cutHeight = measure.cutHeight;
    if (!this.isPlanned || list.total !== this.total || list.cut !== this.cut) this.plan(list);
    const changed = new Set();
    for (const [number, hits] of list.blocks) if (!this.noted.has(number)) this.note(number, hits, changed);
    const guesses = new Map();
    this.units.forEach((unit, number) => {
      if (this.layouts[number] && !changed.has(number)) return;
      const aspects = this.shapes.subarray(unit.first, unit.first + unit.count);
      const known = changed.has(number) ? null : guesses;
      if (unit.parts.length) this.layouts[number] = layOutDays(aspects, measure, unit, known);
      else {
        const key = `${unit.count} ${unit.fill} ${unit.cut}`;
        this.layouts[number] = known?.get(key) ?? layOut(aspects, measure, unit);
        known?.set(key, this.layouts[number]);
      }
    });
    this.layouts.forEach((layout, number) => (this.tops[number + 1] = this.tops[number] + layout.total));
  }

  plan(list) {
    this.clear();
    this.isPlanned = true;
    this.total = list.total;
    this.cut = list.cut;
    this.units = list.days ? unitsOfDays(list.days, list.cut) : unitsOfBlocks(list.total, this.block, list.cut);
    this.firsts = Float64Array.from(this.units, unit => unit.first);
    this.tops = new Float64Array(this.units.length + 1);
    this.months = monthsOf(this.units);
    const first = list.blocks.get(0)?.map(aspect) ?? USUAL;
    this.shapes = new Float32Array(list.total);
    // From the first shape on in each day and block, so that as many pictures have the same shapes.
    for (const { first: begin, count, parts } of this.units) {
      let at = begin;
      for (const part of parts.length ? parts : [{ count }]) {
        for (let i = 0; i < part.count; i++) this.shapes[at++] = first[i % first.length];
      }
    }
  }

  /** Take the shapes of a block over, and name the units that they change. */
  note(number, hits, changed) {
    this.noted.add(number);
    const from = number * this.block;
    this.shapes.set(hits.map(aspect), from);
    for (let unit = this.unitOf(from); unit < this.units.length && this.units[unit].first < from + hits.length; unit++) changed.add(unit);
  }

  unitOf(index) {
    return lastAtMost(this.firsts, index, this.units.length);
  }

  /** Where the line before the weaker matches stands; null if there is none. */
  cutTop() {
    if (this.cut === null || this.cut >= this.total) return null;
    const number = this.unitOf(this.cut);
    return this.tops[number] + (this.layouts[number].cutTop ?? 0);
  }

  /** Unit and index of a rank, which counts from 1; null if there is no such rank. */
  find(rank) {
    if (!(rank >= 1 && rank <= this.total)) return null;
    const number = this.unitOf(rank - 1);
    return { number, index: rank - 1 - this.units[number].first, layout: this.layouts[number] };
  }

  /** Edges of the picture at a rank. */
  box(rank) {
    const found = this.find(rank);
    if (!found) return null;
    const { number, index, layout } = found;
    return {
      left: layout.left[index], top: this.tops[number] + layout.top[index],
      width: layout.width[index], height: layout.height[index],
    };
  }

  /** The first rank of the row that is at this height, or of the nearest one above. */
  rankAt(y) {
    if (!this.total) return 0;
    const number = lastAtMost(this.tops, y, this.layouts.length);
    const { top } = this.layouts[number];
    let index = lastAtMost(top, y - this.tops[number]);
    while (index > 0 && top[index - 1] === top[index]) index--;
    return this.units[number].first + index + 1;
  }

  /** Ranks from one height to another, in order. */
  *ranksBetween(from, to) {
    if (!this.total || to <= 0 || from >= this.height) return;
    for (let rank = this.rankAt(from); rank <= this.total; rank++) {
      const { number, index, layout } = this.find(rank);
      if (this.tops[number] + layout.top[index] >= to) return;
      yield rank;
    }
  }

  /** Headings of months and days that reach into the space between two heights, each with the space of its pictures. */
  *headsBetween(from, to) {
    for (const span of this.months) {
      const top = this.tops[span.first] + (span.cut ? this.cutHeight : 0);
      const bottom = this.tops[span.last + 1];
      if (top < to && bottom > from) yield { key: `m${span.first}`, kind: "month", day: span.month, count: span.count, left: 0, width: null, top, bottom };
    }
    if (!this.months.length) return;
    let number = lastAtMost(this.tops, from, this.units.length);
    while (number > 0 && !this.units[number].parts[0].whole) number--; // where its day begins
    for (; number < this.units.length && this.tops[number] < to; number++) {
      for (const head of this.layouts[number].heads ?? []) {
        const { day, whole } = this.units[number].parts[head.part];
        yield {
          key: `d${this.units[number].first}-${head.part}`, kind: "day", day, count: whole, left: head.left, width: head.width,
          top: this.tops[number] + head.top, bottom: this.endOfDay(number, head),
        };
      }
    }
  }

  /** Where the pictures of a day end: a long one goes on in the units that follow. */
  endOfDay(number, head) {
    let end = this.tops[number] + head.bottom;
    if (head.part < this.units[number].parts.length - 1) return end;
    while (this.units[number + 1]?.parts[0]?.whole === 0) end = this.tops[++number + 1];
    return end;
  }

  /** The rank above (-1) or below (1), in the row next to this one and nearest to it; null at the edges of the list. */
  neighbour(rank, step) {
    const here = this.box(rank);
    if (!here) return null;
    let other = rank;
    let box = here;
    while (box && box.top === here.top) box = this.box((other += step));
    if (!box) return null;
    const middle = here.left + here.width / 2, row = box.top;
    let best = other, least = Infinity;
    for (; box && box.top === row; box = this.box((other += step))) {
      const distance = Math.abs(box.left + box.width / 2 - middle);
      if (distance < least) [best, least] = [other, distance];
    }
    return best;
  }
}
