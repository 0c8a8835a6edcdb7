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

// Where the results of a video are, once they are there: the addresses of its annotated copy, figure and table.
// `signal` ends it: what was predicted until then is there.
export async function film(file, tell, signal) {
  const { name } = await sent(file, (share) => tell(`Sending ${file.name}: ${Math.round(100 * share)} %`), signal);
  signal.onabort = () => fetch(`video/${name}`, { method: "DELETE", keepalive: true }).catch(() => {});
  for (;;) {
    const state = await (await reached(fetch(`video/${name}`))).json();
    if (state.error) throw new Error(state.error);
    if (state.files) return { ...state, stopped: signal.aborted, addresses: state.files.map((part) => `video/${name}/${part}`) };
    const far = state.done ? `: ${state.done} of ${state.frames || "many"} frames` : " …";
    tell(`${signal.aborted ? "Stopping" : "Predicting"} ${file.name}${far}`);
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
}

// fetch does not say how much of a file it has sent.
const sent = (file, tell, signal) =>
  new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", "video");
    request.setRequestHeader("Content-Type", "application/octet-stream");
    request.responseType = "json";
    request.upload.onprogress = ({ loaded, total }) => tell(loaded / total);
    request.onerror = () => reject(new Error(LOST));
    request.onabort = () => reject(new Error(`Stopped: ${file.name} was not sent.`));
    signal.onabort = () => request.abort();
    request.onload = () => (request.status === 202 ? resolve(request.response) : reject(new Error(request.response.error)));
    request.send(file);
  });
