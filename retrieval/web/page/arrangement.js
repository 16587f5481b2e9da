/**
 * Where every picture of a list stands, though few of them are known: blocks that were not loaded are laid out with the
 * shapes of the first one. Numbers only; the grid draws them.
 */

import { aspect, lastAtMost, layOut } from "./layout.js";

const USUAL = [1.5, 0.75, 1.33, 1.5, 1.78, 0.67, 1.5];

export class Arrangement {
  /** @param {number} block pictures in a block */
  constructor(block) {
    this.block = block;
    this.tops = new Float64Array(1); // where each block begins, and where the last one ends
    /** @type {import("./layout.js").Layout[]} */
    this.layouts = [];
    this.known = new Map(); // block -> layout from its pictures' own shapes; outlives the hits themselves
    this.total = 0;
    this.cut = null;
  }

  get height() {
    return this.tops[this.layouts.length];
  }

  /** Begin anew: another list, or another width. */
  clear() {
    this.known.clear();
  }

  /**
   * @param {{total: number, cut: number|null, blocks: Map<number, {width: number, height: number}[]>}} list
   * @param {import("./layout.js").Measure} measure
   */
  arrange(list, measure) {
    const { block } = this;
    this.total = list.total;
    this.cut = list.cut;
    const blocks = Math.ceil(list.total / block);
    const usual = list.blocks.get(0)?.map(aspect) ?? USUAL;
    const shapes = count => Float64Array.from({ length: count }, (_, i) => usual[i % usual.length]);
    let shared = null;
    this.layouts = [];
    this.tops = new Float64Array(blocks + 1);
    for (let number = 0; number < blocks; number++) {
      const count = Math.min(block, list.total - number * block);
      const how = { fill: number < blocks - 1, cut: this.cutIn(number, count) };
      let layout = this.known.get(number);
      const hits = list.blocks.get(number);
      if (!layout && hits) this.known.set(number, (layout = layOut(hits.map(aspect), measure, how)));
      if (!layout && how.fill && how.cut === null) layout = shared ??= layOut(shapes(count), measure, how);
      layout ??= layOut(shapes(count), measure, how);
      this.layouts.push(layout);
      this.tops[number + 1] = this.tops[number] + layout.total;
    }
  }

  cutIn(number, count) {
    const at = this.cut === null ? -1 : this.cut - number * this.block;
    return at >= 0 && at < count ? at : null;
  }

  /** Where the line before the weaker matches stands; null if there is none. */
  cutTop() {
    if (this.cut === null || this.cut >= this.total) return null;
    const number = Math.floor(this.cut / this.block);
    return this.tops[number] + this.layouts[number].cutTop;
  }

  /** Block and index of a rank, which counts from 1; null if there is no such rank. */
  find(rank) {
    if (!(rank >= 1 && rank <= this.total)) return null;
    const number = Math.floor((rank - 1) / this.block);
    return { number, index: (rank - 1) % this.block, layout: this.layouts[number] };
  }

  rank(number, index) {
    return number * this.block + index + 1;
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
    return this.rank(number, index);
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
