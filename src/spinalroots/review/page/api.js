/* Talks to the server that this page came from; the address holds the token. */
const API = new URL("../api/", import.meta.url);

export class Refused extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

export const address = (path, query = {}) => {
  const url = new URL(path, API);
  for (const [name, value] of Object.entries(query)) url.searchParams.set(name, value);
  return url.href;
};

async function answer(request) {
  let response;
  try {
    response = await request;
  } catch {
    throw new Refused("The server does not answer. Start `spinalroots review` again; what is “kept” is on disk.", 0);
  }
  const content = await response.json().catch(() => ({ error: `HTTP ${response.status}` }));
  if (!response.ok) throw new Refused(content.error ?? `HTTP ${response.status}`, response.status);
  return content;
}

export const ask = (path, query) => answer(fetch(address(path, query)));

export const act = (path, message, keepalive = false) =>
  answer(
    fetch(address(path), {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(message),
      keepalive,
    }),
  );
