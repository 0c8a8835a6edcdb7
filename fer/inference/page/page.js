// Pictures that are chosen, dropped or pasted, and the camera: each is asked about, and its answer shown.

import { ask, film, frameOf, introduction } from "./answers.js";
import { asCsv, asJson, save } from "./table.js";
import { get, introduce, percent, show } from "./view.js";

const FRAME = 640; // longer side of camera frames, pixels
const THUMBNAIL = 96;

let about = null;
let camera = null; // the stream, while it runs
let question = 0; // the newest batch of pictures, or start of the camera
let forgotten = 0; // answers to questions before this one are dropped
let looking = false;
let stopping = null; // ends the video that is predicted
const waiting = []; // files, each with the number of its question
const looked = []; // { name, file, answer } or { name, error }

function complain(error) {
  get("error").textContent = error.message;
  get("error").hidden = false;
}

function busy(words) {
  get("progress").textContent = words;
  document.body.classList.toggle("busy", Boolean(words));
}

// Pictures

async function look(files) {
  stopCamera();
  const own = ++question;
  get("error").hidden = true;
  waiting.push(...Array.from(files, (file) => ({ file, own })));
  if (looking) return;
  looking = true;
  let batch = 0; // of which a picture is shown
  while (waiting.length) {
    const { file, own: asked } = waiting.shift();
    busy(waiting.length ? `Looking at ${file.name}; ${waiting.length} more to come` : `Looking at ${file.name || "the picture"}`);
    if (film && file.type.startsWith("video/")) {
      stopping = new AbortController();
      get("stop").hidden = false;
      await film(file, busy, stopping.signal).then(showFilm, complain);
      get("stop").hidden = true;
      continue;
    }
    const picture = { name: file.name || "pasted", file };
    try {
      picture.answer = await ask(file);
    } catch (error) {
      picture.error = error.message;
    }
    if (asked < forgotten) continue;
    looked.push(picture);
    await list(picture);
    if (batch !== asked) await select(picture);
    batch = asked;
  }
  looking = false;
  busy("");
}

async function select(picture) {
  const image = picture.error ? null : await shown(picture.file);
  for (const button of get("pictures").querySelectorAll("button"))
    button.setAttribute("aria-pressed", String(button.picture === picture));
  get("error").hidden = true;
  if (!picture.error) return show(picture.answer, image, false);
  get("result").hidden = true;
  complain(new Error(picture.error));
}

// The annotated copy of a video plays; the picture before it makes way.
function showFilm({ addresses: [copy, table, figure], done, faces, stopped }) {
  get("result").hidden = true;
  get("clip").src = copy;
  get("timeline").src = figure;
  get("copy").href = copy;
  get("table").href = table;
  get("film-summary").textContent = `${stopped ? "Stopped after " : ""}${done} frames, ${faces} ${faces === 1 ? "face" : "faces"}.`;
  get("film").hidden = false;
}

// The picture as the browser shows it; null for formats that only the model can read.
function shown(file) {
  return new Promise((resolve) => {
    const image = new Image();
    const address = URL.createObjectURL(file);
    image.onload = () => resolve(image);
    image.onerror = () => resolve(null);
    image.src = address;
    image.decode().catch(() => {}).finally(() => URL.revokeObjectURL(address));
  });
}

// A small copy in the list of pictures, which is there from the second one on.
async function list(picture) {
  const item = get("thumbnail").content.cloneNode(true);
  const button = item.querySelector("button");
  button.picture = picture;
  const faces = picture.answer ? picture.answer.faces : [];
  const first = faces.length === 1 ? `${faces[0].emotion} ${percent(faces[0].probability)}` : `${faces.length || "no"} face${faces.length ? "s" : ""}`;
  item.querySelector(".name").textContent = picture.name;
  item.querySelector(".found").textContent = picture.error ? "unreadable" : first;
  const image = picture.error ? null : await shown(picture.file);
  const canvas = item.querySelector("canvas");
  if (image) {
    const scale = THUMBNAIL / Math.max(image.naturalWidth, image.naturalHeight);
    canvas.width = Math.max(1, Math.round(scale * image.naturalWidth));
    canvas.height = Math.max(1, Math.round(scale * image.naturalHeight));
    canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
  }
  button.addEventListener("click", () => {
    stopCamera();
    select(picture);
  });
  get("pictures").append(item);
  get("pictures").hidden = looked.length < 2;
  get("files").hidden = !looked.some((one) => one.answer);
}

// The camera

async function startCamera() {
  get("error").hidden = true;
  if (!navigator.mediaDevices) {
    complain(new Error("Browsers give a camera only to pages on this machine (http://127.0.0.1) or over https."));
    return;
  }
  const own = (forgotten = ++question);
  waiting.length = 0;
  busy(""); // an answer that comes later is dropped
  get("camera").disabled = true; // until the browser knows whether it may
  try {
    const stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "user", width: { ideal: FRAME } } });
    if (own !== question) {
      stream.getTracks().forEach((track) => track.stop()); // a picture was chosen in the meantime
      return;
    }
    camera = stream;
  } catch (error) {
    if (own === question) complain(new Error(`No camera: ${error.message}.`));
    return;
  } finally {
    get("camera").disabled = false;
  }
  get("camera").textContent = "Stop the camera";
  get("camera").setAttribute("aria-pressed", "true");
  const video = get("video");
  video.srcObject = camera;
  await video.play();
  const frame = document.createElement("canvas");
  while (camera && own === question) {
    const shrink = Math.min(1, FRAME / Math.max(video.videoWidth, video.videoHeight));
    frame.width = Math.round(video.videoWidth * shrink);
    frame.height = Math.round(video.videoHeight * shrink);
    frame.getContext("2d").drawImage(video, 0, 0, frame.width, frame.height);
    try {
      const answer = await ask(await frameOf(frame), { frame: true });
      if (camera && own === question) show(answer, frame, true);
    } catch (error) {
      if (own === question) {
        stopCamera();
        complain(error);
      }
    }
  }
}

function stopCamera() {
  if (!camera) return;
  camera.getTracks().forEach((track) => track.stop());
  camera = null;
  question += 1;
  get("camera").textContent = "Use the camera";
  get("camera").setAttribute("aria-pressed", "false");
}

// What the page listens to

get("file").addEventListener("change", (event) => {
  if (event.target.files.length) look(event.target.files);
  event.target.value = ""; // the same file can be chosen again
});
get("camera").addEventListener("click", () => (camera ? stopCamera() : startCamera()));
get("stop").addEventListener("click", () => stopping.abort());
addEventListener("pagehide", () => stopping && stopping.abort()); // nobody will see the results
get("csv").addEventListener("click", () => save("predictions.csv", "text/csv", asCsv(looked, about.classes)));
get("json").addEventListener("click", () => save("results.json", "application/json", asJson(looked, about)));
document.addEventListener("paste", (event) => {
  if (event.clipboardData.files.length) look(event.clipboardData.files);
});
document.addEventListener("dragover", (event) => {
  event.preventDefault();
  get("drop").classList.add("over");
});
document.addEventListener("dragleave", () => get("drop").classList.remove("over"));
document.addEventListener("drop", (event) => {
  event.preventDefault();
  get("drop").classList.remove("over");
  if (event.dataTransfer.files.length) look(event.dataTransfer.files);
});
if (film) {
  get("file").accept += ",video/*";
  get("choose").textContent = "Choose pictures or a video";
}
introduction(busy)
  .then((found) => introduce((about = found)), complain)
  .finally(() => {
    busy("");
    get("loading").hidden = true;
  });
