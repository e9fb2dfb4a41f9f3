import { answerWithin } from './limits.js';
import type { Host } from './link.js';
import { lost, refused, unauthorised } from './wire.js';

/** A signal that aborts with another one, or when the time is up. */
export class Deadline {
  private readonly abort = new AbortController();
  private timer?: ReturnType<typeof setTimeout>;
  readonly signal = this.abort.signal;

  constructor(private outer?: AbortSignal) {
    outer?.addEventListener('abort', this.end);
  }

  /** From now on it is so long. */
  within(milliseconds: number): void {
    clearTimeout(this.timer);
    this.timer = setTimeout(this.end, milliseconds);
  }

  end = (): void => {
    clearTimeout(this.timer);
    this.outer?.removeEventListener('abort', this.end);
    this.abort.abort();
  };
}

/** Requests, and throws a PealError if the answer is not 200 or does not come. After a 401 it requests once more, with a new token. */
export async function ask(host: Host, path: string, signal: AbortSignal, body?: string, again = true): Promise<Response> {
  const { tokens } = host;
  const { token } = tokens;
  const headers: Record<string, string> = {};
  if (token) headers.Authorization = 'Bearer ' + token;
  if (body) headers['Content-Type'] = 'application/json';
  let answer: Response;
  try {
    answer = await fetch(host.url + path, { method: body && 'POST', body, headers, signal, cache: 'no-store' });
  } catch (e) {
    throw lost(String(e));
  }
  if (answer.status === 200) return answer;
  const error = refused(answer.status, answer.headers.get('Retry-After'), await answer.text(), body);
  if (error.code !== unauthorised || !token || !again) throw error;
  tokens.refuse(token, error);
  await tokens.get();
  return ask(host, path, signal, body, false);
}

/** Requests JSON, within a time. */
export async function askJSON<T>(host: Host, path: string, outer?: AbortSignal, within = answerWithin, body?: string): Promise<T> {
  const deadline = new Deadline(outer);
  deadline.within(within);
  try {
    return (await (await ask(host, path, deadline.signal, body)).json()) as T;
  } finally {
    deadline.end();
  }
}

/** The query of a request; an array is repeated, undefined left out. */
export function query(params: Record<string, string | number | string[] | undefined>): string {
  let text = '';
  for (const [key, value] of Object.entries(params)) {
    if (value === undefined) continue;
    for (const one of [value].flat()) text += (text ? '&' : '?') + key + '=' + encodeURIComponent(one);
  }
  return text;
}
