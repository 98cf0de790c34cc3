// @ts-check
// What everything else of the console stands on: calls of the REST API, live data, addresses of views, times in words.
import { useState, useEffect, useRef, useCallback } from "./vendor.js";

const ROOT = "/api/v1";
export const CHANGED = "scepd-changed"; // we changed something: all live data asks at once; its detail is the answer
/** The pages of a browser have one cookie. Whoever signs in or out in one tells the others, whose onmessage asks anew who we are. */
export const others = new BroadcastChannel("scepd");

/** What an effect does that hears an event. @param {string} name @param {(e: any) => void} f */
export function listen(name, f) {
  window.addEventListener(name, f);
  return () => window.removeEventListener(name, f);
}
const VISIBLE_MS = 5000, HIDDEN_MS = 60000, PATIENCE_MS = 20000;

/** What an API call was refused with: the members of RFC 9457 section 3, and fix, code and errors of ours. */
export class Problem extends Error {
  constructor(p) {
    super(p.detail || p.title || "The call failed.");
    this.status = p.status || 0;
    this.title = p.title || "";
    this.detail = p.detail || "";
    this.code = p.code || "";
    this.fix = p.fix || "";
    this.id = p.request_id || "";
    /** @type {{pointer?: string, detail: string}[]} */
    this.errors = p.errors || [];
    this.current = p.current;
    this.effects = p.effects;
    this.unreachable = !p.status;
  }
}

const away = () => new Problem({ title: "The server does not answer", detail: "No answer came from scepd.",
  fix: "Is it running? systemctl status scepd. This page goes on asking by itself." });

/** One call. Its answer: what it says, its ETag, and the response; `unchanged` for a 304.
 * @param {string} method @param {string} path @param {any} [body]
 * @param {{etag?: string, known?: string, accept?: string, once?: boolean}} [o] */
export async function call(method, path, body, o = {}) {
  /** @type {Record<string, string>} */
  const headers = { Accept: o.accept || "application/json" };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  if (o.etag) headers["If-Match"] = o.etag;
  if (o.known) headers["If-None-Match"] = o.known;
  if (method === "POST" && o.once !== false) headers["Idempotency-Key"] = randomKey();
  const stop = new AbortController();
  const timer = setTimeout(() => stop.abort(), PATIENCE_MS);
  let r, data;
  try {
    r = await fetch(ROOT + path, { method, headers, cache: "no-store", credentials: "same-origin", redirect: "error",
      body: body === undefined ? undefined : JSON.stringify(body), signal: stop.signal });
    if (o.accept) clearTimeout(timer); // a file may take its time
    if (r.status === 304) return { unchanged: true, etag: r.headers.get("ETag") || "", data, response: r };
    if (!r.ok) throw await problemOf(r, path);
    const json = !o.accept && /[/+]json/.test(r.headers.get("Content-Type") || "");
    data = r.status === 204 ? undefined : json ? await r.json() : await r.blob();
  } catch (e) {
    throw e instanceof Problem || e instanceof SyntaxError ? e : away();
  } finally {
    clearTimeout(timer);
  }
  const etag = r.headers.get("ETag") || "";
  if (method !== "GET") setTimeout(() => window.dispatchEvent(new CustomEvent(CHANGED, { detail: data })), 0);
  return { unchanged: false, etag: etag || (data && data.etag) || "", data, response: r };
}

/** @param {Response} r @param {string} path */
async function problemOf(r, path) {
  /** @type {any} */
  let said = {};
  try {
    said = await r.json();
  } catch (e) {
    said = { title: "The server answered " + r.status };
  }
  if (path !== "/session" && (r.status === 401 || said.code === "role.missing")) others.onmessage(null);
  return new Problem({ ...said, status: r.status });
}

/** For Idempotency-Key; crypto.randomUUID exists only on TLS and loopback. */
export function randomKey() {
  const b = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(b, (x) => x.toString(16).padStart(2, "0")).join("");
}

/** Live data: asked again every 5 s while the page is seen; lists with their ETag, so that nothing is sent when nothing changed.
 * After a fault the old data stays, and `since` says from when it is.
 * @param {string | null} path  null: nothing to ask
 * @returns {{data: any, etag: string, error: Problem | null, since: number, reload: () => void}} */
