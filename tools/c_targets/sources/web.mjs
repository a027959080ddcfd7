// Do in node, with web.c's module, what hosted.c does: node web.mjs MODULE [instructions]
import { readFileSync, writeSync } from "node:fs";

let digest;
const signs = (at, height, width, channels, stride) => {
  for (const byte of new Uint8Array(memory.buffer, at, height * width * stride))
    digest = Math.imul(digest ^ byte, 16777619);
};
const { instance } = await WebAssembly.instantiate(readFileSync(process.argv[2]), { env: { signs } });
const { memory, run, image, outputs, output_count, instructions, _initialize } = instance.exports;
_initialize?.();

function text(at) {
  const bytes = new Uint8Array(memory.buffer, at);
  return new TextDecoder().decode(bytes.subarray(0, bytes.indexOf(0)));
}

function write(array) {
  const bytes = new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
  for (let done = 0; done < bytes.length; ) done += writeSync(1, bytes, done);
}

if (process.argv[3]) {
  console.log(text(instructions()));
} else {
  const images = readFileSync(0);
  const size = Number(process.env.IMAGE_BYTES);
  for (let start = 0; start < images.length; start += size) {
    new Uint8Array(memory.buffer, image(), size).set(images.subarray(start, start + size));
    digest = 2166136261 | 0;
    run();
    write(new Float32Array(memory.buffer, outputs(), output_count()));
    write(new Int32Array([digest]));
  }
}
