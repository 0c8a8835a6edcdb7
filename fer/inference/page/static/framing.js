// From a picture to the faces that the network sees, as in training: fer/faces/framing.py and box.py.

import { roll } from "./detector.js";
import { cutSquare, rounded, square, turn, warped, withChannels } from "./pixels.js";

const LONGEST_CROP = 4; // longer side / shorter side: what is longer is no face crop
const FILLED = 0.6; // of a square picture's side: with so large a face it is a face crop
const [EYES, EYE_DISTANCE, EYES_TO_MOUTH] = [[0.494, 0.381], 0.359, 0.363]; // as fractions of FER2013's crops

// Boxes, the largest first; null is the whole picture. `search`: whether a picture is searched that may be a face crop.
export async function findFaces(picture, framing, detector, search = false, smallest = undefined) {
  const { width, height } = picture;
  const largestCrop = width === height ? framing.whole_square : framing.whole_other;
  const [shorter, longer] = [Math.min(width, height), Math.max(width, height)];
  const crop = largestCrop === null || (shorter <= largestCrop && longer <= LONGEST_CROP * shorter);
  const whole = !search && crop;
  if (whole && !framing.align) return [null];
  const found = await detector.find(picture, framing.box_side, framing.box_centre, smallest);
  if (whole) return found.length ? [found[0]] : [null];
  const filled = width === height && found.length && found[0].side >= FILLED * width;
  return !search && framing.method === "whole" && !framing.align && filled ? [null] : found;
}

// One face, `size` pixels wide.
export function cutFace(picture, box, size, channels, align) {
  if (!box) return square(withChannels(picture, channels), size);
  const pixels = align && box.landmarks ? cutUpright(picture, box) : cutSquare(picture, box);
  return withChannels(square(pixels, size), channels);
}

// Turned and moved so that the eyes are level and where FER2013's crops have them.
function cutUpright(picture, box) {
  const [left, right, , ...mouth] = box.landmarks;
  const [eyes, lips] = [[left, right], mouth].map(([[x, y], [u, v]]) => [(x + u) / 2, (y + v) / 2]);
  const between = Math.hypot(left[0] - right[0], left[1] - right[1]) / EYE_DISTANCE;
  const side = Math.max(1, rounded(Math.max(between, Math.hypot(eyes[0] - lips[0], eyes[1] - lips[1]) / EYES_TO_MOUTH)));
  const map = turn(eyes, roll(box));
  map[2] += EYES[0] * side - eyes[0];
  map[5] += EYES[1] * side - eyes[1];
  return warped(picture, map, side, side);
}
