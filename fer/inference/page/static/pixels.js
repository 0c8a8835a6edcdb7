// Pictures as levels: cut, resized, turned, greyed. Each step is the one that the Python of training takes.
// A picture is { width, height, channels, levels }: one channel (grey) or three (red, green, blue), row by row.

const CUBIC = -0.75; // OpenCV's
const BITS = 2 ** 22; // whole-numbered weights, as in Pillow
const LANCZOS = 3; // pixels to either side

export const picture = (width, height, channels) =>
  ({ width, height, channels, levels: new Uint8ClampedArray(width * height * channels) });

// To the even neighbour where it is a tie, as Python rounds.
export function rounded(value) {
  const whole = Math.round(value);
  return whole - value === 0.5 && whole % 2 ? whole - 1 : whole;
}

const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

// From canvas data (RGBA): grey where the channels are equal, as Python reads grey files.
export function fromCanvas({ width, height, data }) {
  let grey = true;
  for (let at = 0; grey && at < data.length; at += 4) grey = data[at] === data[at + 1] && data[at] === data[at + 2];
  const found = picture(width, height, grey ? 1 : 3);
  for (let to = 0, from = 0; from < data.length; from += 4)
    for (let channel = 0; channel < found.channels; channel++) found.levels[to++] = data[from + channel];
  return found;
}

export function toCanvas({ width, height, channels, levels }) {
  const data = new Uint8ClampedArray(4 * width * height).fill(255);
  for (let pixel = 0; pixel < width * height; pixel++)
    for (let channel = 0; channel < 3; channel++)
      data[4 * pixel + channel] = levels[channels * pixel + (channels === 3 ? channel : 0)];
  return new ImageData(data, width, height);
}

// ITU-R 601-2, as Pillow has it.
export function withChannels(source, channels) {
  if (source.channels === channels) return source;
  const found = picture(source.width, source.height, channels);
  for (let pixel = 0; pixel < source.width * source.height; pixel++) {
    const [one, three] = [pixel, 3 * pixel];
    if (channels === 3) found.levels.fill(source.levels[one], three, three + 3);
    else {
      const sum = 19595 * source.levels[three] + 38470 * source.levels[three + 1] + 7471 * source.levels[three + 2];
      found.levels[one] = (sum + 32768) >> 16;
    }
  }
  return found;
}

// Pixels from (left, top) on; the border is repeated where they lie beyond it.
export function cut(source, left, top, width, height) {
  const found = picture(width, height, source.channels);
  const { channels, levels } = source;
  const inside = left >= 0 && left + width <= source.width;
  for (let y = 0, to = 0; y < height; y++) {
    const row = clamp(top + y, 0, source.height - 1) * source.width;
    if (inside) {
      found.levels.set(levels.subarray(channels * (row + left), channels * (row + left + width)), channels * width * y);
      continue;
    }
    for (let x = 0; x < width; x++) {
      const from = channels * (row + clamp(left + x, 0, source.width - 1));
      for (let channel = 0; channel < channels; channel++) found.levels[to++] = levels[from + channel];
    }
  }
  return found;
}

// A square around a face.
export function cutSquare(source, face) {
  const side = Math.max(1, rounded(face.side));
  return cut(source, rounded(face.left), rounded(face.top), side, side);
}

export function mirrored(source) {
  const found = picture(source.width, source.height, source.channels);
  const { width, channels } = source;
  for (let y = 0; y < source.height; y++)
    for (let x = 0; x < width; x++)
      for (let channel = 0; channel < channels; channel++)
        found.levels[channels * (y * width + x) + channel] = source.levels[channels * (y * width + width - 1 - x) + channel];
  return found;
}

// cv2.resize: means of areas where it shrinks (INTER_AREA), cubic where it enlarges (INTER_CUBIC).
export function resized(source, scale) {
  const width = Math.max(1, rounded(source.width * scale));
  const height = Math.max(1, rounded(source.height * scale));
  if (width === source.width && height === source.height) return source;
  const weights = scale < 1 ? areaWeights : cubicWeights;
  return filtered(source, weights(source.width, width), weights(source.height, height), 1);
}

// The central square, resized by Pillow's antialiased Lanczos filter, each pass rounded to whole levels.
export function square(source, size) {
  if (source.width === size && source.height === size) return source;
  const side = Math.min(source.width, source.height);
  const [across, down] = [source.width, source.height].map((length) => lanczosWeights(length, (length - side) / 2, side, size));
  const narrow = filtered(source, across, null, BITS);
  return filtered(narrow, null, down, BITS);
}

