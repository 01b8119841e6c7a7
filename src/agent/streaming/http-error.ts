/** What is wrong with a request to the kubelet, as its status. */
export class HttpError extends Error {
  override readonly name = "HttpError";
  readonly status: 400 | 404 | 500;

  constructor(status: 400 | 404 | 500, message: string) {
    super(message);
    this.status = status;
  }
}
