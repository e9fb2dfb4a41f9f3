import { PealError } from './types.js';
import type { Gap, Member, Message } from './types.js';

/** A message or a publication as it is on the wire. */
export interface WireMessage {
  channel: string;
  cursor: string;
  time: number;
  event?: string;
  /** Bytes come so from another tab, which has read them. */
  data?: string | Uint8Array;
  data_base64?: string;
}

export interface WireError {
  code: string;
  message: string;
}

/** Presence as it is on the wire. */
export interface WirePresence {
  channel: string;
  cursor: string;
  count: number;
  join?: Member[];
  leave?: Member[];
}

/** Any frame of peal.v1. */
export interface Frame extends Partial<WireMessage> {
  connected?: object;
  gap?: Gap[];
  presence?: WirePresence;
  id?: number | null;
  error?: WireError;
}

export function decode(m: WireMessage): Message {
  const { data_base64: base64, ...rest } = m;
  return { ...rest, data: base64 === undefined ? (m.data ?? '') : fromBase64(base64) };
}

function fromBase64(s: string): Uint8Array {
  return Uint8Array.from(atob(s), (c) => c.charCodeAt(0));
}

/** The data of a publication: text as it is, bytes as base64, anything else as its JSON. */
export function encode(data: unknown): { data?: string; data_base64?: string } {
  if (typeof data === 'string') return { data };
  if (data instanceof ArrayBuffer) data = new Uint8Array(data);
  if (!(data instanceof Uint8Array)) return { data: JSON.stringify(data) };
  let binary = '';
  for (const b of data) binary += String.fromCharCode(b);
  return { data_base64: btoa(binary) };
}

/** The network's fault, or nobody's. */
export function lost(message: string): PealError {
  return new PealError('network', message);
}

/** The error of a reply. Some are of the hour: the same will do later. */
export function said(e: WireError): PealError {
  return new PealError(e.code, e.message, { busy: /^(log_full|busy|draining|not_stored)$/.test(e.code) });
}

/** What a close of a WebSocket means (docs/protocol.md). */
export function closed(code: number, reason: string): PealError {
  if (code < 1007) return code === 1001 ? new PealError('draining', reason, { busy: true }) : lost('the WebSocket was cut');
  const [, word, rest] = /^(\w+): (.*)/s.exec(reason) ?? [];
  return new PealError(code === 4401 ? unauthorised : (word ?? 'closed_' + code), rest ?? reason, {
    busy: code === 1013 || code === 4429,
    final: code >= 4400 && code !== 4429,
  });
}

/** What an HTTP status means. body is the answer's text, sent what was posted. */
export function refused(status: number, retryAfter: string | null, body: string, sent?: string): PealError {
  let error: WireError | undefined;
  try {
    error = (JSON.parse(body) as { error?: WireError }).error;
  } catch {
    // not ours: a proxy's page
  }
  // Who has a name can be disconnected, and an event stream has no other word for it than 204.
  return new PealError(status === 401 ? unauthorised : (error?.code ?? (PRESENCE && status === 204 ? 'disconnected' : 'http_' + status)), error?.message ?? '', {
    busy: status === 429 || status === 503,
    after: Number(retryAfter) * 1000,
    // Of 4xx only our own are believed: a proxy may refuse one transport and pass
    // another. To publish there is no other. 204 tells event streams to stop for good.
    final: status < 400 || (status < 500 && status !== 429 && !!(error ?? sent)),
  });
}

/** The code of everything that a token may mend. */
export const unauthorised = 'unauthorised';
