// When the pictures were taken: bars of months or years, two handles, and a brush over the bars.

import { h, s } from "./parts.js";
import { date, t } from "./words.js";

const WIDTH = 300;
const HEIGHT = 56;
const MOST_BARS = 75; // below four units of the drawing a bar can no longer be pointed at
const NEAREST = 0.14; // of the width, between the middles of two years
const KEYS = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, PageDown: -12, PageUp: 12 };

/** "2019-07" or any longer date -> months since year 0. @param {string} text */
export function monthOf(text) {
  const [year, month] = text.split("-");
  return Number(year) * 12 + Number(month ?? 1) - 1;
}

/** The month of `before`, which is exclusive: the last one that has a day before it. @param {string} text */
export function lastMonthOf(text) {
  const startsOne = /^\d{4}(-\d\d?(-0?1([T ]0?0:00(:00)?)?)?)?$/.test(text);
  return monthOf(text) - (startsOne ? 1 : 0);
}

/** Months since year 0 -> "2019-07". @param {number} month */
export function monthText(month) {
  return `${String(Math.floor(month / 12)).padStart(4, "0")}-${String((month % 12) + 1).padStart(2, "0")}`;
}

/** Months since year 0 -> "Jul 2019" in English. @param {number} month */
export function monthName(month) {
  return date(new Date(`${monthText(month)}-01T00:00:00Z`), { month: "short", year: "numeric", timeZone: "UTC" });
}

/** A range of months as people say it. @param {number} low @param {number} high inclusive */
export function rangeName(low, high) {
  const wholeYears = low % 12 === 0 && high % 12 === 11;
  if (!wholeYears) return low === high ? monthName(low) : `${monthName(low)} – ${monthName(high)}`;
  const [first, last] = [Math.floor(low / 12), Math.floor(high / 12)];
  return first === last ? String(first) : `${first} – ${last}`;
}

/**
 * Bars of one month or whole years, from months with counts.
 * @param {{month: string, count: number}[]} months
 * @returns {{low: number, high: number, step: number, counts: number[]}} low and high: months, inclusive
 */
export function bars(months) {
  const at = months.map((entry) => monthOf(entry.month));
  let [low, high] = [Math.min(...at), Math.max(...at)];
  const step = high - low < MOST_BARS ? 1 : 12 * Math.ceil((high - low + 13) / 12 / MOST_BARS);
  if (step > 1) low -= low % 12;
  else if (high - low < 11) high = low + 11; // a few bars should not be planks
  const counts = new Array(Math.floor((high - low) / step) + 1).fill(0);
  months.forEach((entry, index) => (counts[Math.floor((at[index] - low) / step)] += entry.count));
  return { low, high: low + counts.length * step - 1, step, counts };
}

/**
 * The slider.
 * @param {(range: {after: string|null, before: string|null}) => void} onRange as the API takes it: before is exclusive
 */