// Sums of columns, then of rows. For each output pixel the weights are { first, values }; null leaves a side as it is.
function filtered(source, across, down, unit) {
  const { channels, levels } = source;
  const found = picture(across ? across.length : source.width, down ? down.length : source.height, channels);
  const line = found.width * channels;
  const rows = new Map(); // input rows after the first pass, as long as they are needed
  const row = (y) => {
    if (rows.has(y)) return rows.get(y);
    const start = y * source.width * channels;
    if (!across) return levels.subarray(start, start + line);
    const sums = new Float64Array(line);
    across.forEach(({ first, values }, x) => {
      for (let channel = 0; channel < channels; channel++) {
        let sum = 0;
        for (let k = 0, at = start + first * channels + channel; k < values.length; k++, at += channels)
          sum += values[k] * levels[at];
        sums[x * channels + channel] = sum;
      }
    });
    rows.set(y, sums);
    return sums;
  };
  for (let y = 0; y < found.height; y++) {
    const { first, values } = down ? down[y] : { first: y, values: [1] };
    for (const kept of rows.keys()) if (kept < first) rows.delete(kept);
    const sums = new Float64Array(line);
    for (let k = 0; k < values.length; k++) {
      const from = row(first + k);
      for (let at = 0; at < line; at++) sums[at] += values[k] * from[at];
    }
    for (let at = 0; at < line; at++) found.levels[y * line + at] = unit === 1 ? sums[at] : Math.floor((sums[at] + unit / 2) / unit);
  }
  return found;
}

function areaWeights(length, size) {
  const scale = length / size;
  return Array.from({ length: size }, (_, index) => {
    const start = index * scale;
    const end = Math.min(start + scale, length);
    const first = Math.floor(start + 1e-3);
    const last = Math.min(Math.max(Math.ceil(end - 1e-3), first + 1), length);
    const values = Array.from({ length: last - first }, (_, k) => Math.min(end, first + k + 1) - Math.max(start, first + k));
    return normalised(first, values);
  });
}

function cubicWeights(length, size) {
  const scale = length / size;
  return Array.from({ length: size }, (_, index) => {
    const at = (index + 0.5) * scale - 0.5;
    const whole = Math.floor(at);
    const first = clamp(whole - 1, 0, length - 1);
    const values = new Array(clamp(whole + 2, 0, length - 1) - first + 1).fill(0);
    for (let k = whole - 1; k <= whole + 2; k++) values[clamp(k, 0, length - 1) - first] += cubic(Math.abs(at - k));
    return { first, values };
  });
}

const cubic = (x) =>
  x <= 1 ? ((CUBIC + 2) * x - (CUBIC + 3)) * x * x + 1 : x < 2 ? CUBIC * (((x - 5) * x + 8) * x - 4) : 0;

function lanczosWeights(length, start, side, size) {
  const scale = side / size;
  const stretch = Math.max(scale, 1);
  return Array.from({ length: size }, (_, index) => {
    const centre = start + (index + 0.5) * scale;
    const first = Math.max(Math.trunc(centre - LANCZOS * stretch + 0.5), 0);
    const last = Math.min(Math.trunc(centre + LANCZOS * stretch + 0.5), length);
    const values = Array.from({ length: last - first }, (_, k) => lanczos((first + k - centre + 0.5) / stretch));
    const found = normalised(first, values);
    return { first, values: found.values.map((value) => Math.trunc(value * BITS + Math.sign(value) / 2)) };
  });
}

const sinc = (x) => (x === 0 ? 1 : Math.sin(Math.PI * x) / (Math.PI * x));
const lanczos = (x) => (Math.abs(x) <= LANCZOS ? sinc(x) * sinc(x / LANCZOS) : 0);

function normalised(first, values) {
  const sum = values.reduce((total, value) => total + value, 0);
  return { first, values: values.map((value) => value / sum) };
}

// cv2.getRotationMatrix2D and cv2.invertAffineTransform: maps are [a, b, c, d, e, f], (x, y) -> (ax + by + c, dx + ey + f).
export function turn([x, y], degrees) {
  const [cosine, sine] = [Math.cos((degrees * Math.PI) / 180), Math.sin((degrees * Math.PI) / 180)];
  return [cosine, sine, (1 - cosine) * x - sine * y, -sine, cosine, sine * x + (1 - cosine) * y];
}

export function inverse([a, b, c, d, e, f]) {
  const determinant = a * e - b * d;
  const [p, q, r, s] = [e / determinant, -b / determinant, -d / determinant, a / determinant];
  return [p, q, -p * c - q * f, r, s, -r * c - s * f];
}

// cv2.warpAffine, bilinear at 32nds of a pixel, the border repeated.
export function warped(source, map, width, height) {
  const found = picture(width, height, source.channels);
  const [a, b, c, d, e, f] = inverse(map);
  const { channels, levels } = source;
  const [right, bottom] = [source.width - 1, source.height - 1];
  for (let y = 0, to = 0; y < height; y++)
    for (let x = 0; x < width; x++) {
      const [u, v] = [a * x + b * y + c, d * x + e * y + f].map((at) => Math.round(32 * at) / 32);
      const [left, top] = [Math.floor(u), Math.floor(v)];
      const [across, down] = [u - left, v - top];
      const [x0, x1] = [clamp(left, 0, right), clamp(left + 1, 0, right)];
      const [y0, y1] = [clamp(top, 0, bottom) * source.width, clamp(top + 1, 0, bottom) * source.width];
      for (let channel = 0; channel < channels; channel++) {
        const level = (column, row) => levels[channels * (row + column) + channel];
        const above = level(x0, y0) * (1 - across) + level(x1, y0) * across;
        const below = level(x0, y1) * (1 - across) + level(x1, y1) * across;
        found.levels[to++] = above * (1 - down) + below * down;
      }
    }
  return found;
}
