// Places and circles on the globe, as numbers, as the API's text, and in words.

import { decimal, t } from "./words.js";

const EARTH_KM = 6371.0088; // mean radius, as the server has it

/** @param {number} degrees */
export const radians = (degrees) => (degrees * Math.PI) / 180;

/** A longitude beyond 180 degrees, as it is written. @param {number} lon */
export const turned = (lon) => ((((lon + 180) % 360) + 360) % 360) - 180;

/** "48.858,2.294,5km" -> its parts, or null. @param {string} text */
export function parseNear(text) {
  const match = /^\s*(-?[\d.]+)\s*,\s*(-?[\d.]+)\s*,\s*([\d.e+-]+)\s*(km|m|mi)\s*$/i.exec(text);
  if (!match) return null;
  const unit = { km: 1, m: 0.001, mi: 1.609344 }[match[4].toLowerCase()] ?? 1;
  return { lat: Number(match[1]), lon: Number(match[2]), km: Number(match[3]) * unit };
}

/** A circle as the API takes it, without more digits than it means. @param {{lat: number, lon: number, km: number}} at */
export function nearText({ lat, lon, km }) {
  const digits = km < 1 ? 4 : km < 100 ? 3 : 1;
  return `${Number(lat.toFixed(digits))},${Number(lon.toFixed(digits))},${Number(km.toPrecision(2))}km`;
}

/** 48.858, 2.294 -> "48.9° N, 2.3° E" in English. @param {number} lat @param {number} lon @param {number} [digits] */
export function placeName(lat, lon, digits = 1) {
  const degrees = (value, direction) => `${decimal(Math.abs(value), digits)}° ${t(`direction.${direction}`)}`;
  return `${degrees(lat, lat < 0 ? "south" : "north")}, ${degrees(lon, lon < 0 ? "west" : "east")}`;
}

/** A circle in words. @param {string} near */
export function nearName(near) {
  const at = parseNear(near);
  if (!at) return near;
  const far = at.km < 1 ? t("metres", { n: Math.round(at.km * 1000) }) : t("kilometres", { n: Number(at.km.toPrecision(3)) });
  return t("map.around", { far, place: placeName(at.lat, at.lon) });
}

/** Kilometres along a great circle (haversine). */
export function distance(a, b) {
  const half = (x) => Math.sin(radians(x) / 2) ** 2;
  const chord = half(b.lat - a.lat) + Math.cos(radians(a.lat)) * Math.cos(radians(b.lat)) * half(b.lon - a.lon);
  return 2 * EARTH_KM * Math.asin(Math.min(1, Math.sqrt(chord)));
}

/** Points of a circle on the globe, so that it looks as wide as it is at its latitude. */
export function circlePoints({ lat, lon, km }) {
  const angle = km / EARTH_KM;
  const points = [];
  for (let turn = 0; turn < 360; turn += 6) {
    const [bearing, here] = [radians(turn), radians(lat)];
    const there = Math.asin(Math.sin(here) * Math.cos(angle) + Math.cos(here) * Math.sin(angle) * Math.cos(bearing));
    const along = Math.atan2(Math.sin(bearing) * Math.sin(angle) * Math.cos(here), Math.cos(angle) - Math.sin(here) * Math.sin(there));
    points.push([lon + (along * 180) / Math.PI, (there * 180) / Math.PI]);
  }
  return points;
}
