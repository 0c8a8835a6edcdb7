// Finds the faces of a picture: fer/faces/detector.py and yunet/__init__.py, step by step. Its docstrings say why.

import { cut, cutSquare, inverse, mirrored, resized, rounded, turn, warped, withChannels } from "./pixels.js";

const MIN_HIT = 0.1; // score of YuNet
const MAX_OVERLAP = 0.3;
const MAX_HITS = 5000;
const SMALLEST = 24; // pixels of the side of a face that is searched
const CLEAR = 44; // to which the smallest faces are enlarged
const MAX_SEARCHED = 22e6; // pixels of the largest size at which a picture is searched
const STEP = 4;
const OVERVIEW = 320;
const [TILE, SHARED] = [1600, 128];
const LOOK = 256; // side of what a second look sees
const [NEAR, NEARER, FAR] = [144, 190, [100, 72]]; // sides of the candidate within it
const WORTH_ANOTHER_LOOK = 0.5;
const [MIN_SCORE, MIN_SCORE_FAR] = [0.78, 0.35];
const MAX_CANDIDATES = 400;
const SURROUNDINGS = 0.3;
const TURNS = [-35, 35]; // degrees
const UPRIGHT = 8;
const SAME_PLACE = 0.35;

export class Detector {
  // yunet: a session of onnxruntime; Tensor: its class.
  constructor(yunet, Tensor) {
    Object.assign(this, { yunet, Tensor });
  }

  // Squares { left, top, side, score, landmarks }, the largest first. Box: side and centre of YuNet's box within them.
  async find(picture, boxSide, boxCentre, smallest = SMALLEST) {
    const colours = withChannels(picture, 3);
    let found = await this.confirmed(colours, await this.candidates(colours, smallest));
    if (!found.length) found = await this.confirmed(colours, await this.furtherCandidates(colours));
    const squares = found.map((face) => {
      const [side, [x, y]] = [face.side / boxSide, centre(face)];
      return { ...face, left: x - boxCentre[0] * side, top: y - boxCentre[1] * side, side };
    });
    return squares.sort((one, other) => other.side - one.side || one.left - other.left || one.top - other.top);
  }

  async candidates(picture, smallest) {
    const { width, height } = picture;
    let scale = Math.min(CLEAR / smallest, Math.sqrt(MAX_SEARCHED / (height * width)));
    scale = Math.max(scale, OVERVIEW / Math.max(height, width));
    const found = [];
    for (;;) {
      const pixels = resized(picture, scale);
      for (const [top, bottom] of extents(pixels.height))
        for (const [left, right] of extents(pixels.width)) {
          const boxes = await this.boxes(cut(pixels, left, top, right - left, bottom - top));
          found.push(...boxes.map((box) => moved(box, left, top, scale)));
        }
      if (Math.max(pixels.width, pixels.height) <= 1.25 * OVERVIEW) return found;
      scale /= STEP;
    }
  }

  async furtherCandidates(picture) {
    const scale = (1.5 * OVERVIEW) / Math.max(picture.width, picture.height);
    const pixels = resized(picture, scale);
    const border = rounded(SURROUNDINGS * Math.max(pixels.width, pixels.height));
    const [width, height] = [pixels.width + 2 * border, pixels.height + 2 * border];
    const surrounded = cut(pixels, -border, -border, width, height);
    const found = (await this.boxes(surrounded)).map((box) => moved(box, -border, -border, scale));
    for (const degrees of TURNS) {
      const map = turn([width / 2, height / 2], degrees);
      const boxes = await this.boxes(warped(surrounded, map, width, height));
      found.push(...boxes.map((box) => moved(mapped(box, inverse(map)), -border, -border, scale)));
    }
    return found;
  }

  async confirmed(picture, candidates) {
    const faces = [];
    for (const candidate of candidates.sort((one, other) => other.score - one.score).slice(0, MAX_CANDIDATES)) {
      if (faces.some((face) => same(candidate, face))) continue;
      const face = await this.secondLook(picture, candidate);
      if (face && !faces.some((other) => same(face, other))) faces.push(face);
    }
    return faces;
  }

  async secondLook(picture, candidate) {
    let face = await this.look(picture, candidate, NEAR);
    if (!face || face.score < WORTH_ANOTHER_LOOK) return null;
    if (Math.abs(roll(face) - roll(candidate)) > UPRIGHT) face = (await this.look(picture, face, NEAR)) || face;
    const nearer = await this.look(picture, face, NEARER, true);
    const score = (face.score + (nearer ? nearer.score : 0)) / 2;
    if (score < MIN_SCORE) return null;
    for (const side of FAR)
      for (const mirror of [false, true]) {
        const far = await this.look(picture, face, side, mirror);
        if (far && far.score >= MIN_SCORE_FAR) return { ...face, score };
      }
    return null;
  }

