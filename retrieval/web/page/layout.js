/**
 * Justified rows: pictures of any shape side by side at one height, both edges of the page straight. Pure functions of
 * numbers, in linear time.
 *
 * @typedef {object} Layout boxes in pixels, one of each for each picture, relative to the block
 * @property {Int32Array} left
 * @property {Int32Array} top
 * @property {Int32Array} width
 * @property {Int32Array} height
 * @property {number} total          height of all, with a gap below the last row
 * @property {number|null} cutTop    where the line before the weaker matches stands
 *
 * @typedef {object} Measure
 * @property {number} width          of the grid
 * @property {number} gap            between pictures
 * @property {number} target         height that rows should have
 * @property {number} cutHeight      of the line before the weaker matches
 */

const NARROWEST = 0.5, WIDEST = 3; // beyond these a picture is cropped in the grid: its row would be a stripe

/** Width by height as the grid shows it. @param {{width: number, height: number}|undefined} picture a gap in the list */
export function aspect(picture) {
  if (!picture) return NARROWEST;
  const { width, height } = picture;
  const ratio = width > 0 && height > 0 ? width / height : 1.5;
  return Math.min(Math.max(ratio, NARROWEST), WIDEST);
}

/**
 * Lay one block of pictures out.
 * @param {ArrayLike<number>} aspects
 * @param {Measure} measure
 * @param {{fill: boolean, cut?: number|null}} how fill: the last row is as wide as the others, because another block
 *   follows; cut: number of pictures before the weaker matches, if that line is in this block
 * @returns {Layout}
 */
export function layOut(aspects, measure, { fill, cut = null }) {
  const count = aspects.length;
  const layout = emptyLayout(count);
  if (cut === null) {
    layout.total = section(layout, aspects, 0, count, 0, measure, fill);
    return layout;
  }
  layout.cutTop = section(layout, aspects, 0, cut, 0, measure, false);
  layout.total = section(layout, aspects, cut, count, layout.cutTop + measure.cutHeight, measure, fill);
  return layout;
}

/** A layout of so many pictures, none of which has a place yet. @param {number} count @returns {Layout} */
export const emptyLayout = count => ({
  left: new Int32Array(count), top: new Int32Array(count), width: new Int32Array(count),
  height: new Int32Array(count), total: 0, cutTop: null,
});

/**
 * Rows of pictures `from` to `to`: those breaks whose heights are nearest to the target, by squares, of all that there
 * are. As a row holds no more than a few pictures, that takes linear time.
 */
export function section(layout, aspects, from, to, top, measure, fill) {
  const breaks = breaksOf(aspects, from, to, measure, fill);
  for (let i = 0; i + 1 < breaks.length; i++) {
    top += place(layout, aspects, breaks[i], breaks[i + 1], top, measure, fill || i + 2 < breaks.length);
  }
  return top;
}

function breaksOf(aspects, from, to, { width, gap, target }, fill) {
  const costs = new Float64Array(to - from + 1), before = new Int32Array(to - from + 1);
  for (let end = from + 1; end <= to; end++) {
    let least = Infinity, sum = 0;
    for (let start = end - 1; start >= from; start--) {
      sum += aspects[start];
      const height = Math.max(1, (width - gap * (end - start - 1)) / sum);
      // A last row that is not full is as good as any: it is not stretched.
      const off = end === to && !fill && height > target ? 0 : (height > target ? height / target : target / height) - 1;
      const cost = costs[start - from] + off * off;
      if (cost < least) {
        least = cost;
        before[end - from] = start;
      }
      if (height < target / 2) break;
    }
    costs[end - from] = least;
  }
  const breaks = [];
  for (let at = to; at > from; at = before[at - from]) breaks.push(at);
  return [...breaks, from].reverse();
}

/** One row; returns its height with the gap. A last row that is nearly full is made full. */
function place(layout, aspects, from, to, top, { width, gap, target }, justified) {
  let sum = 0;
  for (let i = from; i < to; i++) sum += aspects[i];
  const exact = (width - gap * (to - from - 1)) / sum;
  const full = justified || exact <= target * 1.15;
  const height = Math.max(1, Math.round(full ? exact : target));
  let left = 0;
  for (let i = from; i < to; i++) {
    const right = full && i === to - 1 ? width : left + aspects[i] * (full ? exact : target);
    layout.left[i] = Math.round(left);
    layout.width[i] = Math.max(1, Math.round(right) - layout.left[i]);
    layout.top[i] = top;
    layout.height[i] = height;
    left = right + gap;
  }
  return height + gap;
}

/** Index of the last value that is not above `wanted`, in ascending values; 0 if all are above. */
export function lastAtMost(values, wanted, count = values.length) {
  let low = 0, high = count - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (values[middle] <= wanted) low = middle;
    else high = middle - 1;
  }
  return low;
}
