/** One event of a stream; or only an id or a retry, which fire nothing but count. */
export interface StreamEvent {
  event?: string;
  /** Missing: an empty line behind something else than data. */
  data?: string;
  id?: string;
}

/**
 * Reads text/event-stream piece by piece (HTML standard, server-sent events).
 * Only LF ends lines: Peal sends no CR.
 */
export class EventParser {
  /** The last one that was said, in milliseconds. */
  retry?: number;
  private rest = '';
  private now: Record<string, string> = {};

  push(text: string): StreamEvent[] {
    const lines = (this.rest + text).split('\n');
    this.rest = lines.pop()!;
    const out: StreamEvent[] = [];
    for (const line of lines) {
      const [, name, value] = /^(\w+):? ?(.*)/s.exec(line) ?? [];
      const { now } = this;
      if (!line) {
        out.push(now);
        this.now = {};
      } else if (name === 'retry') {
        this.retry = Number(value);
      } else if (name) {
        now[name] = name === 'data' && 'data' in now ? now.data + '\n' + value : value!;
      }
    }
    return out;
  }
}