export function useLive(path) {
  const [tick, setTick] = useState(0);
  const [s, set] = useState({ path: /** @type {string|null} */ (null), data: (null), etag: "",
    error: /** @type {Problem|null} */ (null), since: 0 });
  const last = useRef({ path: "", etag: "", fails: 0 });
  useEffect(() => {
    if (!path) return undefined;
    let over = false, timer = 0;
    if (last.current.path !== path) last.current = { path, etag: "", fails: 0 };
    const next = () => {
      if (over) return;
      const base = document.hidden ? HIDDEN_MS : VISIBLE_MS;
      timer = setTimeout(ask, Math.min(base * 2 ** last.current.fails, HIDDEN_MS));
    };
    const ask = async () => {
      clearTimeout(timer);
      try {
        const r = await call("GET", path, undefined, { known: last.current.etag });
        if (over) return;
        last.current.fails = 0;
        if (r.unchanged) {
          set((o) => (o.error ? { ...o, error: null, since: Date.now() } : o));
        } else {
          // That of one thing is its version, which does not change when it is merely seen or polled.
          last.current.etag = r.etag.startsWith("W/") ? r.etag : "";
          set({ path, data: r.data, etag: r.etag, error: null, since: Date.now() });
        }
      } catch (e) {
        if (over) return;
        last.current.fails++;
        const error = e instanceof Problem ? e : new Problem({ title: "The answer could not be read", status: 500, detail: String(e) });
        set((o) => (o.path === path ? { ...o, error } : { path, data: null, etag: "", error, since: 0 }));
      }
      next();
    };
    const seen = () => { if (!document.hidden) ask(); };
    ask();
    const deaf = ["visibilitychange", CHANGED].map((name) => listen(name, seen));
    return () => {
      over = true;
      clearTimeout(timer);
      deaf.forEach((f) => f());
    };
  }, [path, tick]);
  const reload = useCallback(() => setTick((n) => n + 1), []);
  const mine = s.path === path;
  return { data: mine ? s.data : null, etag: mine ? s.etag : "", error: mine ? s.error : null, since: s.since, reload };
}

/** A change: `run` does it once at a time, `error` is why it did not work. @param {(...a: any[]) => Promise<any>} action */
export function useAction(action) {
  const [s, set] = useState({ busy: false, error: /** @type {Problem|null} */ (null) });
  const busy = useRef(false);
  const run = async (...a) => {
    if (busy.current) return undefined;
    busy.current = true;
    set({ busy: true, error: null });
    try {
      const r = await action(...a);
      set({ busy: false, error: null });
      return r === undefined ? true : r;
    } catch (e) {
      set({ busy: false, error: e instanceof Problem ? e : new Problem({ title: "It did not work", detail: String(e) }) });
      return undefined;
    } finally {
      busy.current = false;
    }
  };
  return { ...s, run, clear: () => set({ busy: false, error: null }) };
}

// ---- addresses: everything is in the fragment, so that each view is a URL and the server needs to know none of them ----

export const enc = encodeURIComponent;

/** @param {string} path @param {Record<string, any>} [query] */
export function href(path, query) {
  const q = queryText(query);
  return "#" + path + (q ? "?" + q : "");
}

/** Without what is empty; a blank as the API reads it, to which a plus is a plus. @param {Record<string, any>} [query] */
export function queryText(query = {}) {
  const q = new URLSearchParams();
  for (const [k, v] of Object.entries(query)) if (v !== "" && v !== null && v !== undefined) q.set(k, String(v));
  return q.toString().replace(/\+/g, "%20");
}

export function route() {
  const text = location.hash.startsWith("#/") ? location.hash.slice(1) : "/";
  const cut = text.indexOf("?");
  const path = cut < 0 ? text : text.slice(0, cut);
  const parts = path.split("/").filter(Boolean).map((p) => {
    try { return decodeURIComponent(p); } catch (e) { return p; }
  });
  return { path, parts, query: Object.fromEntries(new URLSearchParams(cut < 0 ? "" : text.slice(cut + 1))) };
}

/** @param {string} path @param {Record<string, any>} [query] @param {boolean} [replace] no new step for Back */
export function go(path, query, replace) {
  const to = href(path, query);
  if (!replace) { location.hash = to; return; }
  history.replaceState(null, "", to);
  window.dispatchEvent(new HashChangeEvent("hashchange"));
}

// ---- times ----

const UNITS = /** @type {[number, string][]} */ ([[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]]);

/** "3 h": seconds by their largest unit. @param {number} s */
export function span(s) {
  const a = Math.abs(s);
  for (const [size, name] of UNITS) if (a >= size) return Math.floor(a / size) + " " + name;
  return "0 s";
}

/** "in 2 h", "3 min ago". @param {Date} t */
export function distance(t) {
  const s = Math.round((t.getTime() - Date.now()) / 1000);
  return Math.abs(s) < 5 ? "now" : s > 0 ? "in " + span(s) : span(s) + " ago";
}

/** Local: the time of a day near by, else the date. @param {Date} t @param {boolean} [full] */
export function clock(t, full) {
  const near = Math.abs(t.getTime() - Date.now()) < 18 * 3600e3;
  const time = t.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", ...(full || near ? { second: "2-digit" } : {}) });
  const date = t.toLocaleDateString([], { day: "numeric", month: "short", year: "numeric" });
  return full ? date + " " + time : near ? time : date;
}
