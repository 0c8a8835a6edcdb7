// Where the page gets its answers: from the program that serves it.

const LOST = "The program that serves this page does not answer; is it still running?";
let about = { max_bytes: Infinity };

// What the page says about the model.
export async function introduction() {
  about = await (await reached(fetch("about"))).json();
  return about;
}

// The faces of a picture file, or of what `frameOf` gives.
export async function ask(source, { frame = false } = {}) {
  if (source.size > about.max_bytes) throw new Error(`This picture has more than ${about.max_bytes / 1e6} megabytes.`);
  const sent = { method: "POST", headers: { "Content-Type": "application/octet-stream" }, body: source };
  const response = await reached(fetch(`faces?${frame ? "camera" : "maps"}`, sent));
  const answer = await response.json();
  if (!response.ok) throw new Error(answer.error);
  return answer;
}

const reached = (request) =>
  request.catch(() => {
    throw new Error(LOST);
  });

export const frameOf = (canvas) => new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", 0.9));
