// All times are milliseconds.

/** A transport that has not shown life by then is taken for blocked. */
export const openWithin = 2_500;
/** An answer (to a ping, a page of history, a publication) is waited for so long. */
export const answerWithin = 10_000;
/** So long nothing was heard: ask. The server says something every 20 s ± 20 %. */
export const silence = 30_000;
/** The answer to that question. */
export const pongWithin = 5_000;
/** A poll is held by the server so long when nothing comes. */
export const pollHold = 25_000;

export const backoffFloor = 500;
export const backoffCap = 20_000;
/** A connection that lived so long makes the next wait short again. */
export const stable = 60_000;

/** On SSE or polling, WebSocket is tried again after so long, then twice as long, … */
export const probeFirst = 30_000;
export const probeCap = 600_000;

/** Members of a channel up to which they are listed, as the server names them unless told otherwise. */
export const crowd = 100;

/** Messages kept for an iterator that is not asked, or a tab that is catching up. */
export const backlog = 1_000;
/** Publications in one request: 15 of 64 KiB fit the server's 1 MiB. */
export const batchSize = 15;
