/** What goes wrong while an expression is evaluated, in upstream's words. */
export class CelFault extends Error {
  override readonly name = "CelFault";
}

/** The expression cost more than it may; nothing in it can absorb this. */
export class CostExceeded extends Error {
  override readonly name = "CostExceeded";
  constructor() {
    super("operation cancelled: actual cost limit exceeded");
  }
}

/** The turn of the expression is over: evaluated again, it goes on where it was. */
export class Paused extends Error {
  override readonly name = "Paused";
}

/** The expression needs an answer that takes time: evaluated again when it is there. */
export class Pending extends Error {
  override readonly name = "Pending";
  constructor(readonly answer: Promise<unknown>) {
    super("the answer is not there yet");
  }
}
