/**
 * What the page shows, as one plain object that the URL holds: reading it back, the back button and a shared link all
 * give the same page. Nothing else in the page remembers what is searched for.
 *
 * @typedef {object} State
 * @property {string} q             words, in the query language
 * @property {string[]} not         words that hits should not match
 * @property {string[]} more        ids of pictures that hits should be more like
 * @property {string[]} less        ids of pictures that hits should be less like
 * @property {string[]} like        ids of pictures, or of uploads ("u1..."), that hits should resemble
 * @property {string} sort          "" (best match, or newest when nothing is searched for), "score", "date", "name"
 * @property {boolean} reverse
 * @property {boolean} weaker       also hits that do not answer the words, after those that do
 * @property {string} view          "grid", "albums", "people", "duplicates", "index"
 * @property {string} open          id of the picture in the viewer, or ""
 * and one property for each filter, under the names of the API (see LISTS, TEXTS, FLAGS).
 */

// Made by the server, of its table of conditions.
import * as conditions from "./conditions.js";

const QUERY_LISTS = ["not", "more", "less", "like"];
const LISTS = [...QUERY_LISTS, ...conditions.LISTS];
const TEXTS = ["q", "sort", "min_score", "group_minutes", ...conditions.TEXTS, "view", "open"];
const FLAGS = ["reverse", "weaker", ...conditions.FLAGS];
const DEFAULTS = { view: "grid" };
const LOOK = ["view", "open"]; // how results are looked at, not which they are

const LISTED = new Set(["q", ...LISTS]); // of a body
const COUNTED = new Set(["min_score", "group_minutes", ...conditions.NUMBERS]);

/** Names of the conditions on metadata, as the API has them. */
export const FILTERS = [...conditions.LISTS, ...conditions.TEXTS, ...conditions.FLAGS];

const listeners = new Set();
let current = read(new URLSearchParams(location.search));

/** @returns {State} the present state; never change it, call `update`. */
export function get() {
  return current;
}

/**
 * Change some fields, write the URL, tell the subscribers.
 * @param {Partial<State>} patch
 * @param {{push?: boolean}} [how] push: a new entry in the history (default), or in place of the present one
 */
export function update(patch, { push = true } = {}) {
  const next = normal({ ...current, ...patch });
  const changed = differences(current, next);
  if (!changed.size) return;
  current = next;
  const text = toParams(next).toString();
  const url = location.pathname + (text ? `?${text}` : "");
  if (push) history.pushState({}, "", url);
  else history.replaceState(history.state, "", url);
  tell(changed, push ? "push" : "replace");
}

/**
 * Call a function after each change.
 * @param {(state: State, changed: Set<string>, how: "push"|"replace"|"pop") => void} listener
 * @returns {() => void} ends it
 */
export function subscribe(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/** No filter at all, as a patch for `update`. */
export function withoutFilters() {
  return pick(read(new URLSearchParams()), FILTERS);
}

/** True if a condition on metadata is set. */
export function isFiltered(state = current) {
  return FILTERS.some(name => isSet(state[name]));
}

/** True if there is something to rank by: words or pictures. */
export function isRanked(state = current) {
  return Boolean(state.q.trim()) || QUERY_LISTS.some(name => state[name].length);
}

/**
 * The state as parameters of the API: everything that says which pictures, in which order.
 * @param {State} [state]
 * @returns {URLSearchParams}
 */
export function toQuery(state = current) {
  const params = toParams(state);
  for (const name of LOOK) params.delete(name);
  params.delete("weaker");
  if (state.q.trim()) params.set("weaker", state.weaker ? "after" : "fold");
  return params;
}

/**
 * The same as a body of JSON.
 * @param {State} [state]
 * @returns {Record<string, unknown>}
 */
export function toBody(state = current) {
  const params = toQuery(state);
  const body = {};
  for (const name of new Set(params.keys())) {
    const values = params.getAll(name);
    if (LISTED.has(name)) body[name] = ["more", "less"].includes(name) ? values.map(Number) : values;
    else body[name] = values[0] === "true" ? true : COUNTED.has(name) ? Number(values[0]) : values[0];
  }
  return body;
}

/** The state that an address means. @param {string} text what stands after its "?" @returns {State} */
export const parse = text => read(new URLSearchParams(text));

/**
 * A link to the page with some fields changed.
 * @param {Partial<State>} patch
 */
export function link(patch) {
  const text = toParams(normal({ ...current, ...patch })).toString();
  return location.pathname + (text ? `?${text}` : "");
}

function toParams(state) {
  const params = new URLSearchParams();
  for (const name of TEXTS) if (isSet(state[name]) && state[name] !== DEFAULTS[name]) params.append(name, state[name]);
  for (const name of LISTS) for (const value of state[name]) params.append(name, value);
  for (const name of FLAGS) if (state[name]) params.append(name, "true");
  return params;
}

function read(params) {
  const state = {};
  for (const name of TEXTS) state[name] = params.get(name) ?? DEFAULTS[name] ?? "";
  for (const name of LISTS) state[name] = params.getAll(name);
  for (const name of FLAGS) state[name] = ["1", "true", "yes", "on"].includes(params.get(name));
  return normal(state);
}

function normal(state) {
  const result = {};
  for (const name of TEXTS) result[name] = String(state[name] ?? "") || DEFAULTS[name] || "";
  for (const name of LISTS) {
    const value = state[name] ?? [];
    result[name] = [...new Set((Array.isArray(value) ? value : [value]).map(String).filter(Boolean))];
  }
  for (const name of FLAGS) result[name] = Boolean(state[name]);
  return Object.freeze(result);
}

function differences(before, after) {
  const same = (a, b) => (Array.isArray(a) ? a.length === b.length && a.every((value, i) => value === b[i]) : a === b);
  return new Set(Object.keys(after).filter(name => !same(before[name], after[name])));
}

function isSet(value) {
  return Array.isArray(value) ? value.length > 0 : Boolean(value);
}

function pick(state, names) {
  return Object.fromEntries(names.map(name => [name, state[name]]));
}

function tell(changed, how) {
  for (const listener of [...listeners]) listener(current, changed, how);
}

addEventListener("popstate", () => {
  const next = read(new URLSearchParams(location.search));
  const changed = differences(current, next);
  current = next;
  if (changed.size) tell(changed, "pop");
});
