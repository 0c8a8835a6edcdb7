// Answers about pictures, beside the page so that it stays quick: decodes, finds faces, runs the network.

import { Detector } from "./detector.js";
import { cutFace, findFaces } from "./framing.js";
import * as ort from "./ort/ort.js";
import { fromCanvas, toCanvas } from "./pixels.js";

const MAX_PIXELS = 90e6;
const MAX_FACES = 32; // in the answer about one picture: the largest
const address = (name) => new URL(name, import.meta.url).href;

ort.env.wasm.numThreads = 1; // more need headers that few web hosts send
ort.env.wasm.wasmPaths = { mjs: address("ort/ort-wasm.js"), wasm: address("ort/ort-wasm.wasm") };

async function load() {
  const facts = await (await fetched("bundle.json")).json();
  const yunet = new Uint8Array(await (await fetched("yunet.onnx")).arrayBuffer());
  const model = await downloaded("model.onnx", facts.bytes);
  const [network, detector] = [await session(model), new Detector(await session(yunet), ort.Tensor)];
  return { facts, network, detector };
}

const session = (content) => ort.InferenceSession.create(content, { executionProviders: ["wasm"], logSeverityLevel: 3 });

async function fetched(name) {
  const response = await fetch(address(name));
  if (!response.ok) throw new Error(`The web host does not have ${name} (${response.status}).`);
  return response;
}

// A large file, part by part, so that the page can say how far it is.
async function downloaded(name, bytes) {
  const [content, reader] = [new Uint8Array(bytes), (await fetched(name)).body.getReader()];
  let at = 0;
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    if (at + part.value.length > bytes) break;
    content.set(part.value, at);
    at += part.value.length;
    postMessage({ loaded: at, total: bytes });
  }
  if (at !== bytes) throw new Error(`${name} did not arrive whole: load the page again.`);
  return content;
}

async function decoded(source) {
  let bitmap = source;
  if (source instanceof Blob) {
    const options = { imageOrientation: "from-image", colorSpaceConversion: "none" }; // upright as EXIF says
    bitmap = await createImageBitmap(source, options).catch(() => {
      throw new Error("This picture cannot be read by this browser: it takes JPEG, PNG, WebP, GIF and BMP.");
    });
  }
  const { width, height } = bitmap;
  if (width * height > MAX_PIXELS) throw new Error(`This picture has more than ${MAX_PIXELS / 1e6} million pixels.`);
  const pen = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
  pen.fillStyle = "#fff"; // behind what is transparent
  pen.fillRect(0, 0, width, height);
  pen.drawImage(bitmap, 0, 0);
  bitmap.close();
  return fromCanvas(pen.getImageData(0, 0, width, height));
}

// `frame`: it is of a camera or video, so no face crop, and searched for faces of at least a 24th of its longer side.
async function answer({ facts, network, detector }, { source, frame }) {
  const picture = await decoded(source);
  const smallest = frame ? Math.max(24, Math.max(picture.width, picture.height) / 24) : undefined;
  const boxes = await findFaces(picture, facts.framing, detector, frame, smallest);
  const { image_size: size, channels, classes, framing } = facts;
  const cuts = boxes.slice(0, MAX_FACES).map((box) => cutFace(picture, box, size, channels, framing.align));
  const rows = cuts.length ? await probabilities(network, cuts, size, channels) : [];
  const faces = rows.map(({ values, novelty }, index) => {
    const best = values.indexOf(Math.max(...values));
    return {
      seen: encoded(cuts[index]),
      emotion: classes[best],
      probability: values[best],
      probabilities: Object.fromEntries(classes.map((name, k) => [name, values[k]])),
      novelty,
      box: boxes[index] && { left: boxes[index].left, top: boxes[index].top, side: boxes[index].side },
      face_score: boxes[index] && boxes[index].score,
    };
  });
  return { width: picture.width, height: picture.height, found: boxes.length, faces: await Promise.all(faces.map(whole)) };
}

// Of faces from 0 to 1, one plane for each channel; normalisation, temperature and softmax are in the network.
async function probabilities(network, cuts, size, channels) {
  const [plane, levels] = [size * size, new Float32Array(cuts.length * channels * size * size)];
  cuts.forEach((face, index) => {
    for (let at = 0; at < plane * channels; at++)
      levels[(index * channels + (at % channels)) * plane + Math.floor(at / channels)] = face.levels[at] / 255;
  });
  const images = new ort.Tensor("float32", levels, [cuts.length, channels, size, size]);
  const found = await network.run({ images });
  const { dims, data } = found.probabilities;
  return cuts.map((_, index) => ({
    values: Array.from(data.subarray(index * dims[1], (index + 1) * dims[1])),
    novelty: found.novelty ? found.novelty.data[index] : null,
  }));
}

const whole = async (face) => ({ ...face, seen: await face.seen });

async function encoded(picture) {
  const canvas = new OffscreenCanvas(picture.width, picture.height);
  canvas.getContext("2d").putImageData(toCanvas(picture), 0, 0);
  return new FileReaderSync().readAsDataURL(await canvas.convertToBlob({ type: "image/png" }));
}

const loading = load();
loading.then(
  () => postMessage({ ready: true }),
  (error) => postMessage({ failed: error.message }),
);
let turn = loading; // one picture after the other
onmessage = ({ data }) => {
  turn = turn
    .catch(() => {})
    .then(async () => postMessage({ id: data.id, answer: await answer(await loading, data) }))
    .catch((error) => postMessage({ id: data.id, error: error.message }));
};
