// What the page shows: the model, a picture with boxes and labels, and the probabilities of each face.

const LARGEST = 1600; // longer side of a shown picture, pixels

export const get = (id) => document.getElementById(id);
export const percent = (share) => (share > 0 && share < 0.005 ? "<1 %" : `${Math.round(100 * share)} %`);

let colours = {};

export function introduce(about) {
  colours = about.colours;
  get("model").textContent = `${about.network}, trained on “${about.trained_on}”: ${about.classes.join(", ")}`;
  get("warning").textContent = about.warning;
  get("warning").hidden = !about.warning;
  get("most").textContent = about.most;
  get("privacy").textContent = about.privacy;
  const interval = (about.accuracy_ci95 || []).map((bound) => (100 * bound).toFixed(1)).join(" to ");
  const named = about.title === about.trained_on ? "" : ` (${about.title}; licence: ${about.licence})`;
  get("trained").textContent =
    `It was trained on the data “${about.trained_on}”${named} to distinguish ${about.classes.length} expressions.` +
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

// An answer, and the picture as the browser has it: null for formats that only the model can read.
export function show(answer, picture, mirrored) {
  draw(get("picture"), answer, picture, mirrored);
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
  item.querySelector("tbody").replaceChildren(...bars(face.probabilities, face.emotion));
}

// Table rows with a bar for each class.
export function bars(shares, first) {
  return Object.entries(shares).map(([emotion, share]) => {
    const row = document.createElement("tr");
    row.className = emotion === first ? "first" : "";
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
}

// The picture, mirrored as in a mirror if it is of the camera, with boxes and labels that are not mirrored.
export function draw(canvas, answer, picture, mirrored = false) {
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
    const colour = colourOf(face.emotion);
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

export const colourOf = (emotion) => colours[emotion] || "#767676";

function luminance(colour) {
  const [red, green, blue] = [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16) / 255);
  return 0.2126 * red ** 2.2 + 0.7152 * green ** 2.2 + 0.0722 * blue ** 2.2;
}
