// node page.mjs score.onnx events.csv > scores.csv: what the page gives for these files, in a headless Chromium.
//
// For tests. Serves this folder to the browser; CHROMIUM names the browser if it is not `chromium`.

import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { extname, join, normalize } from "node:path";
import { chromium } from "playwright-core";

const KINDS = { ".html": "text/html", ".mjs": "text/javascript", ".wasm": "application/wasm" };

const server = createServer(async (request, response) => {
  const path = normalize(new URL(request.url, "http://localhost").pathname);
  try {
    const content = await readFile(join(import.meta.dirname, path));
    response.writeHead(200, { "Content-Type": KINDS[extname(path)] ?? "application/octet-stream" }).end(content);
  } catch {
    response.writeHead(404).end();
  }
}).listen(0, "127.0.0.1");
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: process.getuid?.() === 0 ? ["--no-sandbox"] : [], // which Chromium refuses to root
});
try {
  const page = await browser.newPage();
  await page.goto(`http://127.0.0.1:${server.address().port}/index.html`);
  const [model, events] = process.argv.slice(2);
  await page.setInputFiles("#model", model);
  await page.waitForFunction(() => /columns|wrong/.test(state.textContent + state.className)); // it says what it wants
  await page.setInputFiles("#events", events);
  await page.waitForFunction(() => /events\.|wrong/.test(state.textContent + state.className));
  if (await page.locator("#state.wrong").count()) throw new Error(await page.textContent("#state"));
  const saved = page.waitForEvent("download");
  await page.click("#save");
  process.stdout.write(await readFile(await (await saved).path()));
} catch (error) {
  console.error(`error: ${error.message}`);
  process.exitCode = 2;
} finally {
  await browser.close();
  server.close();
}
