/** Pictures of this day in other years, above the timeline; a gallery without any has no such row. */

import { h } from "./parts.js";
import { count, date, t } from "./words.js";

const MOST = 200; // pictures that are read for the covers
const LONG = { day: "numeric", month: "long", year: "numeric", timeZone: "UTC" };
const two = n => String(n).padStart(2, "0");
const iso = (year, month, day) => `${year}-${two(month)}-${two(day)}`;

/** @param {HTMLElement} element @param {{state: any, api: any, results: any, grid: any}} shared */
export function mount(element, { state, api, results, grid }) {
  let asked = "", turn = 0;

  const isHome = () => !state.isRanked() && !state.isFiltered() && state.get().group_minutes === "" && ["", "date"].includes(state.get().sort);

  async function load() {
    const now = new Date(), year = now.getFullYear();
    const [month, day] = [now.getMonth() + 1, now.getDate()];
    const key = `${iso(year, month, day)} ${results.list()?.change}`;
    if (key === asked) return;
    asked = key;
    const mine = ++turn;
    try {
      const question = { day: `${two(month)}-${two(day)}`, before: iso(year, month, day) };
      const answer = await api.get("/search", { params: { ...question, offset: 0, k: MOST, days: true } });
      if (mine !== turn) return;
      let rank = 0;
      const years = [];
      for (const [when, n] of answer.days ?? []) {
        const hit = answer.hits.find(one => one.rank > rank);
        if (when && hit && hit.rank <= rank + n) years.push({ when, n, hit });
        rank += n;
      }
      element.replaceChildren(...(years.length ? [h("h2", null, t("memories.title")), h("ul", null, years.map(one => card(one, year)))] : []));
    } catch {
      asked = ""; // the wall says what is wrong; this row can wait
    }
    show();
  }

  function card({ when, n, hit }, year) {
    const [y, m, d] = when.split("-").map(Number);
    const next = new Date(Date.UTC(y, m - 1, d + 1)).toISOString().slice(0, 10);
    const patch = { after: when, before: next };
    const name = t("memories.years", { n: year - y });
    const link = h("a", { href: state.link(patch), title: t("memories.help", { n, date: date(new Date(`${when}T00:00:00Z`), LONG) }) },
      h("img", { src: api.thumbnail(hit, 240), alt: "", loading: "lazy", decoding: "async" }), h("b", null, name), h("span", null, `${y} · ${count(n)}`));
    link.addEventListener("click", event => {
      if (event.ctrlKey || event.metaKey || event.shiftKey) return;
      event.preventDefault();
      state.update(patch);
    });
    return h("li", null, link);
  }

  function show() {
    const hidden = !isHome() || !element.firstChild || !results.total();
    if (hidden === element.hidden) return;
    const before = grid.above();
    element.hidden = hidden;
    // Whoever has scrolled already keeps the pictures where they are.
    if (before > 0) grid.scrollToHeight(before);
  }

  function look() {
    show();
    if (isHome() && results.list().days) load();
  }

  results.subscribe(event => event === "list" && look());
  look();
}
