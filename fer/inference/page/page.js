// Sends a picture, or one camera frame after another, to the program that serves this page, and shows its answer.
"use strict";

const FRAME = 640; // longer side of camera frames, pixels
const LARGEST = 1600; // longer side of a shown picture, pixels

const get = (id) => document.getElementById(id);
const percent = (share) => (share > 0 && share < 0.005 ? "<1 %" : `${Math.round(100 * share)} %`);

let about = { colours: {}, max_bytes: Infinity };
let camera = null; // the stream, while it runs
let question = 0; // the newest one: answers to older ones are dropped

async function ask(content, options) {
  const response = await fetch(`faces?${options}`, {
    method: "POST",
    headers: { "Content-Type": "application/octet-stream" },
    body: content,
  });
  const answer = await response.json();
  if (!response.ok) throw new Error(answer.error);
  return answer;
}

function complain(error) {
  const lost = error instanceof TypeError; // what fetch says when nobody answers
  get("error").textContent = lost ? "The program that serves this page does not answer; is it still running?" : error.message;
  get("error").hidden = false;
}

// Pictures

async function look(file) {
  stopCamera();
  const own = ++question;
  get("error").hidden = true;
  document.body.classList.add("busy");
  try {
    if (file.size > about.max_bytes) throw new Error(`This picture has more than ${about.max_bytes / 1e6} megabytes.`);
    const [answer, picture] = await Promise.all([ask(file, "maps"), shown(file)]);
    if (own === question) show(answer, picture, false);
  } catch (error) {
    if (own === question) {
      get("result").hidden = true;
      complain(error);
    }
  } finally {
    if (own === question) document.body.classList.remove("busy");
  }
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

// The camera

async function startCamera() {
  get("error").hidden = true;
  if (!navigator.mediaDevices) {
    complain(new Error("Browsers give a camera only to pages on this machine (http://127.0.0.1) or over https."));
    return;
  }
  const own = ++question;
  document.body.classList.remove("busy"); // an answer that comes later is dropped
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
      const content = await new Promise((resolve) => frame.toBlob(resolve, "image/jpeg", 0.9));
      const answer = await ask(content, "camera");
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

// Answers

function show(answer, picture, mirrored) {
  draw(answer, picture, mirrored);
  const hidden = answer.found - answer.faces.length;
  get("summary").textContent =
    answer.found === 0
      ? "No face found. Faces should look towards the camera and be larger than a twentieth of the picture."
      : `${answer.found} ${answer.found === 1 ? "face" : "faces"}` + (hidden ? `, of which the ${answer.faces.length} largest are shown.` : ".");
  if (!picture) get("summary").textContent += " This browser cannot show the format, only where the faces are.";
  const list = get("faces");
  while (list.children.length > answer.faces.length) list.lastChild.remove();
  while (list.children.length < answer.faces.length) list.append(get("face").content.cloneNode(true));
  answer.faces.forEach((face, index) => describe(list.children[index], face));
  get("result").hidden = false;
}

function describe(item, face) {
  item.querySelectorAll(".seen").forEach((image) => (image.src = face.seen));
  item.querySelector(".where").hidden = !face.map;
  if (face.map) item.querySelector(".map").src = face.map;
  item.querySelector(".emotion").textContent = face.emotion;
  item.querySelector(".probability").textContent = percent(face.probability);
  item.querySelector(".certainty").textContent = face.certainty;
  item.querySelector(".certainty").classList.toggle("unlike", face.novelty >= 1);
  const rows = Object.entries(face.probabilities).map(([emotion, share]) => {
    const row = document.createElement("tr");
    row.className = emotion === face.emotion ? "first" : "";
    const [name, bar, number] = ["th", "td", "td"].map((tag) => row.appendChild(document.createElement(tag)));
    name.scope = "row";
    name.textContent = emotion;
    number.className = "share";
    number.textContent = percent(share);
    const track = bar.appendChild(document.createElement("span"));
    track.className = "track";
    const filled = track.appendChild(document.createElement("span"));
    filled.className = "bar";
    filled.style.width = `${100 * share}%`;
    return row;
  });
  item.querySelector("tbody").replaceChildren(...rows);
}

// The picture, mirrored as in a mirror if it is of the camera, with boxes and labels that are not mirrored.
function draw(answer, picture, mirrored) {
  const canvas = get("picture");
  const scale = Math.min(LARGEST, Math.max(answer.width, answer.height, 480)) / Math.max(answer.width, answer.height);
  canvas.width = Math.round(answer.width * scale);
  canvas.height = Math.round(answer.height * scale);
  const pen = canvas.getContext("2d");
  pen.save();
  if (mirrored) pen.setTransform(-1, 0, 0, 1, canvas.width, 0);
  if (picture) pen.drawImage(picture, 0, 0, canvas.width, canvas.height);
  pen.restore();
  const line = Math.max(3, Math.round(canvas.width / 300));
  const size = Math.max(16, Math.round(canvas.width / 42));
  pen.font = `600 ${size}px system-ui, sans-serif`;
  pen.textBaseline = "middle";
  for (const face of [...answer.faces].reverse()) {
    if (!face.box) continue;
    const side = face.box.side * scale;
    const left = mirrored ? canvas.width - face.box.left * scale - side : face.box.left * scale;
    const top = face.box.top * scale;
    const colour = about.colours[face.emotion] || "#767676";
    pen.lineWidth = line + 2;
    pen.strokeStyle = "#ffffff";
    pen.strokeRect(left, top, side, side);
    pen.lineWidth = line;
    pen.strokeStyle = colour;
    pen.strokeRect(left, top, side, side);
    const text = `${face.emotion} ${percent(face.probability)}`;
    const width = pen.measureText(text).width + size;
    const above = top - 1.5 * size;
    const x = Math.min(Math.max(0, left - line / 2), Math.max(0, canvas.width - width));
    const y = above >= 0 ? above : Math.min(Math.max(top, 0), canvas.height - 1.5 * size);
    pen.fillStyle = colour;
    pen.fillRect(x, y, width, 1.5 * size);
    pen.fillStyle = luminance(colour) > 0.3 ? "#000000" : "#ffffff";
    pen.fillText(text, x + size / 2, y + 0.78 * size);
  }
}

function luminance(colour) {
  const [red, green, blue] = [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16) / 255);
  return 0.2126 * red ** 2.2 + 0.7152 * green ** 2.2 + 0.0722 * blue ** 2.2;
}

// What the page says about the model

async function introduce() {
  about = await (await fetch("about")).json();
  get("model").textContent = `${about.network}, trained on “${about.trained_on}”: ${about.classes.join(", ")}`;
  get("warning").textContent = about.warning;
  get("warning").hidden = !about.warning;
  get("most").textContent = `up to ${about.max_bytes / 1e6} megabytes`;
  const interval = (about.accuracy_ci95 || []).map((bound) => (100 * bound).toFixed(1)).join(" to ");
  get("trained").textContent =
    `It was trained on the data “${about.trained_on}” to distinguish ${about.classes.length} expressions.` +
    (about.accuracy
      ? ` On the test images of the same data ${(100 * about.accuracy).toFixed(1)} % of its answers are right` +
        (interval ? ` (95 % interval ${interval} %).` : ".")
      : " How often its answers are right is not known here.");
  get("calibration").textContent = about.calibrated
    ? "Its probabilities are calibrated: of the test faces with 80 %, about 80 in 100 were right. This may not be true for other kinds of pictures."
    : "Its probabilities are not calibrated: they are usually too high.";
  const items = about.limits.map((sentence) => {
    const item = document.createElement("li");
    item.textContent = sentence;
    return item;
  });
  get("limits").replaceChildren(...items);
}

get("file").addEventListener("change", (event) => {
  if (event.target.files.length) look(event.target.files[0]);
  event.target.value = ""; // the same file can be chosen again
});
get("camera").addEventListener("click", () => (camera ? stopCamera() : startCamera()));
document.addEventListener("paste", (event) => {
  if (event.clipboardData.files.length) look(event.clipboardData.files[0]);
});
document.addEventListener("dragover", (event) => {
  event.preventDefault();
  get("drop").classList.add("over");
});
document.addEventListener("dragleave", () => get("drop").classList.remove("over"));
document.addEventListener("drop", (event) => {
  event.preventDefault();
  get("drop").classList.remove("over");
  if (event.dataTransfer.files.length) look(event.dataTransfer.files[0]);
});
introduce().catch(complain);
