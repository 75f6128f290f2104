/**
 * What middlewares return: the responses of a call, as nice-grpc iterates over
 * them. A generator that passes on another one's values with `yield*` would cost
 * each message of a stream several turns of the microtask queue, so middlewares
 * are plain functions that return what `call.next` gives them, or wrap it here.
 */

/** As nice-grpc has it: a unary call's one response is returned, those of a stream are yielded. */
// biome-ignore lint/suspicious/noConfusingVoidType: it is what nice-grpc expects of a middleware.
export type Responses<Response> = AsyncGenerator<Response, Response | void, undefined>;

/** Responses of a call that fails before it begins. */
// biome-ignore lint/correctness/useYield: there is nothing to yield.
export async function* failing(error: unknown): AsyncGenerator<never, never, undefined> {
  throw error;
}

/** Responses whose failure goes through `fail`, which always rejects. */
export class Failing<Response> implements Responses<Response> {
  readonly #responses: Responses<Response>;
  readonly #fail: (error: unknown) => Promise<never>;

  constructor(responses: Responses<Response>, fail: (error: unknown) => Promise<never>) {
    this.#responses = responses;
    this.#fail = fail;
  }

  next(): ReturnType<Responses<Response>["next"]> {
    return this.#responses.next().then(undefined, this.#fail);
  }

  return(value: Parameters<Responses<Response>["return"]>[0]): ReturnType<Responses<Response>["return"]> {
    return this.#responses.return(value).then(undefined, this.#fail);
  }

  throw(error: unknown): ReturnType<Responses<Response>["throw"]> {
    return this.#responses.throw(error).then(undefined, this.#fail);
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.return(undefined);
  }
}
