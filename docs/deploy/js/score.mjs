// node score.mjs score.onnx events.csv > scores.csv

import { readFile } from "node:fs/promises";
import * as ort from "onnxruntime-node";
import { score } from "./sideband.mjs";

try {
  const [model, events] = process.argv.slice(2);
  if (!events) throw new Error("usage: node score.mjs MODEL.onnx EVENTS.csv");
  process.stdout.write(await score(ort, await readFile(model), await readFile(events, "utf8")));
} catch (error) {
  console.error(`error: ${error.message}`);
  process.exitCode = 2;
}