export function histogram(onRange) {
  let data = bars([{ month: "2000-01", count: 0 }]);
  let [from, to] = [0, 0];
  let filter = { after: null, before: null };
  const drawing = s("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", "aria-hidden": "true" });
  const handles = [t("histogram.earliest"), t("histogram.latest")].map((label, side) =>
    h("span", { class: "handle", role: "slider", tabIndex: 0, "aria-label": label, "data-side": side, onkeydown: onKey }),
  );
  const track = h("div", { class: "histogram-track" }, drawing, handles);
  const told = h("output", { class: "histogram-told" });
  const axis = h("div", { class: "histogram-axis" });
  const element = h("div", { class: "histogram" }, told, track, axis);
  track.addEventListener("pointerdown", onDown);
  track.addEventListener("pointermove", (event) => !drag && tellBar(monthAt(event)));
  track.addEventListener("pointerleave", () => tell());
  let drag = null;

  /** The bar under the pointer, or for a handle the edge between bars that is nearest to it: its first month. */
  function monthAt(event, edge = false) {
    const box = track.getBoundingClientRect();
    const bars = ((event.clientX - box.left) / box.width) * data.counts.length;
    const at = edge ? Math.round(bars) : Math.min(Math.floor(bars), data.counts.length - 1);
    return data.low + Math.max(0, at) * data.step;
  }

  function onDown(event) {
    if (event.button !== 0) return;
    event.preventDefault();
    const side = event.target.dataset.side;
    drag = { side: side === undefined ? null : Number(side), start: monthAt(event) };
    if (drag.side !== null) handles[drag.side].focus();
    track.setPointerCapture(event.pointerId);
    const move = (moved) => follow(monthAt(moved, drag.side !== null));
    const up = (last) => {
      track.removeEventListener("pointermove", move);
      track.removeEventListener("pointerup", up);
      track.removeEventListener("pointercancel", up);
      if (last.type === "pointerup" && drag.side === null) move(last);
      drag = null;
      send();
    };
    track.addEventListener("pointermove", move);
    track.addEventListener("pointerup", up);
    track.addEventListener("pointercancel", up);
  }

  function follow(month) {
    const last = data.step - 1;
    if (drag.side === 0) from = Math.min(month, to - last);
    else if (drag.side === 1) to = Math.max(Math.min(month - 1, data.high), from + last);
    else [from, to] = [Math.min(drag.start, month), Math.max(drag.start, month) + last];
    place();
  }

  function onKey(event) {
    const side = Number(event.target.dataset.side);
    const now = side ? to : from;
    const next = event.key === "Home" ? data.low : event.key === "End" ? data.high : now + (KEYS[event.key] ?? NaN);
    if (Number.isNaN(next)) return;
    event.preventDefault();
    event.stopPropagation();
    if (side) to = Math.min(data.high, Math.max(next, from));
    else from = Math.max(data.low, Math.min(next, to));
    place();
    clearTimeout(waiting);
    waiting = setTimeout(() => {
      waiting = 0;
      send();
    }, 250); // a held key is one question, not thirty
  }
  let waiting = 0;

  function send() {
    const after = from <= data.low ? null : monthText(from);
    const before = to >= data.high ? null : monthText(to + 1);
    onRange({ after, before });
  }

  function place() {
    const months = data.high - data.low + 1;
    const edges = [(from - data.low) / months, (to + 1 - data.low) / months];
    handles.forEach((handle, side) => {
      handle.style.left = `${edges[side] * 100}%`;
      const value = side ? to : from;
      const values = { valuemin: side ? from : data.low, valuemax: side ? data.high : to, valuenow: value };
      for (const [name, number] of Object.entries(values)) handle.setAttribute(`aria-${name}`, String(number));
      handle.setAttribute("aria-valuetext", monthName(value));
    });
    for (const bar of drawing.querySelectorAll(".bar")) {
      const month = Number(bar.dataset.month);
      bar.classList.toggle("out", month + data.step - 1 < from || month > to);
    }
    tell();
  }

  function tell() {
    const inside = data.counts.reduce((sum, n, at) => {
      const month = data.low + at * data.step;
      return month + data.step - 1 < from || month > to ? sum : sum + n;
    }, 0);
    const whole = data.step === 1 || ((from - data.low) % data.step === 0 && (to + 1 - data.low) % data.step === 0);
    told.replaceChildren(h("b", null, rangeName(from, to)), whole ? ` ${t("count.pictures", { n: inside })}` : "");
  }

  function tellBar(month) {
    const n = data.counts[(month - data.low) / data.step];
    told.replaceChildren(h("b", null, rangeName(month, month + data.step - 1)), ` ${t("count.pictures", { n })}`);
  }

  function draw() {
    const most = Math.max(1, ...data.counts);
    const width = WIDTH / data.counts.length;
    const gap = Math.min(2, width * 0.2);
    drawing.replaceChildren(
      ...data.counts.map((n, at) => {
        // The square root keeps one busy holiday from flattening all other months.
        const height = n ? Math.max(2, Math.sqrt(n / most) * HEIGHT) : 0;
        const box = { x: at * width + gap / 2, y: HEIGHT - height, width: width - gap, height };
        return s("rect", { class: "bar", "data-month": data.low + at * data.step, ...box });
      }),
    );
    axis.replaceChildren(...labels());
  }

  function labels() {
    const years = [];
    for (let year = Math.ceil(data.low / 12); year * 12 <= data.high; year += 1) years.push(year);
    const every = Math.ceil(years.length / 6);
    const share = (year) => Math.min(0.94, Math.max(0.06, (year * 12 + 6 - data.low) / (data.high - data.low + 1)));
    let last = -1;
    return years
      .filter((_, index) => index % every === 0)
      .filter((year) => {
        // Those at the edges are moved inwards, where the next one may stand already.
        const fits = share(year) - last >= NEAREST;
        if (fits) last = share(year);
        return fits;
      })
      .map((year) => {
        const choose = () => {
          [from, to] = [Math.max(data.low, year * 12), Math.min(data.high, year * 12 + 11)];
          place();
          send();
        };
        const label = h("button", { type: "button", onclick: choose, "aria-label": t("histogram.only", { year: String(year) }) }, String(year));
        label.style.left = `${share(year) * 100}%`;
        return label;
      });
  }

  // A slider has a value from the start: its section may be seen a moment before the counts come.
  [from, to] = [data.low, data.high];
  place();

  return {
    element,
    /**
     * @param {{month: string, count: number}[]} months not empty
     * @param {string|null} after @param {string|null} before as they stand in the filter
     */
    update(months, after, before) {
      data = bars(months);
      const within = (month) => Math.min(data.high, Math.max(data.low, month));
      const isNew = filter.after !== after || filter.before !== before;
      filter = { after, before };
      if (isNew) {
        clearTimeout(waiting); // the filter was changed elsewhere meanwhile: that is the later wish
        waiting = 0;
      }
      if (drag || waiting) {
        // Counts of an earlier question arrive while a person moves a handle: it stays where it was put.
        [from, to] = [within(from), within(to)];
      } else {
        from = after ? within(monthOf(after)) : data.low;
        to = before ? within(lastMonthOf(before)) : data.high;
      }
      if (to < from) to = from;
      draw();
      place();
    },
  };
}
