// Where samples lie: world = scale * index + translation per axis, at the centre of a sample. No drawing, no network.

const UPWARDS = ["lat", "latitude", "northing"];
const EASTWARDS = ["lon", "longitude", "easting"];

/** Edges of a level along an axis, in world units, in the order of its samples. */
export function edges(level, axis) {
  const [s, t, n] = [level.scale[axis], level.translation[axis], level.shape[axis]];
  return [t - 0.5 * s, t + (n - 0.5) * s];
}

/** World coordinate of a (fractional) sample. */
export const worldOf = (level, axis, index) => level.scale[axis] * index + level.translation[axis];

/** Fractional sample at a world coordinate. */
export const indexOf = (level, axis, world) => (world - level.translation[axis]) / level.scale[axis];

/** The sample of a level that stands for a sample of the base along an axis that is not shown. */
export function pickAt(base, level, axis, index) {
  if (level.shape[axis] === base.shape[axis]) return index;
  const found = Math.round(indexOf(level, axis, worldOf(base, axis, index)));
  return Math.min(Math.max(found, 0), level.shape[axis] - 1);
}

/** +1 where world coordinates grow to the right (down), -1 where they grow to the left (up). Samples run right and down, but north is up. */
export function direction(source, axis, isRows) {
  if (axis === null) return 1;
  const name = source.axes[axis].name.toLowerCase();
  if (isRows && UPWARDS.includes(name)) return -1;
  if (!isRows && EASTWARDS.includes(name)) return 1;
  return source.levels[0].scale[axis] < 0 ? -1 : 1;
}

/** Position in `source.levels` of the coarsest level whose samples are no larger than a pixel; the finest where none is. */
export function chooseLevel(source, plane, step) {
  let found = 0;
  source.levels.forEach((level, k) => {
    const rows = plane.rows === null || Math.abs(level.scale[plane.rows]) <= step.rows * 1.0001;
    if (rows && Math.abs(level.scale[plane.columns]) <= step.columns * 1.0001) found = k;
  });
  return found;
}

/** A length of one, two or five of a power of ten, at most `most`. */
export function niceLength(most) {
  const power = 10 ** Math.floor(Math.log10(most));
  return (most >= 5 * power ? 5 : most >= 2 * power ? 2 : 1) * power;
}

/** A number in at most `digits` digits, without a tail of zeros. */
export function shortNumber(value, digits = 6) {
  if (!Number.isFinite(value)) return String(value);
  return String(Number(value.toPrecision(digits)));
}

const SHORT = { micrometer: "µm", nanometer: "nm", millimeter: "mm", centimeter: "cm", meter: "m", kilometer: "km", angstrom: "Å", second: "s", degree: "°" };
export const shortUnit = (unit) => (unit ? SHORT[unit] ?? unit : "");

/** A length in a unit, in the power of thousand that reads best. */
export function shownLength(value, unit) {
  const scales = { micrometer: 1e-6, nanometer: 1e-9, millimeter: 1e-3, meter: 1, kilometer: 1e3 };
  if (!(unit in scales)) return `${shortNumber(value)} ${shortUnit(unit)}`.trim();
  const metres = value * scales[unit];
  const fit = [[1e3, "km"], [1, "m"], [1e-3, "mm"], [1e-6, "µm"], [1e-9, "nm"]].find(([size]) => metres >= size * 0.999) ?? [1e-9, "nm"];
  return `${shortNumber(metres / fit[0], 4)} ${fit[1]}`;
}
