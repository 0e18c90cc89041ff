// The picture: which tiles of which level are seen from where, and what is under the cursor.

import { Renderer } from "./renderer.js";
import { Tiles } from "./tiles.js";
import { chooseLevel, direction, edges, indexOf, pickAt, worldOf } from "./world.js";

const MAX_TILES = 400; // of one level in view; a picture that would need more waits for a coarser level

export class Picture {
  constructor(canvas, listing, drawn, options) {
    this.canvas = canvas;
    this.tile = listing.tile;
    this.renderer = new Renderer(canvas, options);
    this.tiles = new Tiles(this.renderer, () => this.redraw());
    this.drawn = drawn;
    this.source = null;
    this.only = null; // position of the one level that is shown, null for the level by zoom
    this.background = [0.08, 0.09, 0.1];
    this.look = { channels: [], mapped: true, nodata: null, chosen: 0 };
    this.frame = 0;
    this.visible = [];
    new ResizeObserver(() => this.resize()).observe(canvas);
  }

  /** Takes a source, its plane {rows, columns, channel} and the samples of level 0 on the other axes. */
  show(source, plane, picks) {
    this.source = source;
    this.plane = plane;
    this.picks = picks;
    this.directions = { rows: direction(source, plane.rows, true), columns: direction(source, plane.columns, false) };
    this.redraw();
  }

  resize() {
    const ratio = window.devicePixelRatio || 1;
    const [width, height] = [Math.max(1, Math.round(this.canvas.clientWidth * ratio)), Math.max(1, Math.round(this.canvas.clientHeight * ratio))];
    if (width === this.canvas.width && height === this.canvas.height) return;
    [this.canvas.width, this.canvas.height] = [width, height];
    this.redraw();
  }

  /** World interval of the base, in rows and columns. */
  box() {
    const base = this.source.levels[0];
    const rows = this.plane.rows === null ? [0, 1] : edges(base, this.plane.rows);
    return { rows: [Math.min(...rows), Math.max(...rows)], columns: sorted(edges(base, this.plane.columns)) };
  }

  /** Sets the view so that the whole base is seen; rows and columns share a scale where they share a unit. */
  fit() {
    const { rows, columns } = this.box();
    const [height, width] = [rows[1] - rows[0], columns[1] - columns[0]];
    const [free, wide] = [Math.max(1, this.canvas.height), Math.max(1, this.canvas.width)];
    const axes = this.source.axes;
    const alike = this.plane.rows !== null && axes[this.plane.rows].unit === axes[this.plane.columns].unit && axes[this.plane.rows].kind === axes[this.plane.columns].kind;
    const columnStep = alike ? Math.max(height / free, width / wide) : width / wide;
    this.ratio = alike ? 1 : height / free / columnStep;
    this.step = columnStep * 1.02;
    this.centre = { rows: (rows[0] + rows[1]) / 2, columns: (columns[0] + columns[1]) / 2 };
    this.redraw();
  }

  get steps() { return { rows: this.step * this.ratio, columns: this.step }; }

  toScreen(rows, columns) {
    return [
      this.canvas.width / 2 + ((columns - this.centre.columns) / this.steps.columns) * this.directions.columns,
      this.canvas.height / 2 + ((rows - this.centre.rows) / this.steps.rows) * this.directions.rows,
    ];
  }

  toWorld(x, y) {
    return {
      columns: this.centre.columns + (x - this.canvas.width / 2) * this.steps.columns * this.directions.columns,
      rows: this.centre.rows + (y - this.canvas.height / 2) * this.steps.rows * this.directions.rows,
    };
  }

  pan(dx, dy) {
    this.centre.columns -= dx * this.steps.columns * this.directions.columns;
    this.centre.rows -= dy * this.steps.rows * this.directions.rows;
    this.redraw();
  }

  zoom(factor, x = this.canvas.width / 2, y = this.canvas.height / 2) {
    const before = this.toWorld(x, y);
    this.step *= factor;
    const after = this.toWorld(x, y);
    this.centre.columns += before.columns - after.columns;
    this.centre.rows += before.rows - after.rows;
    this.redraw();
  }

  /** Position of the level that is shown. */
  get level() { return this.only ?? chooseLevel(this.source, this.plane, this.steps); }

  redraw() {
    if (this.frame || !this.source) return;
    this.frame = requestAnimationFrame(() => { this.frame = 0; this.paint(); });
  }

  paint() {
    if (!this.centre) return;
    const chosen = this.level;
    const { levels } = this.source;
    const wanted = [];
    const list = [];
    const finest = this.only === null ? levels.length - 1 : chosen;
    for (let k = finest; k >= chosen; k--) {
      const seen = this.tilesOf(levels[k]);
      if (k !== chosen && k !== finest) { seen.forEach((each) => { const tile = this.tiles.get(each.key); if (tile) list.push(quad(each, tile)); }); continue; }
      if (seen.length > MAX_TILES) { this.tooMany = seen.length; continue; }
      this.tooMany = 0;
      for (const each of seen) {
        const tile = this.tiles.get(each.key);
        if (tile) list.push(quad(each, tile)); else wanted.push(each);
      }
    }
    this.tiles.want(wanted.filter((each) => each.level === levels[finest].index).concat(wanted.filter((each) => each.level !== levels[finest].index)));
    if (list.length || !wanted.length) this.visible = list;
    const before = list.length ? list : this.visible.filter((each) => each.source === this.source.number);
    this.renderer.draw(before, this.look, this.background);
    this.drawn();
  }

