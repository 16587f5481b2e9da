// Where the pictures were taken: a map without tiles. Dots of counts, or pictures where there is room for them, over
// coastlines and names that come from this server; a circle drawn here is the filter `near`.

import { count, h, s } from "./parts.js";
import { t } from "./words.js";
import { circlePoints, distance, nearName, nearText, parseNear, placeName, radians, turned } from "./places.js";
import { LAND, PER_DEGREE } from "./land.js";

const SMALL = [300, 190];
const CLOSE = 80; // degrees across, below which coastlines are drawn that come when they are needed
const THUMBNAIL = 46; // of the large map, in pixels
const MOST_THUMBNAILS = 60;
const LETTER = 6.2; // pixels, of a name
const KM_PER_DEGREE = 111.195; // of a great circle on a sphere of 6371.0088 km, as the server measures
const STEPS = [45, 30, 15, 10, 5, 2, 1, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01];
const KEYS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };

const meets = (a, b) => a[0] < b[2] && b[0] < a[2] && a[1] < b[3] && b[1] < a[3];

/**
 * @param {(near: string) => void} onNear a circle was chosen
 * @param {(box: string) => Promise<any>} cellsIn the places of a part of the map, in cells of its size
 * @param {{townsIn: (box: string) => Promise<any>, thumbnail: (id: number) => string, onEnlarge: () => void}} more
 */
