/**
 * Which transport is tried next. A round begins with what worked last, on the
 * page before too, and tries each once; only after a whole round is there a wait.
 */
export class Ladder<T extends string> {
  private best: T;
  private untried: T[] = [];

  /** all, in the order of preference, is not empty. key is where sessionStorage keeps what worked. */
  constructor(
    private all: T[],
    private key: string,
  ) {
    const remembered = tried(() => sessionStorage.getItem(key));
    this.best = all.find((name) => name === remembered) ?? all[0]!;
  }

  /** Begins a round and returns its first transport. */
  first(): T {
    this.untried = this.all.filter((name) => name !== this.best);
    return this.best;
  }

  /** The next one of the round; undefined when all have failed. */
  next(): T | undefined {
    return this.untried.shift();
  }

  worked(name: T): void {
    this.best = name;
    tried(() => sessionStorage.setItem(this.key, name));
  }
}

/** The storage may be missing, forbidden or full: then the next page finds out by itself. */
function tried<R>(run: () => R): R | undefined {
  try {
    return run();
  } catch {
    return undefined;
  }
}
