"use strict";
const places = JSON.parse(document.getElementById("places").textContent).map(
  ([x, y, group, thumbnail, name, uri]) => ({ x, y, group, thumbnail, name, uri, image: null }));
const canvas = document.querySelector("canvas"), pen = canvas.getContext("2d");
const seen = document.getElementById("seen");
const colours = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9",
                 "#7a5195", "#8c6d31", "#e7298a", "#66a61e", "#1b9e77", "#a6761d"];
const TILE = 72, DOT = 4, REACH = 30;
let view = null, tiles = [], waiting = false;

function fitView() {
  const scale = Math.min(innerWidth, innerHeight) * 0.45;
  view = { scale, left: innerWidth / 2, top: innerHeight / 2 };
}
const onScreen = p => [view.left + p.x * view.scale, view.top - p.y * view.scale];

function redraw() {
  if (waiting) return;
  waiting = true;
  setTimeout(() => { waiting = false; draw(); }, 16);
}

function thumbnailOf(p) {
  if (p.image === null && p.thumbnail) {
    p.image = new Image();
    p.image.onload = redraw;
    p.image.src = p.thumbnail;
  }
  return p.image && p.image.complete && p.image.naturalWidth ? p.image : null;
}

function draw() {
  const ratio = devicePixelRatio || 1;
  canvas.width = innerWidth * ratio;
  canvas.height = innerHeight * ratio;
  pen.scale(ratio, ratio);
  const taken = new Set();
  tiles = [];
  for (const p of places) {
    const [x, y] = onScreen(p);
    if (x < -TILE || y < -TILE || x > innerWidth + TILE || y > innerHeight + TILE) continue;
    pen.fillStyle = p.group < 0 ? "#888" : colours[p.group % colours.length];
    pen.beginPath();
    pen.arc(x, y, DOT, 0, 7);
    pen.fill();
    // One thumbnail in each cell of the screen, and none over its neighbours'.
    const column = Math.floor(x / TILE), row = Math.floor(y / TILE);
    if (p.thumbnail && !taken.has(column + " " + row)) {
      taken.add(column + " " + row);
      tiles.push({ p, x: (column + 0.5) * TILE, y: (row + 0.5) * TILE });
    }
  }
  for (const { p, x, y } of tiles) {
    const image = thumbnailOf(p);
    if (!image) continue;
    const scale = (TILE - 12) / Math.max(image.naturalWidth, image.naturalHeight);
    const width = image.naturalWidth * scale, height = image.naturalHeight * scale;
    pen.fillStyle = p.group < 0 ? "#888" : colours[p.group % colours.length];
    pen.fillRect(x - width / 2 - 2, y - height / 2 - 2, width + 4, height + 4);
    pen.drawImage(image, x - width / 2, y - height / 2, width, height);
  }
}

function nearest(x, y) {
  for (const tile of tiles)
    if (Math.abs(tile.x - x) < TILE / 2 - 6 && Math.abs(tile.y - y) < TILE / 2 - 6) return tile.p;
  let best = null, least = REACH * REACH;
  for (const p of places) {
    const [px, py] = onScreen(p), distance = (px - x) ** 2 + (py - y) ** 2;
    if (distance < least) { least = distance; best = p; }
  }
  return best;
}

function show(p, x, y) {
  seen.style.display = p ? "block" : "none";
  if (!p) return;
  seen.replaceChildren();
  if (p.thumbnail) {
    const image = new Image();
    image.src = p.thumbnail;
    seen.append(image);
  }
  seen.append(p.name);
  seen.style.left = Math.min(x + 16, innerWidth - 270) + "px";
  seen.style.top = Math.max(8, Math.min(y + 16, innerHeight - 300)) + "px";
}

const pointers = new Map();
let moved = 0;
canvas.addEventListener("pointerdown", event => {
  moved = 0;
  pointers.set(event.pointerId, event);
  canvas.setPointerCapture(event.pointerId);
});
canvas.addEventListener("pointermove", event => {
  const before = pointers.get(event.pointerId);
  if (!before) return show(nearest(event.clientX, event.clientY), event.clientX, event.clientY);
  const dx = event.clientX - before.clientX, dy = event.clientY - before.clientY;
  moved += Math.abs(dx) + Math.abs(dy);
  if (pointers.size === 2) {
    const other = [...pointers.values()].find(p => p.pointerId !== event.pointerId);
    const gap = p => Math.hypot(p.clientX - other.clientX, p.clientY - other.clientY) || 1;
    zoom(gap(event) / gap(before), other.clientX, other.clientY);
  } else {
    view.left += dx;
    view.top += dy;
    redraw();
  }
  pointers.set(event.pointerId, event);
});
canvas.addEventListener("pointerup", event => {
  pointers.delete(event.pointerId);
  if (moved > 4) return;
  const p = nearest(event.clientX, event.clientY);
  if (p) open(p.uri, "_blank", "noopener");
});
canvas.addEventListener("pointercancel", event => pointers.delete(event.pointerId));
canvas.addEventListener("pointerleave", () => show(null));
canvas.addEventListener("wheel", event => {
  event.preventDefault();
  zoom(Math.exp(-event.deltaY / 400), event.clientX, event.clientY);
}, { passive: false });

function zoom(factor, x, y) {
  const scale = Math.min(Math.max(view.scale * factor, 50), 1e6);
  factor = scale / view.scale;
  view = { scale, left: x + (view.left - x) * factor, top: y + (view.top - y) * factor };
  redraw();
}

addEventListener("keydown", event => {
  const step = { ArrowLeft: [60, 0], ArrowRight: [-60, 0], ArrowUp: [0, 60], ArrowDown: [0, -60] }[event.key];
  if (step) { view.left += step[0]; view.top += step[1]; redraw(); }
  else if (event.key === "+") zoom(1.25, innerWidth / 2, innerHeight / 2);
  else if (event.key === "-") zoom(0.8, innerWidth / 2, innerHeight / 2);
  else if (event.key === "0") { fitView(); redraw(); }
});
addEventListener("resize", () => { fitView(); redraw(); });
fitView();
draw();
