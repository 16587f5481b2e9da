/**
 * The list of hits that the present state asks for: its length, and its blocks of 200 as far as they were looked at.
 * Keeps the last list until the next one is there, so that typing never empties the page.
 *
 * @typedef {import("./api.js").Hit} Hit
 * @typedef {object} List
 * @property {number} total
 * @property {boolean} capped       more pictures than the list holds
 * @property {number|null} relevant how many hits answer the query; null where nobody judged
 * @property {number|null} weaker   how many more there are that are weaker matches and left out; null if that is not known
 * @property {[string|null, number][]|null} days  of the whole list, where it is in the order of dates
 * @property {number|null} cut      how many stand before the weaker ones; null where there are none, or nobody judged
 * @property {number} change        of the gallery
 * @property {object} answer        all of the first answer, but its hits
 * @property {Map<number, (Hit|undefined)[]>} blocks
 */

export const BLOCK = 200;
const KEPT = 60; // blocks in memory: 12,000 hits, some 10 MB
const DELAY = 40; // ms that a place has to be looked at before it is asked for: a dragged scrollbar passes hundreds
const AT_ONCE = 2;
const JUDGED_AFTER = [1500, 4000, ...new Array(30).fill(10000)]; // ms; a server measures once what relevance is, beside searches
const WAITS = [1, 2, 4, 8, 15]; // seconds until the next attempt while the server does not answer

/**
 * @param {{state: typeof import("./state.js"), api: typeof import("./api.js")}} shared
 */