  // What is seen at a place, cut out, turned upright, and resized so that the face is `side` pixels wide.
  async look(picture, face, side, mirror = false) {
    const [[x, y], reach] = [centre(face), (face.side * LOOK) / side];
    if (!(x >= 0 && x < picture.width && y >= 0 && y < picture.height)) return null;
    const place = { left: x - reach / 2, top: y - reach / 2, side: reach };
    let pixels = cutSquare(picture, place);
    const scale = LOOK / pixels.height;
    pixels = resized(pixels, scale);
    const degrees = Math.abs(roll(face)) > UPRIGHT ? roll(face) : 0;
    const map = turn([LOOK / 2, LOOK / 2], degrees);
    if (degrees) pixels = warped(pixels, map, LOOK, LOOK);
    const here = { left: (LOOK - side) / 2, top: (LOOK - side) / 2, side };
    const seen = (await this.boxes(mirror ? mirrored(pixels) : pixels)).filter((box) => same(box, here));
    if (!seen.length) return null;
    const best = seen.reduce((one, other) => (other.score > one.score ? other : one));
    if (mirror) return { ...face, score: best.score };
    return moved(mapped(best, inverse(map)), rounded(place.left) * scale, rounded(place.top) * scale, scale);
  }

  // What looks like a face to YuNet, as squares of the mean of its width and height.
  async boxes(picture) {
    return (await this.hits(picture)).map(({ left, top, width, height, score, landmarks }) => {
      const side = (width + height) / 2;
      return { left: left + (width - side) / 2, top: top + (height - side) / 2, side, score, landmarks };
    });
  }

  // As cv2.FaceDetectorYN reads the network's outputs.
  async hits({ width, height, levels }) {
    const [across, down] = [width, height].map((length) => 32 * Math.ceil(length / 32));
    const values = new Float32Array(3 * across * down); // blue, green, red
    for (let y = 0, from = 0; y < height; y++)
      for (let x = 0; x < width; x++) for (let plane = 2; plane >= 0; plane--) values[(plane * down + y) * across + x] = levels[from++];
    const outputs = await this.yunet.run({ input: new this.Tensor("float32", values, [1, 3, down, across]) });
    const found = [];
    for (const stride of [8, 16, 32]) {
      const [faces, objects, boxes, points] = ["cls", "obj", "bbox", "kps"].map((name) => outputs[`${name}_${stride}`].data);
      for (let cell = 0; cell < faces.length; cell++) {
        const score = Math.sqrt(unit(faces[cell]) * unit(objects[cell]));
        if (score < MIN_HIT) continue;
        const [column, row] = [cell % (across / stride), Math.floor(cell / (across / stride))];
        const [x, y, w, h] = boxes.subarray(4 * cell, 4 * cell + 4);
        const [boxWidth, boxHeight] = [Math.exp(w) * stride, Math.exp(h) * stride];
        found.push({
          left: (column + x) * stride - boxWidth / 2,
          top: (row + y) * stride - boxHeight / 2,
          width: boxWidth,
          height: boxHeight,
          score,
          landmarks: [0, 2, 4, 6, 8].map((at) => [(points[10 * cell + at] + column) * stride, (points[10 * cell + at + 1] + row) * stride]),
        });
      }
    }
    return suppressed(found);
  }
}

const unit = (value) => Math.min(Math.max(value, 0), 1);

// Of hits that overlap, the one with the highest score; sides in whole pixels, as cv2.dnn.NMSBoxes takes them.
function suppressed(hits) {
  const kept = [];
  for (const hit of hits.sort((one, other) => other.score - one.score).slice(0, MAX_HITS)) {
    const [left, top, width, height] = [hit.left, hit.top, hit.width, hit.height].map(Math.trunc);
    const box = { left, top, width, height };
    if (kept.every((other) => shared(box, other.box) <= MAX_OVERLAP)) kept.push({ ...hit, box });
  }
  return kept;
}

// Intersection over union.
function shared(one, other) {
  const across = Math.min(one.left + one.width, other.left + other.width) - Math.max(one.left, other.left);
  const down = Math.min(one.top + one.height, other.top + other.height) - Math.max(one.top, other.top);
  const both = Math.max(across, 0) * Math.max(down, 0);
  return both / (one.width * one.height + other.width * other.height - both);
}

const sided = ({ left, top, side }) => ({ left, top, width: side, height: side });
const centre = ({ left, top, side }) => [left + side / 2, top + side / 2];

// Degrees of the line through the eyes, clockwise.
export function roll({ landmarks }) {
  if (!landmarks) return 0;
  const [[leftX, leftY], [rightX, rightY]] = landmarks;
  return (Math.atan2(rightY - leftY, rightX - leftX) * 180) / Math.PI;
}

function same(one, other) {
  const side = Math.max(one.side, other.side);
  const [[x, y], [u, v]] = [centre(one), centre(other)];
  const near = Math.hypot(x - u, y - v) < SAME_PLACE * side && Math.min(one.side, other.side) > side / 2;
  return near || shared(sided(one), sided(other)) > MAX_OVERLAP;
}

// Starts and ends of the fewest parts of up to TILE pixels that cover a length and share SHARED pixels.
function extents(length) {
  const count = Math.max(1, Math.ceil((length - SHARED) / (TILE - SHARED)));
  const step = (length - SHARED) / count;
  return Array.from({ length: count }, (_, k) => [rounded(k * step), Math.min(length, rounded((k + 1) * step) + SHARED)]);
}

const moved = (box, left, top, scale) => mapped(box, [1 / scale, 0, left / scale, 0, 1 / scale, top / scale]);

function mapped(box, [a, b, c, d, e, f]) {
  const side = box.side * Math.hypot(a, d);
  const [[x, y], ...landmarks] = [centre(box), ...(box.landmarks || [])].map(([u, v]) => [a * u + b * v + c, d * u + e * v + f]);
  return { left: x - side / 2, top: y - side / 2, side, score: box.score, landmarks };
}
