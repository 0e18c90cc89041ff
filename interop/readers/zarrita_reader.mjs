// zarrita.js: group, attributes and arrays from the file system, in Node. The runner copies this file beside its packages.
import { createHash } from "node:crypto";

import FileSystemStore from "@zarrita/storage/fs";
import * as zarr from "zarrita";

function datasets(attributes) {
  const multiscale = (attributes.ome ?? attributes).multiscales[0];
  return multiscale.datasets.map((dataset) => {
    const steps = dataset.coordinateTransformations ?? [];
    return {
      path: dataset.path,
      scale: steps.find((s) => s.scale)?.scale ?? null,
      translation: steps.find((s) => s.translation)?.translation ?? null,
    };
  });
}

async function read(path) {
  const root = zarr.root(new FileSystemStore(path));
  const group = await zarr.open(root, { kind: "group" });
  const levels = [];
  for (const { path: name, scale, translation } of datasets(group.attrs)) {
    const array = await zarr.open(group.resolve(name), { kind: "array" });
    const { data, shape } = await zarr.get(array);
    // the machine is little-endian, and get() answers in C order
    const bytes = Buffer.from(data.buffer, data.byteOffset, data.byteLength);
    levels.push({ shape, sha256: createHash("sha256").update(bytes).digest("hex"), scale, translation });
  }
  return levels;
}

for (const path of process.argv.slice(2)) {
  let answer;
  try {
    answer = { path, levels: await read(path) };
  } catch (error) {
    console.error(error);
    answer = { path, error: `${error.name}: ${error.message}`.slice(0, 1000) };
  }
  console.log(JSON.stringify(answer));
}
