// Where the page gets its answers: from a worker in this browser. Nothing is sent anywhere.

// A worker that a blob starts is under the page's Content-Security-Policy; one that an address starts would have none.
const start = new Blob([`import ${JSON.stringify(new URL("worker.js", import.meta.url).href)};`], { type: "text/javascript" });
const worker = new Worker(URL.createObjectURL(start), { type: "module" });
const waiting = new Map(); // questions by their number
let number = 0;
let about = null;

let tell = () => {};
const ready = new Promise((resolve, reject) => {
  worker.onerror = (event) => reject(new Error(`This browser cannot run the page (${event.message || "no worker"}).`));
  worker.onmessage = ({ data }) => {
    if (data.total) tell(`Loading the model: ${(data.loaded / 1e6).toFixed(0)} of ${(data.total / 1e6).toFixed(0)} megabytes`);
    else if (data.ready) resolve();
    else if (data.failed) reject(new Error(data.failed));
    else settle(data);
  };
});

// What the page says about the model, once it has loaded; `told` gets words on how far that is.
export async function introduction(told) {
  tell = told;
  about = await (await fetch(new URL("about.json", import.meta.url))).json();
  await ready;
  return about;
}

function settle({ id, answer, error }) {
  const { resolve, reject } = waiting.get(id);
  waiting.delete(id);
  if (error) return reject(new Error(error));
  answer.faces.forEach((face) => (face.certainty = certainty(face)));
  resolve(answer);
}

function certainty({ probabilities, novelty }) {
  if (novelty !== null && novelty >= 1) return about.unlike;
  const [[first, most], [second]] = Object.entries(probabilities).sort((one, other) => other[1] - one[1]);
  const [, words] = about.certainty.find(([lowest]) => most >= lowest);
  return words.replace("{first}", first).replace("{second}", second);
}

// The faces of a picture file, or of what `frameOf` gives.
export function ask(source, { frame = false } = {}) {
  return new Promise((resolve, reject) => {
    waiting.set(++number, { resolve, reject });
    worker.postMessage({ id: number, source, frame }, source instanceof ImageBitmap ? [source] : []);
  });
}

export const frameOf = (canvas) => createImageBitmap(canvas);

export const film = null; // videos are for the page that a program serves
