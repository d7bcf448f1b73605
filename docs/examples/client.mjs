// A client of the engine, for Node 18 or newer: node client.mjs SOCKET MODEL PROMPT. What is said is in docs/wire.md.
import net from "node:net";

const head = (tag, n) => Buffer.from([tag, n >>> 24, (n >>> 16) & 255, (n >>> 8) & 255, n & 255]);

function pack(value) {
  if (typeof value === "number") return head(0xce, value);
  if (typeof value === "string") return Buffer.concat([head(0xdb, Buffer.byteLength(value)), Buffer.from(value)]);
  const parts = Object.entries(value).flat();
  return Buffer.concat([head(0xdf, parts.length / 2), ...parts.map(pack)]);
}

/** The value of msgpack at `cursor.at`, which is moved behind it. */
function unpack(bytes, cursor) {
  const number = (method, width) => Number(bytes[method]((cursor.at += width) - width, width));
  const next = () => unpack(bytes, cursor);
  const array = (length) => Array.from({ length }, next);
  const map = (length) => Object.fromEntries(Array.from({ length }, () => [next(), next()]));
  const text = (length) => bytes.toString("utf8", cursor.at, (cursor.at += length));
  const tag = number("readUInt8", 1);
  if (tag < 0x80 || tag >= 0xe0) return tag < 0x80 ? tag : tag - 0x100;
  if (tag < 0xc0) return tag < 0x90 ? map(tag & 15) : tag < 0xa0 ? array(tag & 15) : text(tag & 31);
  if (tag < 0xc4) return [null, undefined, false, true][tag - 0xc0];
  if (tag < 0xcc) return tag === 0xca ? number("readFloatBE", 4) : number("readDoubleBE", 8);
  if (tag === 0xcf || tag === 0xd3) return number(tag === 0xcf ? "readBigUInt64BE" : "readBigInt64BE", 8);
  if (tag < 0xd3) return number(tag < 0xcf ? "readUIntBE" : "readIntBE", 1 << (tag & 3));
  if (tag < 0xdc) return text(number("readUIntBE", 1 << (tag - 0xd9)));
  return (tag < 0xde ? array : map)(number("readUIntBE", tag & 1 ? 4 : 2));
}

const [path, model, prompt] = process.argv.slice(2);
const socket = net.connect(path);
const send = (message) => socket.write(Buffer.concat([head(0, pack(message).length).subarray(1), pack(message)]));
send({ type: "Hello", protocol_version: 1 });
send({ type: "Run", request_id: 1, request: { model, prompt } });
let received = Buffer.alloc(0);
for await (const data of socket) {
  received = Buffer.concat([received, data]);
  while (received.length >= 4 && received.length >= 4 + received.readUInt32BE()) {
    const message = unpack(received.subarray(4, 4 + received.readUInt32BE()), { at: 0 });
    received = received.subarray(4 + received.readUInt32BE());
    if (message.type === "Tokens") process.stdout.write(message.text);
    if (message.type === "Failed") throw new Error(`${message.code}: ${message.message}`);
    if (message.type === "Finished") socket.end(() => console.log());
  }
}
