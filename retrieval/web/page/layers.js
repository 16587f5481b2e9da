/**
 * What lies over the page, as a drawer or a dialog, is closed by going back: on a phone that is the nearest button.
 *
 * @param {() => void} close
 * @returns {{opened: () => void, closed: () => void}} to be called when it has opened, and when it has been closed by
 *   other means; the second is called again by `close`, which does no harm
 */
export function createLayer(close) {
  let on = false;
  addEventListener("popstate", () => {
    if (!on || history.state?.layer) return;
    on = false;
    close();
  });
  return {
    opened() {
      if (on) return;
      on = true;
      history.pushState({ ...history.state, layer: true }, "");
    },
    closed() {
      if (!on) return;
      on = false;
      // Where something was chosen meanwhile, that is the newest entry, and it stays.
      if (history.state?.layer) history.back();
    },
  };
}
