/**
 * The page itself, kept in this browser for when the server does not answer: its frame, scripts and styles. Answers of
 * the API and pictures are never kept, nor even seen here. The server writes VERSION, the hash of all files of the page,
 * and SHELL, the files of a first look, above this.
 */

/* global VERSION, SHELL */

const PREFIX = "photoseek-page-";
const CACHE = PREFIX + VERSION;
const MESSAGES = /\/static\/messages\/[\w-]+\.js/;
const me = /** @type {any} */ (self);

me.addEventListener("install", event => event.waitUntil(keep().then(() => me.skipWaiting())));

me.addEventListener("activate", event => event.waitUntil(clear().then(() => me.clients.claim())));

me.addEventListener("fetch", event => {
  const { method, mode, url } = event.request;
  const { origin, pathname } = new URL(url);
  if (method !== "GET" || origin !== location.origin) return;
  const isPage = mode === "navigate" && pathname === "/";
  if (isPage || pathname.startsWith("/static/")) event.respondWith(answer(event.request, pathname));
});

async function keep() {
  const page = await fetch("/", { credentials: "same-origin" });
  if (!page.ok) return; // the form for the token; the page is kept after it
  const messages = MESSAGES.exec(await page.clone().text());
  const cache = await caches.open(CACHE);
  await cache.addAll([...SHELL, ...(messages ?? [])]);
  await cache.put("/", page);
}

async function clear() {
  for (const name of await caches.keys()) if (name.startsWith(PREFIX) && name !== CACHE) await caches.delete(name);
}

/** The server's answer, and only without one what was kept. */
async function answer(request, path) {
  const cache = await caches.open(CACHE);
  try {
    const given = await fetch(request);
    if (given.status === 200 && !given.redirected) await cache.put(path, given.clone()).catch(() => {}); // no room: not kept
    return given;
  } catch (error) {
    const kept = await cache.match(path, { ignoreVary: true, ignoreSearch: true });
    if (kept) return kept;
    throw error;
  }
}
