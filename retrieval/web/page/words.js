/**
 * What the page says, in the language that the server wrote the page in. Every text that people read is a message with a
 * key, in a file for each language; only that of the present language is loaded.
 */

/** @type {string} as a BCP 47 tag */
export const language = document.documentElement.lang;

const { default: MESSAGES } = await import(`./messages/${language}.js`);
const NUMBERS = new Intl.NumberFormat(language);
const PLURALS = new Intl.PluralRules(language);
const PLACEHOLDER = /\{(\w+)\}/g;

/** 12345 -> "12,345" in English. @param {number} value */
export const count = value => NUMBERS.format(value);

/**
 * A message.
 * @param {string} key
 * @param {Record<string, string|number>} [values] of its placeholders; numbers are written as the language does.
 *   Of a message with plurals the one for `n` is taken.
 */
export const t = (key, values = {}) => message(key, values).replace(PLACEHOLDER, (_, name) => text(values[name]));

/**
 * The same with elements among the text.
 * @param {string} key
 * @param {Record<string, string|number|Node>} values
 * @returns {(string|Node)[]}
 */
export const parts = (key, values) =>
  message(key, values).split(PLACEHOLDER).map((part, at) => (at % 2 ? (values[part] instanceof Node ? values[part] : text(values[part])) : part));

/** Whether there is such a message. @param {string} key */
export const has = key => key in MESSAGES;

const text = value => (typeof value === "number" ? count(value) : String(value));

function message(key, values) {
  const found = MESSAGES[key];
  if (found === undefined) throw new Error(`there is no message ${key}`);
  return typeof found === "string" ? found : found[PLURALS.select(Number(values.n))] ?? found.other;
}

/** A label inside a sentence or after another word: German keeps its capital, and so does every abbreviation. @param {string} text */
export const inside = text => (language === "de" || text === text.toUpperCase() ? text : text[0].toLocaleLowerCase(language) + text.slice(1));

/** 1234.5, 1 -> "1,234.5" in English. @param {number} value @param {number} digits after the point, always that many */
export const decimal = (value, digits) =>
  new Intl.NumberFormat(language, { minimumFractionDigits: digits, maximumFractionDigits: digits }).format(value);

/** Several texts as a list: "a, b and c". @param {string[]} texts @param {"conjunction"|"unit"} [type] */
export const list = (texts, type = "unit") => new Intl.ListFormat(language, { type, style: "short" }).format(texts);

/**
 * 3400000 -> "3.4 MB" in English, "3,4 Mo" in French; in powers of 1000 as disks are sold.
 * @param {number} bytes
 */
export function size(bytes) {
  const units = ["byte", "kilobyte", "megabyte", "gigabyte", "terabyte"];
  let at = 0;
  while (bytes >= 999.5 && at < units.length - 1) {
    bytes /= 1000;
    at += 1;
  }
  const digits = at === 0 || bytes >= 99.5 ? 0 : 1;
  const how = { style: "unit", unit: units[at], unitDisplay: at ? "short" : "long", minimumFractionDigits: digits, maximumFractionDigits: digits };
  return new Intl.NumberFormat(language, /** @type {any} */ (how)).format(bytes);
}

/** A date as the language writes it. @param {Date} date @param {Intl.DateTimeFormatOptions} how */
export const date = (date, how) => new Intl.DateTimeFormat(language, how).format(date);
