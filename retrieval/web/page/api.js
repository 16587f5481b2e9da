/**
 * The HTTP API: JSON in and out, errors as `Problem`, and whether the server can be reached at all.
 *
 * @typedef {object} Hit
 * @property {number} id
 * @property {number} rank          from 1, in the whole list
 * @property {number|null} score
 * @property {number|null} relevance
 * @property {boolean|null} relevant
 * @property {number} burst         pictures of the same scene that stand behind this one
 * @property {{[source: string]: string[]}} matched  words of the query, of the sources other than the picture that have them
 * @property {string} name
 * @property {string} path
 * @property {number} width
 * @property {number} height
 * @property {string|null} taken_at
 * @property {string|null} camera
 * @property {string} format
 * @property {number} bytes
 * @property {string|null} colour   "#rrggbb", the average
 * @property {"inside"|"beside"|null} motion  where its short video is, if it has one
 * @property {"same"} on_disk
 * @property {string} hash
 */

import { t } from "./words.js";

const BASE = "/api/v1";

/** What the server said went wrong, in two lines: `title` says what, `detail` what to do. Status 0: no answer came. */
export class Problem extends Error {
  /** @param {{status: number, title: string, detail?: string, type?: string, retryAfter?: number}} problem */
  constructor({ status, title, detail = "", type = "about:blank", retryAfter = 0 }) {
    super(title);
    this.name = "Problem";
    Object.assign(this, { status, title, detail, type, retryAfter });
  }
}

const watchers = new Set();
let reachable = true;

/**
 * Call a function when the server stops answering, and when it answers again.
 * @param {(reachable: boolean) => void} watcher
 * @returns {() => void} ends it
 */
export function watch(watcher) {
  watchers.add(watcher);
  return () => watchers.delete(watcher);
}

function reached(yes) {
  if (yes === reachable) return;
  reachable = yes;
  for (const watcher of [...watchers]) watcher(yes);
}

/** @param {unknown} error true if the request was called off, which is nobody's fault */
export function isAbort(error) {
  return error instanceof DOMException && error.name === "AbortError";
}

/**
 * Ask the API.
 * @param {"GET"|"POST"|"PATCH"|"DELETE"} method
 * @param {string} path below /api/v1, with a leading slash
 * @param {{params?: URLSearchParams|Record<string, unknown>, body?: unknown, signal?: AbortSignal}} [options]
 *   body: FormData is sent as it is, anything else as JSON
 * @returns {Promise<any>} the answer's JSON; null if it has no content
 * @throws {Problem}
 */
export async function request(method, path, { params, body, signal } = {}) {
  const response = await send(method, BASE + path + queryText(params), body, signal);
  if (!response.ok) throw await problemOf(response);
  if (response.status === 204) return null;
  return response.json();
}

async function send(method, url, body, signal) {
  const options = { method, signal, headers: { Accept: "application/json", "X-Requested-With": "photoseek" }, credentials: "same-origin" };
  if (body instanceof FormData) options.body = body;
  else if (body !== undefined) {
    options.body = JSON.stringify(body);
    options.headers["Content-Type"] = "application/json";
  }
  try {
    const response = await fetch(url, options);
    reached(true);
    return response;
  } catch (error) {
    if (isAbort(error)) throw error;
    reached(false);
    throw new Problem({ status: 0, title: t("problem.down"), detail: t("problem.down_help") });
  }
}

async function problemOf(response) {
  const retryAfter = Number(response.headers.get("Retry-After")) || 0;
  let said = {};
  try {
    said = await response.json();
  } catch {
    // Not from photoseek: a proxy's page, or a connection that ended early.
  }
  const { inPeoplesWords } = await import("./problems.js"); // most pages never need it
  return new Problem({ status: response.status, ...inPeoplesWords({ ...said, status: response.status }), type: said.type, retryAfter });
}

function queryText(params) {
  if (!params) return "";
  let search = params;
  if (!(params instanceof URLSearchParams)) {
    search = new URLSearchParams();
    for (const [name, value] of Object.entries(params))
      for (const one of Array.isArray(value) ? value : [value])
        if (one !== null && one !== undefined && one !== "" && one !== false) search.append(name, String(one));
  }
  const text = search.toString();
  return text && `?${text}`;
}

/** @param {string} path @param {{params?: any, signal?: AbortSignal}} [options] */
export const get = (path, options) => request("GET", path, options);

/** @param {string} path @param {unknown} body @param {{params?: any, signal?: AbortSignal}} [options] */
export const post = (path, body, options) => request("POST", path, { ...options, body });

/** @param {string} path @param {unknown} body */
export const patch = (path, body) => request("PATCH", path, { body });

/** @param {string} path @param {{signal?: AbortSignal}} [options] */
export const remove = (path, options) => request("DELETE", path, options);

/**
 * Address of a small WebP of a picture. The hash in it changes with the picture, so that it may be cached for ever.
 * @param {{id: number|string, hash?: string}} picture @param {240|480|1024} size pixels of the longer side
 */
export function thumbnail(picture, size) {
  return `${BASE}/images/${picture.id}/thumbnail?size=${size}${picture.hash ? `&v=${picture.hash}` : ""}${moment(picture)}`;
}

/** Of a video the frame that is meant. */
const moment = ({ time_s: time }) => (typeof time === "number" ? `&t=${time}` : "");

/** Address of the original file. @param {number|string} id */
export const file = id => `${BASE}/images/${id}/file`;

/** Address of the short video of a motion photo or a live photo. @param {number|string} id */
export const motion = id => `${BASE}/images/${id}/motion`;

/** Address of a large WebP, for what browsers do not draw. @param {{id: number|string, hash?: string}} picture */
export const view = ({ id, hash = "", time_s }) => `${BASE}/images/${id}/view?v=${hash}${moment({ time_s })}`;

/** Address of anything of the API, for links. @param {string} path @param {any} [params] */
export const address = (path, params) => BASE + path + queryText(params);
