/**
 * Follows the gallery: the server tells of every change, made in another tab, on the command line or by a watcher, and
 * the list and its facets are asked for again. A page that nobody looks at does not listen, and looks when it is shown.
 */

const REST = 1500; // ms between two refreshes: an indexing run changes the gallery every two seconds

/** @param {{state: any, api: any, results: any}} shared */
export function mount({ state, api, results }) {
  let source = null, version = "", timer = 0, last = 0, missed = false;

  function listen() {
    if (document.hidden || source) return;
    source = new EventSource(api.address("/events"));
    source.addEventListener("gallery", event => hear(JSON.parse(event.data).version));
  }

  function leave() {
    source?.close();
    source = null;
  }

  function hear(now) {
    // A gallery that was not there when the page was opened has its first pictures now.
    const isNew = version === "" ? Boolean(results.problem()) || (Boolean(results.list()) && results.total() === 0) : now !== version;
    version = now;
    if (isNew) soon();
  }

  function soon() {
    clearTimeout(timer);
    timer = setTimeout(refresh, Math.max(last + REST - Date.now(), 50));
  }

  function refresh() {
    last = Date.now();
    dispatchEvent(new Event("gallery-changed"));
    if (state.get().view !== "grid") missed = true;
    else results.search({ keep: true });
  }

  addEventListener("labels-changed", soon);
  state.subscribe((now, changed) => {
    if (!changed.has("view") || now.view !== "grid" || !missed) return;
    missed = false;
    results.search({ keep: true });
  });
  document.addEventListener("visibilitychange", () => (document.hidden ? leave() : listen()));
  listen();
}