  /** The tiles of a level that are seen, nearest to the middle first. */
  tilesOf(level) {
    const { rows, columns } = this.plane;
    const corners = [this.toWorld(0, 0), this.toWorld(this.canvas.width, this.canvas.height)];
    const across = this.span(level, columns, corners.map((c) => c.columns));
    const down = rows === null ? [0, 0] : this.span(level, rows, corners.map((c) => c.rows));
    if (!across || !down) return [];
    const picks = this.source.axes.map((_, axis) => {
      if (axis === rows || axis === columns) return 0;
      return axis === this.plane.channel ? "a" : pickAt(this.source.levels[0], level, axis, this.picks[axis] ?? 0);
    });
    const prefix = `plane/${this.source.number}/${level.index}/${rows ?? "n"}-${columns}/${picks.join(".")}`;
    const isLabels = this.source.kind === "labels";
    const layers = this.plane.channel === null ? 1 : level.shape[this.plane.channel];
    const found = [];
    for (let r = down[0]; r <= down[1]; r++) {
      for (let c = across[0]; c <= across[1]; c++) {
        const height = rows === null ? 1 : Math.min(this.tile, level.shape[rows] - r * this.tile);
        const width = Math.min(this.tile, level.shape[columns] - c * this.tile);
        const top = rows === null ? 0 : worldOf(level, rows, r * this.tile - 0.5);
        const bottom = rows === null ? 1 : worldOf(level, rows, r * this.tile + height - 0.5);
        const [x0, y0] = this.toScreen(top, worldOf(level, columns, c * this.tile - 0.5));
        const [x1, y1] = this.toScreen(bottom, worldOf(level, columns, c * this.tile + width - 0.5));
        const place = [Math.min(x0, x1), Math.min(y0, y1), Math.max(x0, x1), Math.max(y0, y1)];
        const url = `${prefix}/${r}.${c}`;
        const away = (place[0] + place[2] - this.canvas.width) ** 2 + (place[1] + place[3] - this.canvas.height) ** 2;
        found.push({
          key: url, url, dtype: this.source.tile_dtype, width, height, layers, isLabels, place, turned: [x0 > x1 ? 1 : 0, y0 > y1 ? 1 : 0],
          away, level: level.index, source: this.source.number, row: r, column: c,
        });
        if (found.length > MAX_TILES) return found;
      }
    }
    return found.sort((a, b) => a.away - b.away);
  }

  /** First and last tile of a level along an axis between two world coordinates; null where there is none. */
  span(level, axis, world) {
    const [low, high] = sorted(world.map((w) => indexOf(level, axis, w)));
    const last = level.shape[axis] - 1;
    if (high < -0.5 || low > last + 0.5) return null;
    const tile = (index) => Math.floor(Math.min(Math.max(Math.round(index), 0), last) / this.tile);
    return [tile(low), tile(high)];
  }

  /** What lies under a pixel: world coordinates, level, sample and its values as far as they are here. */
  under(x, y) {
    const world = this.toWorld(x, y);
    const level = this.source.levels[this.level];
    const { rows, columns } = this.plane;
    const column = Math.floor(indexOf(level, columns, world.columns) + 0.5);
    const row = rows === null ? 0 : Math.floor(indexOf(level, rows, world.rows) + 0.5);
    const inside = column >= 0 && column < level.shape[columns] && (rows === null || (row >= 0 && row < level.shape[rows]));
    if (!inside) return { world, level, inside: false };
    const index = this.source.axes.map((_, axis) => {
      if (axis === rows) return row;
      if (axis === columns) return column;
      return axis === this.plane.channel ? null : pickAt(this.source.levels[0], level, axis, this.picks[axis] ?? 0);
    });
    const found = this.visible.find((each) => each.level === level.index && each.row === Math.floor(row / this.tile) && each.column === Math.floor(column / this.tile));
    if (!found) return { world, level, inside: true, index, values: null };
    const at = (row - found.row * this.tile) * found.width + (column - found.column * this.tile);
    const values = [];
    for (let layer = 0; layer < found.layers; layer++) {
      values.push(found.high ? (BigInt(found.high[at]) << 32n) | BigInt(found.low[at]) : found.values[layer * found.width * found.height + at]);
    }
    return { world, level, inside: true, index, values, folded: found.values[at] };
  }

  /** Percentiles per channel of what is in view. */
  percentiles(low = 0.01, high = 0.999) {
    const found = [];
    const seen = this.visible.filter((each) => each.level === this.source.levels[this.level].index);
    for (let channel = 0; channel < this.look.channels.length; channel++) {
      const values = [];
      for (const each of seen) {
        const size = each.width * each.height;
        const stride = Math.max(1, Math.floor((size * seen.length) / 200000));
        for (let i = 0; i < size; i += stride) {
          const value = each.values[channel * size + i];
          if (Number.isFinite(value) && value !== this.look.nodata) values.push(value);
        }
      }
      if (!values.length) { found.push(null); continue; }
      values.sort((a, b) => a - b);
      const at = (q) => values[Math.min(values.length - 1, Math.floor(q * values.length))];
      found.push(at(high) > at(low) ? [at(low), at(high)] : [at(low), at(low) + 1]);
    }
    return found;
  }
}

const sorted = ([a, b]) => (a <= b ? [a, b] : [b, a]);

const quad = (each, tile) => ({ ...each, texture: tile.texture, values: tile.values, low: tile.low, high: tile.high });