export function createResults({ state, api }) {
  const listeners = new Set();
  const byId = new Map();
  const loading = new Map(); // block -> AbortController
  let list = null, problem = null, busy = false;
  let asked = "", turn = 0, failures = 0;
  let judging = 0, judged = 0;
  let searching = null, retry = 0, timer = 0, wanted = [];
  let unanswered = null; // why the list that nobody has seen yet is another one than that which is shown

  function tell(event, detail) {
    for (const listener of [...listeners]) listener(event, detail);
  }

  function parameters(offset, k) {
    const params = new URLSearchParams(asked);
    params.set("offset", String(offset));
    params.set("k", String(k));
    if (!offset) params.set("days", "true");
    return params;
  }

  /** Ask for what the state says. @param {{keep?: boolean, how?: string}} [why] keep: the same list again, at the same place */
  async function search({ keep = false, how = "pop" } = {}) {
    clearTimeout(retry);
    clearTimeout(judging);
    searching?.abort();
    searching = new AbortController();
    // A refresh that overtakes a new question asks that question: its answer begins at the top all the same.
    if (!keep) unanswered = { keep, how };
    else if (unanswered) ({ keep, how } = unanswered);
    const mine = ++turn;
    asked = state.toQuery().toString();
    setBusy(true);
    try {
      const answer = await api.get("/search", { params: parameters(0, BLOCK), signal: searching.signal });
      if (mine !== turn) return;
      failures = 0;
      problem = unanswered = null;
      adopt(answer);
      setBusy(false);
      tell("list", { keep, how });
      judgeLater();
    } catch (error) {
      if (mine !== turn || api.isAbort(error)) return;
      fail(error, () => search({ keep, how }));
    }
  }

  /** Which of the hits answer the words may be known a little later than the hits. */
  function judgeLater() {
    clearTimeout(judging);
    const { q, not, more, less, like } = state.get();
    if (list.relevant !== null || !list.total || !q.trim() || [not, more, less, like].some(one => one.length)) return;
    const wait = JUDGED_AFTER[judged++];
    if (wait) judging = setTimeout(() => search({ keep: true }), wait);
  }

  function adopt(answer) {
    abandon([]);
    byId.clear();
    const { hits, ...rest } = answer;
    const total = answer.total;
    const relevant = answer.relevant_total ?? null;
    const cut = relevant !== null && relevant < total ? relevant : null; // in every order the good ones come first
    const days = answer.days && answer.days.reduce((sum, [, n]) => sum + n, 0) === total ? answer.days : null;
    list = {
      total, relevant, cut, days, weaker: answer.weaker ?? null, capped: Boolean(answer.total_is_capped), change: answer.change, answer: rest, blocks: new Map(),
    };
    keepBlock(0, hits);
  }

  function keepBlock(number, hits) {
    // By rank: pictures whose files have changed since are left out of an answer, and leave a gap.
    const block = new Array(Math.min(BLOCK, list.total - number * BLOCK)).fill(undefined);
    for (const hit of hits) block[(hit.rank - 1) % BLOCK] = hit;
    list.blocks.delete(number);
    list.blocks.set(number, block);
    for (const hit of hits) byId.set(String(hit.id), hit);
    for (const old of list.blocks.keys()) {
      if (list.blocks.size <= KEPT) break;
      if (old === 0 || wanted.includes(old)) continue;
      for (const hit of list.blocks.get(old)) if (hit) byId.delete(String(hit.id));
      list.blocks.delete(old);
    }
  }

  function fail(error, again) {
    setBusy(false);
    problem = error;
    const waits = error.status === 503 ? error.retryAfter || 1 : WAITS[Math.min(failures, WAITS.length - 1)];
    if (error.status === 0 || (error.status === 503 && error.retryAfter)) {
      failures += 1;
      retry = setTimeout(again, waits * 1000);
    }
    tell("problem", { problem, waits });
  }

  function setBusy(yes) {
    if (busy === yes) return;
    busy = yes;
    tell("busy", yes);
  }

  function abandon(except) {
    for (const [number, controller] of loading) {
      if (except.includes(number)) continue;
      controller.abort();
      loading.delete(number);
    }
  }

  function pump() {
    for (const number of wanted) {
      if (loading.size >= AT_ONCE) return;
      if (list && !list.blocks.has(number) && !loading.has(number)) load(number).catch(() => {});
    }
  }

  async function load(number) {
    const controller = new AbortController();
    loading.set(number, controller);
    const mine = turn;
    try {
      const answer = await api.get("/search", { params: parameters(number * BLOCK, BLOCK), signal: controller.signal });
      if (mine !== turn || controller.signal.aborted) return;
      loading.delete(number);
      failures = 0;
      if (answer.change !== list.change || answer.total !== list.total) {
        search({ keep: true });
        return;
      }
      if (problem) tell("problem", { problem: problem = null });
      keepBlock(number, answer.hits);
      tell("block", number);
      pump();
    } catch (error) {
      if (loading.get(number) === controller) loading.delete(number);
      if (mine !== turn || api.isAbort(error)) return;
      fail(error, pump);
      throw error;
    }
  }

  /** The blocks that are looked at, most important first; others that are on their way are called off. */
  function want(numbers) {
    wanted = numbers.filter(number => list && number >= 0 && number * BLOCK < list.total);
    abandon(wanted);
    clearTimeout(timer);
    if (wanted.some(number => !list.blocks.has(number) && !loading.has(number))) timer = setTimeout(pump, DELAY);
  }

  const known = rank => list?.blocks.get(Math.floor((rank - 1) / BLOCK))?.[(rank - 1) % BLOCK];

  /** The hit at a rank, read if need be. @param {number} rank @returns {Promise<Hit|undefined>} */
  async function at(rank) {
    if (!list || rank < 1 || rank > list.total) return undefined;
    const number = Math.floor((rank - 1) / BLOCK);
    if (!list.blocks.has(number)) {
      wanted = [number, ...wanted];
      await load(number).catch(() => {});
    }
    return known(rank);
  }

  /** Ids of the hits of these ranks, both included. @param {number} from @param {number} to @returns {Promise<string[]>} */
  async function range(from, to) {
    const ids = [];
    for (let rank = Math.min(from, to); rank <= Math.max(from, to); rank++) {
      const hit = known(rank) ?? (await at(rank));
      if (hit) ids.push(String(hit.id));
    }
    return ids;
  }

  state.subscribe((_state, changed, how) => {
    // Weaker matches come below the good ones, or go: nothing else moves.
    const keep = changed.size === 1 && changed.has("weaker") && how !== "pop";
    if (state.toQuery().toString() !== asked) search({ how, keep });
  });

  return {
    search, want, at, range, known,
    list: () => list,
    problem: () => problem,
    busy: () => busy,
    total: () => list?.total ?? 0,
    hit: id => byId.get(String(id)),
    /** @param {(event: "list"|"block"|"busy"|"problem", detail: any) => void} listener */
    subscribe(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
}
