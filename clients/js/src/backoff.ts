import { backoffCap, backoffFloor } from './limits.js';

/**
 * Full jitter: a random time from half a second to 1 s at first, to twice as
 * long after each failure, to 20 s. random gives [0, 1).
 */
export function backoff(failures: number, random: () => number = Math.random): number {
  const upto = Math.min(backoffCap, 2 * backoffFloor * 2 ** failures);
  return backoffFloor + random() * (upto - backoffFloor);
}
