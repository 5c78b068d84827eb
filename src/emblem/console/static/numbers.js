// Numbers as the language of whoever reads them writes them, and states in words.

const STEPS = [
  ["day", 86_400],
  ["hour", 3_600],
  ["minute", 60],
  ["second", 1],
];
const BYTES = ["byte", "kilobyte", "megabyte", "gigabyte", "terabyte"];

/** A whole number. */
export function count(number) {
  return number.toLocaleString(undefined, { maximumFractionDigits: 0 });
}

/** A number with the three digits that count; whole from a hundred on. */
export function about(number) {
  return Math.abs(number) >= 100
    ? count(number)
    : number.toLocaleString(undefined, { maximumSignificantDigits: 3 });
}

/** A number with so many decimals. */
export function decimals(number, digits) {
  const fixed = { minimumFractionDigits: digits, maximumFractionDigits: digits };
  return number.toLocaleString(undefined, fixed);
}

/** A share from 0 to 1, in percent. */
export function percent(share) {
  return share.toLocaleString(undefined, { style: "percent", maximumFractionDigits: 1 });
}

/** An amount of money, which the server writes as a decimal number in text. */
export function money(text) {
  return Number(text).toLocaleString(undefined, { maximumFractionDigits: 9 });
}

export function milliseconds(ms) {
  return ms === null || ms === undefined ? "–" : `${about(ms)} ms`;
}

export function bytes(number) {
  let left = number;
  let step = 0;
  while (left >= 1000 && step < BYTES.length - 1) {
    left /= 1000;
    step += 1;
  }
  return inUnit(left, BYTES[step], { unitDisplay: "short", maximumSignificantDigits: 3 });
}

/** A length of time, in the largest unit of which it has one. */
export function span(seconds) {
  const [unit, size] = STEPS.find(([, each]) => seconds >= each) ?? STEPS.at(-1);
  const digits = size === 1 && seconds < 10 ? 1 : 0;
  const parts = 10 ** digits;
  return inUnit(Math.floor((parts * seconds) / size) / parts, unit, { unitDisplay: "long" });
}

/** How many seconds ago something was; null is never. */
export function ago(seconds) {
  return seconds === null || seconds === undefined ? "never" : `${span(seconds)} ago`;
}

/** Whether a model is in memory, in words. */
export function residence({ state }) {
  const says = { loaded: "in memory", loading: "being loaded", unloaded: "not in memory" };
  return says[state] ?? state;
}

function inUnit(number, unit, how) {
  return number.toLocaleString(undefined, { style: "unit", unit, ...how });
}