export function mapbox(onNear, cellsIn, { townsIn, thumbnail, onEnlarge }) {
  let [WIDTH, HEIGHT] = SMALL;
  let [large, coast, towns] = [false, null, []];
  let view = { lat: 20, lon: 0, span: 360 }; // span: degrees of longitude across the drawing
  let places = { box: null, cells: [] };
  let chosen = [];
  let drawing = null; // the circle while it is being drawn
  let fitted = "";
  let armed = false;
  let [looked, waiting] = [/** @type {number[]|null} */ (null), 0]; // the part of the map that the cells are for
  const svg = s("svg", {
    class: "map",
    viewBox: `0 0 ${WIDTH} ${HEIGHT}`,
    tabindex: "0",
    role: "application",
    "aria-label": t("map.label"),
    onkeydown: onKey,
    onpointerdown: onDown,
    onwheel: onWheel,
  });
  const button = (label, text, run) => h("button", { type: "button", "aria-label": label, title: label, onclick: run }, text);
  const enlarging = button(t("map.enlarge"), "⤢", () => onEnlarge());
  const arm = button(t("map.circle"), "◯", () => setArmed(!armed));
  const tools = h(
    "div",
    { class: "map-tools" },
    button(t("zoom.in"), "+", () => zoom(0.5)),
    button(t("zoom.out"), "−", () => zoom(2)),
    button(t("map.fit"), "⊡", () => fit()),
    enlarging,
    arm,
  );
  const told = h("output", { class: "map-told" });
  const list = h("ul", { class: "facet-list" });
  const places_ = h("details", { class: "map-places" }, h("summary", null, t("map.list")), list);
  const element = h("div", { class: "mapbox" }, h("div", { class: "map-frame" }, svg, tools, told), places_);

  // Degrees of longitude shrink towards the poles; drawing them by the cosine of the middle keeps shapes true there.
  const squeeze = () => (view.span >= 180 ? 1 : Math.max(0.2, Math.cos(radians(view.lat))));
  const scale = () => WIDTH / view.span;
  const x = (lon) => WIDTH / 2 + (lon - view.lon) * scale();
  const y = (lat) => HEIGHT / 2 - ((lat - view.lat) * scale()) / squeeze();

  function placeAt(event) {
    const box = svg.getBoundingClientRect();
    const [px, py] = [((event.clientX - box.left) / box.width) * WIDTH, ((event.clientY - box.top) / box.height) * HEIGHT];
    const lat = view.lat - ((py - HEIGHT / 2) * squeeze()) / scale();
    return { lon: view.lon + (px - WIDTH / 2) / scale(), lat: Math.max(-90, Math.min(90, lat)) };
  }

  function setArmed(value) {
    armed = value;
    arm.setAttribute("aria-pressed", String(armed));
    svg.classList.toggle("armed", armed);
    told.textContent = armed ? t("map.drag") : "";
  }

  function zoom(factor, around = view) {
    const span = Math.min(360, Math.max(0.02, view.span * factor));
    const share = span / view.span;
    view = { span, lat: around.lat + (view.lat - around.lat) * share, lon: around.lon + (view.lon - around.lon) * share };
    moved();
  }

  /** The view changed: draw it now, and its places in finer or coarser cells when it rests. */
  function moved() {
    clamp();
    draw();
    clearTimeout(waiting);
    waiting = setTimeout(refine, 200);
  }

  async function refine() {
    const [wide, tall] = [Math.min(180, view.span * 0.6), (view.span * 0.6 * squeeze() * HEIGHT) / WIDTH];
    const [west, east] = wide === 180 ? [-180, 180] : [turned(view.lon - wide), turned(view.lon + wide)];
    const part = [Math.max(-90, view.lat - tall), west, Math.min(90, view.lat + tall), east];
    const mine = ++asked;
    const box = part.map((degrees) => degrees.toFixed(5)).join(",");
    const [{ cells }, named, shores] = await Promise.all([cellsIn(box).catch(() => places), townsIn(box).catch(() => ({ towns: [] })), view.span < CLOSE || large ? import("./coast.js").catch(() => null) : coast]);
    if (mine !== asked) return;
    [towns, coast] = [named.towns, shores];
    if (cells !== places.cells) [places, looked] = [{ ...places, cells }, part];
    draw();
    listPlaces();
  }
  let [asked, hint] = [0, 0];

  function clamp() {
    view.lat = Math.max(-80, Math.min(80, view.lat));
    view.lon = turned(view.lon);
  }

  /** South, west, north, east, with east beyond 180 where it goes over that meridian. @param {number[]} part */
  function unturned([south, west, north, east]) {
    return [south, west, north, east < west ? east + 360 : east];
  }

  function fit() {
    if (!places.box) return;
    const [south, west, north, east] = unturned(places.box);
    view = { lat: (south + north) / 2, lon: (west + east) / 2, span: 1 };
    const tall = ((north - south) * WIDTH) / HEIGHT / Math.max(0.2, Math.cos(radians(view.lat)));
    view.span = Math.min(360, Math.max(east - west, tall, 0.05) * 1.3);
    moved();
  }

  /** A wheel that is on its way down the panel does not stop at the map. */
  function onWheel(event) {
    if (!event.ctrlKey && !event.metaKey && document.activeElement !== svg) {
      told.textContent = t("map.wheel");
      clearTimeout(hint);
      hint = setTimeout(() => (told.textContent = ""), 1500);
      return;
    }
    event.preventDefault();
    zoom(event.deltaY > 0 ? 1.25 : 0.8, placeAt(event));
  }

  function onKey(event) {
    const arrow = KEYS[event.key];
    if (arrow) {
      view.lon += (arrow[0] * view.span) / 8;
      view.lat += (arrow[1] * view.span) / 12;
      moved();
    } else if (event.key === "+" || event.key === "=") zoom(0.5);
    else if (event.key === "-") zoom(2);
    else if (event.key === "Enter") choose({ lat: view.lat, lon: view.lon, km: (view.span * KM_PER_DEGREE * squeeze()) / 5 });
    else if (event.key === "Escape" && (armed || drawing)) setArmed(false);
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  function onDown(event) {
    if (event.button !== 0) return;
    event.preventDefault();
    svg.focus();
    svg.setPointerCapture(event.pointerId);
    const [start, seen, circle] = [placeAt(event), { ...view }, armed || event.shiftKey];
    const dot = event.target.closest(".dot");
    let dragged = false;
    const move = (at) => {
      if (Math.hypot(at.clientX - event.clientX, at.clientY - event.clientY) > 4) dragged = true;
      if (!dragged) return;
      if (circle) {
        drawing = { ...start, km: Math.max(0.05, distance(start, placeAt(at))) };
        told.textContent = nearName(nearText(drawing));
      } else {
        const box = svg.getBoundingClientRect();
        view.lon = seen.lon - ((at.clientX - event.clientX) / box.width) * view.span;
        view.lat = seen.lat + ((at.clientY - event.clientY) / box.width) * view.span * squeeze();
        moved();
      }
      draw();
    };
    const up = (last) => {
      for (const [name, listener] of [["pointermove", move], ["pointerup", up], ["pointercancel", up]]) svg.removeEventListener(name, listener);
      const made = drawing;
      drawing = null;
      if (last.type === "pointercancel") draw();
      else if (made) choose(made);
      else if (!dragged && dot) choose(places.cells[Number(dot.dataset.cell)]);
    };
    for (const [name, listener] of [["pointermove", move], ["pointerup", up], ["pointercancel", up]]) svg.addEventListener(name, listener);
  }

  function choose(at) {
    setArmed(false);
    onNear(nearText({ lat: at.lat, lon: turned(at.lon), km: at.km ?? reach() }));
  }

  /** Kilometres that take in a cell, wherever in it its middle lies: up to 400 nearly square ones fill what is seen. */
  function reach() {
    const [south, west, north, east] = unturned(looked ?? places.box);
    const [high, wide] = [north - south, (east - west) * Math.cos(radians((south + north) / 2))];
    const side = high && wide ? Math.sqrt((high * wide) / 400) : Math.max(high, wide) / 400;
    return Math.max(0.5, Math.SQRT2 * side * KM_PER_DEGREE);
  }

  function outline(points) {
    const corners = points.map(([lon, lat]) => `${x(lon).toFixed(1)} ${y(lat).toFixed(1)}`);
    return `M${corners.join("L")}Z`;
  }

  function graticule() {
    const step = STEPS.find((size) => view.span / size >= 3) ?? 0.01;
    const lines = [];
    const tall = (view.span * squeeze() * HEIGHT) / WIDTH;
    for (let lon = Math.ceil((view.lon - view.span / 2) / step) * step; lon < view.lon + view.span / 2; lon += step) {
      lines.push(`M${x(lon).toFixed(1)} 0V${HEIGHT}`);
    }
    for (let lat = Math.ceil((view.lat - tall / 2) / step) * step; lat < view.lat + tall / 2; lat += step) {
      lines.push(`M0 ${y(lat).toFixed(1)}H${WIDTH}`);
    }
    return s("path", { class: "graticule", d: lines.join("") });
  }

  /** The world three times, so that a view across the 180th meridian is whole; of it only what can be seen. */
  function lands() {
    const isClose = coast && (view.span < CLOSE || large);
    const per = isClose ? coast.PER_DEGREE : PER_DEGREE;
    const [kx, ky] = [scale() / per, scale() / squeeze() / per];
    return [-360, 0, 360].map((turn) => {
      const [left, up] = [x(turn), y(0)];
      const seen = ([west, north, east, south]) => left + east * kx > 0 && left + west * kx < WIDTH && up + south * ky > 0 && up + north * ky < HEIGHT;
      const d = isClose ? coast.COAST.filter(seen).map((one) => one[4]).join("") : LAND;
      return s("path", { class: "land", d, transform: `translate(${left} ${up}) scale(${kx} ${ky})` });
    });
  }

  const nearest = (lon) => view.lon + ((((lon - view.lon + 180) % 360) + 360) % 360) - 180;

  /** Pictures of the largest cells on the large map, dots for all others. */
  function marks(taken) {
    const most = Math.max(1, ...places.cells.map((cell) => cell.count));
    const order = places.cells.map((cell, index) => ({ ...cell, index, cx: x(nearest(cell.lon)), cy: y(cell.lat) })).sort((a, b) => b.count - a.count);
    const [dots, pictures] = [[], []];
    for (const { index, cx, cy, count: n, image_id: image } of order) {
      const half = THUMBNAIL / 2;
      const box = [cx - half, cy - half, cx + half, cy + half];
      const told = s("title", null, t("count.pictures", { n }));
      if (large && image && pictures.length < MOST_THUMBNAILS && cx > 0 && cy > 0 && cx < WIDTH && cy < HEIGHT && !taken.some((other) => meets(box, other))) {
        taken.push(box);
        pictures.push(s("g", { class: "dot picture", "data-cell": index, transform: `translate(${cx.toFixed(1)} ${cy.toFixed(1)})` }, told,
          s("rect", { x: -half - 2, y: -half - 2, width: THUMBNAIL + 4, height: THUMBNAIL + 4, rx: 9 }),
          s("image", { href: thumbnail(image), x: -half, y: -half, width: THUMBNAIL, height: THUMBNAIL, preserveAspectRatio: "xMidYMid slice" }),
          n > 1 && s("text", { x: half, y: -half + 3, "text-anchor": "end" }, count(n))));
      } else dots.push(s("circle", { class: "dot", "data-cell": index, cx: cx.toFixed(1), cy: cy.toFixed(1), r: (3 + 7 * Math.sqrt(n / most)).toFixed(1) }, told));
    }
    return [...dots, ...pictures];
  }

  /** Names of towns, the largest first, as far as they are not on each other or on pictures. */
  function names(taken) {
    return towns.map(({ name, lat, lon }) => {
      const [cx, cy] = [x(nearest(lon)), y(lat)];
      const box = [cx - 2, cy - 7, cx + 8 + name.length * LETTER * (large ? 1 : 0.75), cy + 7];
      if (box[2] > WIDTH || cx < 0 || cy < 8 || cy > HEIGHT - 16 || taken.some((other) => meets(box, other))) return null;
      taken.push(box);
      return s("g", { class: "town", transform: `translate(${cx.toFixed(1)} ${cy.toFixed(1)})` }, s("circle", { r: 1.4 }), s("text", { x: 4, y: 3 }, name));
    });
  }

  function draw() {
    const circles = [...chosen.map(parseNear), drawing].filter(Boolean).map((at) => s("path", { class: "near", d: outline(circlePoints(at)) }));
    const taken = [];
    const over = marks(taken);
    svg.replaceChildren(...lands(), graticule(), ...names(taken).filter(Boolean), ...circles, ...over, ...ruler());
  }

  function ruler() {
    const km = view.span * KM_PER_DEGREE * squeeze();
    const nice = [5000, 2000, 1000, 500, 200, 100, 50, 20, 10, 5, 2, 1, 0.5, 0.2, 0.1].find((size) => size < km / 4) ?? 0.1;
    const width = (nice / km) * WIDTH;
    const text = nice < 1 ? t("metres", { n: nice * 1000 }) : t("kilometres", { n: nice });
    return [
      s("path", { class: "ruler", d: `M8 ${HEIGHT - 12}v4h${width.toFixed(1)}v-4` }),
      s("text", { class: "ruler-text", x: 12 + width, y: HEIGHT - 7 }, text),
    ];
  }

  function listPlaces() {
    const digits = places.box && places.box[2] - places.box[0] < 2 ? 2 : 1;
    const best = [...places.cells].sort((a, b) => b.count - a.count).slice(0, 40);
    list.replaceChildren(
      ...best.map((cell) =>
        h("li", null, h("button", { type: "button", class: "facet-value", onclick: () => choose(cell) },
          h("span", { class: "facet-name" }, placeName(cell.lat, cell.lon, digits)),
          h("span", { class: "facet-count" }, count(cell.count)))),
      ),
    );
  }

  return {
    element,
    /** As large as its place, or as small as beside the pictures. @param {boolean} on */
    enlarge(on) {
      large = enlarging.hidden = on;
      const frame = svg.getBoundingClientRect();
      [WIDTH, HEIGHT] = on && frame.width ? [frame.width, frame.height] : SMALL;
      svg.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
      element.classList.toggle("large", on);
      moved();
    },
    focus: () => svg.focus(),
    /** @param {{count: number, box: number[]|null, cells: {lat: number, lon: number, count: number}[]}} facet @param {string[]} near */
    update(facet, near) {
      places = facet;
      chosen = near;
      looked = null;
      // Follow the data only when it moved: a view that the user chose stays.
      if (String(places.box) !== fitted) fit();
      else moved();
      fitted = String(places.box);
      listPlaces();
    },
  };
}
