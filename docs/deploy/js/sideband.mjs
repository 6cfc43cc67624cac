// Run an exported file on a table of events, in Node and in browsers alike.

const ROWS = 1000; // events a call

/** The table that an exported file gives for a table of events; both are texts with a line of names. */
export async function score(ort, bytes, csv) {
  const [inputs, outputs] = ports(bytes);
  const { places, rows } = table(csv);
  const wanted = inputs.map(([name, port]) => [name, numbers(port).map((column) => place(places, name, column))]);
  const session = await ort.InferenceSession.create(bytes);
  const lines = [outputs.flatMap(([, port]) => numbers(port)).join(",")];
  for (let from = 0; from < rows.length; from += ROWS) {
    const part = rows.slice(from, from + ROWS);
    const feeds = {};
    for (const [name, columns] of wanted) {
      const values = Float32Array.from(part.flatMap((row) => columns.map((column) => row[column])));
      feeds[name] = new ort.Tensor("float32", values, [part.length, columns.length]);
    }
    const found = await session.run(feeds);
    const given = outputs.map(([name, port]) => [found[name].data, numbers(port).length]);
    for (let row = 0; row < part.length; row++) {
      const cells = given.flatMap(([data, width]) => [...data.slice(row * width, (row + 1) * width)]);
      lines.push(cells.map((value) => Number(value.toPrecision(9))).join(",")); // nine digits keep a float32 as it is
    }
  }
  return lines.join("\n") + "\n";
}

/** The columns of events that an exported file wants, each with its unit. */
export function columns(bytes) {
  const [inputs] = ports(bytes);
  return inputs.flatMap(([, port]) => port.columns.map((name, index) => port.units[index] ? `${name} [${port.units[index]}]` : name));
}

/** Names and descriptions of the inputs of an exported file, and of its outputs. */
function ports(bytes) {
  const told = metadata(bytes);
  if (!told.inputs || !told.outputs) throw new Error("not a file of Sideband");
  return [told.inputs, told.outputs].map((text) => Object.entries(JSON.parse(text)));
}

/** What an exported file says of itself: `metadata_props`, the field 14 of ONNX's ModelProto, as texts by name. */
export function metadata(bytes) {
  const told = {};
  for (const [number, content] of fields(bytes)) {
    if (number !== 14) continue;
    const entry = Object.fromEntries(fields(content));
    told[new TextDecoder().decode(entry[1])] = new TextDecoder().decode(entry[2]);
  }
  return told;
}

/** The fields of a protobuf message that have a length, each a number and its bytes. */
function* fields(bytes) {
  let at = 0;
  const varint = () => {
    for (let value = 0, scale = 1; ; scale *= 128) {
      const byte = bytes[at++];
      value += (byte & 127) * scale;
      if (!(byte & 128)) return value; // also behind the end, where a byte is undefined
    }
  };
  while (at < bytes.length) {
    const tag = varint();
    const kind = tag % 8;
    if (kind === 2) {
      const length = varint();
      yield [Math.floor(tag / 8), bytes.subarray(at, at + length)];
      at += length;
    } else if (kind === 0) varint();
    else at += kind === 1 ? 8 : 4;
  }
}

/** A name for each number of an input or output: `noise_0`, `noise_1` and so on for a column of several. */
function numbers(port) {
  return port.columns.flatMap((column, index) => {
    const width = port.widths[index];
    return width === 1 ? [column] : Array.from({ length: width }, (_, number) => `${column}_${number}`);
  });
}

function place(places, input, column) {
  const found = places.get(`${input}.${column}`) ?? places.get(column);
  if (found === undefined) throw new Error(`no column '${column}' for the input '${input}'`);
  return found;
}

function table(csv) {
  const [names, ...lines] = csv.trim().split(/\r?\n/).map((line) => line.split(","));
  const rows = lines.map((line) => line.map((cell) => (cell.trim() ? Number(cell) : NaN)));
  if (!rows.length) throw new Error("no events");
  if (rows.some((row) => row.length !== names.length || row.some(Number.isNaN))) {
    throw new Error("a line of the table is too short or too long, or not all numbers");
  }
  return { places: new Map(names.map((name, index) => [name.trim(), index])), rows };
}
