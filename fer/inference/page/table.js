// The answers as files: the columns of predictions.csv and the names of results.json, as predict.py writes them.

const COLUMNS = ["picture", "face", "x", "y", "width", "height", "face_score", "emotion", "probability", "novelty"];

const cell = (value) => (/[",\r\n]/.test(value) ? `"${value.replaceAll('"', '""')}"` : value);
const digits = (value) => String(Number(value.toPrecision(6)));
const fixed = (value, places) => (value === null || value === undefined ? "" : value.toFixed(places));

// Pictures are { name, answer } or { name, error }.
export function asCsv(pictures, classes) {
  const lines = [[...COLUMNS, ...classes]];
  for (const { name, answer } of pictures.filter((picture) => picture.answer)) {
    if (!answer.faces.length) lines.push([name, "", "", "", "", "", "", "no face", "", "", ...classes.map(() => "")]);
    answer.faces.forEach((face, index) => {
      const box = face.box ? [face.box.left, face.box.top, face.box.side, face.box.side].map((value) => fixed(value, 0)) : ["", "", "", ""];
      const values = classes.map((emotion) => digits(face.probabilities[emotion]));
      const facts = [fixed(face.face_score, 3), face.emotion, digits(face.probability), fixed(face.novelty, 3)];
      lines.push([name, String(index + 1), ...box, ...facts, ...values]);
    });
  }
  return lines.map((line) => line.map(cell).join(",") + "\n").join("");
}

export function asJson(pictures, about) {
  const listed = pictures.map(({ name, answer, error }) =>
    error ? { picture: name, error } : { picture: name, faces: answer.faces.map(plain) },
  );
  const facts = { "trained on": about.title === about.trained_on ? about.title : `${about.title} (${about.trained_on})` };
  return JSON.stringify({ ...facts, classes: about.classes, pictures: listed }, null, 1) + "\n";
}

const plain = ({ emotion, probability, probabilities, box, face_score, novelty }) => ({
  emotion,
  probability,
  probabilities,
  box: box && [box.left, box.top, box.side, box.side],
  face_score,
  novelty,
});

export function save(name, kind, text) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: kind }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
