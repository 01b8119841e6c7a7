/** Why the server cannot start, for the one who started it: a sentence, and no stack. */
export class StartError extends Error {
  override readonly name = "StartError";
}
