// Tiles: which are needed, fetched a few at a time (the latest wishes first), kept as textures while there is room.

const N_AT_ONCE = 8;
const MAX_BYTES = 384 * 2 ** 20;

export class Tiles {
  constructor(renderer, changed) {
    this.renderer = renderer;
    this.changed = changed;
    this.kept = new Map(); // key -> tile; the order is that of use
    this.wanted = new Map(); // key -> what to fetch, of the present view
    this.running = new Map(); // key -> AbortController
    this.bytes = 0;
    this.failed = new Map(); // key -> sentence
    this.fetched = 0;
  }

  get pending() { return this.wanted.size + this.running.size; }

  get(key) {
    const tile = this.kept.get(key);
    if (tile) { this.kept.delete(key); this.kept.set(key, tile); }
    return tile;
  }

  /** Sets what the present view needs; requests of earlier views are given up. */
  want(list) {
    const keys = new Set(list.map((each) => each.key));
    for (const [key, controller] of this.running) if (!keys.has(key)) { controller.abort(); this.running.delete(key); }
    this.wanted = new Map(list.filter(({ key }) => !this.kept.has(key) && !this.running.has(key) && !this.failed.has(key)).map((each) => [each.key, each]));
    this.pump();
  }

  pump() {
    for (const [key, each] of this.wanted) {
      if (this.running.size >= N_AT_ONCE) break;
      this.wanted.delete(key);
      this.load(each);
    }
  }

  async load(each) {
    const controller = new AbortController();
    this.running.set(each.key, controller);
    try {
      const response = await fetch(each.url, { signal: controller.signal });
      if (!response.ok) throw new Error((await response.json().catch(() => ({}))).error ?? `${response.status} ${response.statusText}`);
      const samples = decode(await response.arrayBuffer(), each.dtype);
      this.fetched += 1;
      this.keep(each.key, { ...each, ...samples, texture: this.renderer.upload(samples.values, each.width, each.height, each.layers, each.isLabels) });
    } catch (error) {
      if (error.name !== "AbortError") this.failed.set(each.key, error.message);
    } finally {
      if (this.running.get(each.key) === controller) this.running.delete(each.key);
      this.pump();
      this.changed();
    }
  }

  keep(key, tile) {
    this.kept.set(key, tile);
    this.bytes += tile.values.byteLength;
    for (const [oldest, old] of this.kept) {
      if (this.bytes <= MAX_BYTES || oldest === key) break;
      this.kept.delete(oldest);
      this.bytes -= old.values.byteLength;
      this.renderer.drop(old.texture);
    }
  }

  clear() {
    for (const controller of this.running.values()) controller.abort();
    for (const tile of this.kept.values()) this.renderer.drop(tile.texture);
    this.kept.clear(); this.wanted.clear(); this.running.clear(); this.failed.clear();
    this.bytes = 0;
  }
}

/** Samples as the renderer takes them: float32, or uint32 of labels; those of 64 bits folded as ziggurat.display.colours does, with their words beside them. */
export function decode(buffer, dtype) {
  switch (dtype) {
    case "u1": return { values: Float32Array.from(new Uint8Array(buffer)) };
    case "i1": return { values: Float32Array.from(new Int8Array(buffer)) };
    case "u2": return { values: Float32Array.from(new Uint16Array(buffer)) };
    case "i2": return { values: Float32Array.from(new Int16Array(buffer)) };
    case "f4": return { values: new Float32Array(buffer) };
    case "u4": return { values: new Uint32Array(buffer) };
    case "u8": {
      const words = new Uint32Array(buffer);
      const [values, low, high] = [0, 0, 0].map(() => new Uint32Array(words.length / 2));
      for (let i = 0; i < values.length; i++) {
        [low[i], high[i]] = [words[2 * i], words[2 * i + 1]];
        values[i] = (low[i] + Math.imul(high[i], 2246822507)) >>> 0 || (low[i] || high[i] ? 1 : 0);
      }
      return { values, low, high };
    }
    default: throw new Error(`tiles of dtype ${dtype} are not known to this page`);
  }
}
