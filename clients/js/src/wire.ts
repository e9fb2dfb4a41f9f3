import { PealError } from './types.js';
import type { Gap, Member, Message } from './types.js';

/** A message or a publication in its wire format. */
export interface WireMessage {
  channel: string;
  also?: string[];
  cursor: string;
  time: number;
  event?: string;
  /** Bytes in this form come from another tab, which has decoded them. */
  data?: string | Uint8Array;
  data_base64?: string;
}

export interface WireError {
  code: string;
  message: string;
}

/** Presence in its wire format. */
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
  token_expires?: object;
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

/** An error of the network. */
export function lost(message: string): PealError {
  return new PealError('network', message);
}

/** The error for a token that is missing, or not accepted. */
export function denied(message: string): PealError {
  return new PealError(unauthorised, message, { final: true });
}

/** The error of a reply. Some are temporary: the same command may succeed later. */
export function said(e: WireError): PealError {
  return new PealError(e.code, e.message, { busy: /^(log_full|busy|draining|not_stored)$/.test(e.code) });
}

/** The error for a close of a WebSocket (docs/protocol.md). */
export function closed(code: number, reason: string): PealError {
  if (code < 1007 && code !== 1001) return lost('the WebSocket was cut');
  const [, word, rest] = /^(\w+): (.*)/s.exec(reason) ?? [];
  return new PealError(code === 4401 ? unauthorised : (word ?? 'closed_' + code), rest ?? reason, {
    busy: code === 1001 || code === 1013 || code === 4429,
    after: +/(\d+) ms$/.exec(reason)?.[1]!,
    final: code >= 4400 && code !== 4429,
  });
}

/** The error for an HTTP status. body is the text of the response, sent the posted body. */
export function refused(status: number, retryAfter: string | null, body: string, sent?: string): PealError {
  let error: WireError | undefined;
  try {
    error = (JSON.parse(body) as { error?: WireError }).error;
  } catch {
    // not from Peal: a page of a proxy
  }
  // Clients with a name can be disconnected, which an event stream can signal only by 204.
  // Without a token the server refuses some channels, and may accept others.
  return new PealError(status === 401 && error?.code !== 'token_missing' ? unauthorised : (error?.code ?? (PRESENCE && status === 204 ? 'disconnected' : 'http_' + status)), error?.message ?? '', {
    busy: status === 429 || status === 503,
    after: Number(retryAfter) * 1000,
    // Of 4xx only those of Peal are final: a proxy may refuse one transport and pass
    // another. Publishing has no other. 204 ends an event stream permanently.
    final: status < 400 || (status < 500 && status !== 429 && !!(error ?? sent)),
  });
}

/** The code of errors that a new token may resolve. */
export const unauthorised = 'unauthorised';
