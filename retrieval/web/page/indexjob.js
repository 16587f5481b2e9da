// The indexing run of the server as it stands: asked for now and then, and followed while one is on.

const IDLE = 20_000; // ms between questions while nothing runs; a stream that is always open would take one of the
// six connections that a browser gives all pages of this server
const WAITS = [1, 2, 4, 8, 15]; // seconds until the next attempt to follow

/**
 * @typedef {object} Job as `IndexAnswer` of the API
 * @property {boolean} running
 * @property {"idle"|"starting"|"running"|"stopping"|"stopped"|"done"|"failed"} state
 * @property {"walk"|"encode"|"index"|"text"|null} stage
 * @property {number} done
 * @property {number|null} total
 * @property {number|null} rate pictures a second
 * @property {number|null} seconds_left
 *
 * @param {any} api
 */
export function createIndexJob(api) {
  const listeners = new Set();
  let [job, source, timer, failures] = [/** @type {any} */ (null), /** @type {EventSource|null} */ (null), 0, 0];

  function tell(now) {
    const before = job;
    job = now;
    for (const listener of listeners) listener(now, before);
    if (now.running) follow();
    else unfollow();
    if (before?.running && !now.running) refresh(); // events do not tell which files failed
  }

  async function refresh() {
    clearTimeout(timer);
    try {
      const now = await api.get("/index");
      failures = 0;
      tell(now);
    } catch (error) {
      if (error.status !== 0) for (const listener of listeners) listener(null, job, error);
    }
    if (!source) timer = setTimeout(() => (document.hidden ? (timer = 0) : refresh()), IDLE);
  }

  function follow() {
    if (source) return;
    clearTimeout(timer);
    source = new EventSource(api.address("/index/events"));
    for (const name of ["state", "progress", "report"]) source.addEventListener(name, (event) => tell({ ...job, ...JSON.parse(event.data) }));
    source.onopen = () => (failures = 0);
    source.onerror = () => {
      // A lost connection is taken up again by the browser; one that was refused is not.
      if (source?.readyState !== EventSource.CLOSED) return;
      unfollow();
      timer = setTimeout(refresh, WAITS[Math.min(failures, WAITS.length - 1)] * 1000);
      failures += 1;
    };
  }

  function unfollow() {
    source?.close();
    source = null;
    clearTimeout(timer);
    timer = setTimeout(refresh, IDLE);
  }

  document.addEventListener("visibilitychange", () => !document.hidden && !source && refresh());
  api.watch?.((reachable) => reachable && !source && refresh());

  return {
    refresh,
    current: () => job,
    /** @param {string[]} folders empty: all that are known */
    async start(folders) {
      await api.post("/index", { folders });
      await refresh();
    },
    async stop() {
      await api.remove("/index");
      await refresh();
    },
    /** @param {(now: Job|null, before: Job|null, error?: any) => void} listener */
    subscribe: (listener) => listeners.add(listener),
  };
}
